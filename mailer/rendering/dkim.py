"""DKIM signatures (RFC 6376, 8301, 8463): prepared once an edition, made for each mail.

`Signer(keys).prepare(message)` does what is the same for all readers: which fields are signed, their relaxed form
(RFC 6376 §3.4.2) with slots, and the hash of the body up to its first slot. `Prepared.sign` joins the head, hashes the
rest of the body and does one private-key operation a key. Bodies are not canonicalised, they are composed canonical:
docs/decisions/0006-dkim.md.

Nothing here changes once it is made, so mails can be signed in several threads at once: hashing and `cryptography`
let go of the interpreter's lock.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from mailer.errors import MailerError
from mailer.rendering.message import Message, Slot, cut, marker

RSA_BITS = 2048
"""Of new keys, and the least we sign with (RFC 8301 §3.2)."""

RSA_BITS_AT_MOST = 4096
"""The longest that every receiver can check (RFC 8301 §3.2)."""

SIGNED = re.compile(
    r"From|Sender|Reply-To|To|Cc|Subject|Date|Message-ID|Auto-Submitted|Feedback-ID"
    r"|MIME-Version|Content-(?:Type|Transfer-Encoding|Language)"
    r"|List-(?:Id|Unsubscribe|Unsubscribe-Post|Help|Archive|Owner)",
    re.IGNORECASE,
)
"""The fields that are signed where they are present (RFC 6376 §5.4.1, RFC 8058 §4, Google's sender guidelines)."""

_TXT_STRING = 255  # RFC 1035 §3.3
_FOLD = 72  # letters of base64 a line
_NAMES_A_LINE = 4

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")  # RFC 6376 §3.1
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_FILE = re.compile(rf"({_SELECTOR.pattern})\._domainkey\.({_DOMAIN.pattern})\.pem")
_NOT_RELAXED = re.compile(rb"\t|[ \t](?:[ \t]|\r\n)|\r\n\r\n\Z|[^\n]\Z")  # RFC 6376 §3.4.4

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


class DkimError(MailerError):
    """A key cannot be made, kept or used; the message names the file or the name."""


@dataclass(frozen=True)
class DkimKey:
    """A private key and the name under which its public half stands in the DNS. Makes one signature a mail."""

    selector: str
    domain: str
    private_key: PrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if not _SELECTOR.fullmatch(self.selector):
            raise DkimError(f"{self.selector!r} is not a selector. Use letters, digits and hyphens, such as s2026.")
        if not _DOMAIN.fullmatch(self.domain) or len(self.record_name) > 253:
            raise DkimError(f"{self.domain!r} is not a domain. Write it in lower case and ASCII: example.org, xn--….")

    @classmethod
    def new(cls, selector: str, domain: str, *, ed25519: bool = False) -> "DkimKey":
        """A fresh key: RSA, or Ed25519 (RFC 8463), which not every receiver can check yet."""
        return cls(selector, domain, Ed25519PrivateKey.generate() if ed25519 else generate_private_key(65537, RSA_BITS))

    @classmethod
    def load(cls, path: Path) -> "DkimKey":
        """The key in a PEM file named SELECTOR._domainkey.DOMAIN.pem. Raises DkimError."""
        named = _FILE.fullmatch(path.name.lower())
        if not named:
            raise DkimError(f"{path}: the file's name must be SELECTOR._domainkey.DOMAIN.pem. Rename it.")
        return cls(named[1], named[2], _private_key(path))

    def save(self, folder: Path) -> Path:
        """Writes the file that load() reads, for its owner only. Raises DkimError where there is one already."""
        path = folder / f"{self.record_name}.pem"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                raise DkimError(f"{path} is there already and is not overwritten. Choose another selector.")
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self._pem())
        except OSError as error:
            raise DkimError(f"{path}: cannot be written: {error.strerror}.") from None
        return path

    @property
    def is_rsa(self) -> bool:
        return isinstance(self.private_key, RSAPrivateKey)

    @property
    def algorithm(self) -> str:
        """The tag `a=` (RFC 6376 §3.3.1, RFC 8463 §3)."""
        return "rsa-sha256" if self.is_rsa else "ed25519-sha256"

    @property
    def record_name(self) -> str:
        """Where receivers look for the record (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The text of the DNS record (RFC 6376 §3.6.1, RFC 8463 §4)."""
        public, form = self.private_key.public_key(), serialization.PublicFormat
        if self.is_rsa:
            octets = public.public_bytes(serialization.Encoding.DER, form.SubjectPublicKeyInfo)
        else:
            octets = public.public_bytes(serialization.Encoding.Raw, form.Raw)
        return f"v=DKIM1; k={self.algorithm.partition('-')[0]}; p={base64.b64encode(octets).decode()}"

    @property
    def record_strings(self) -> list[str]:
        """The same in strings of at most 255 octets, which is what a TXT record holds (RFC 6376 §3.6.2.2)."""
        return [self.record[at : at + _TXT_STRING] for at in range(0, len(self.record), _TXT_STRING)]

    def is_aligned(self, sender_domain: str) -> bool:
        """Whether DMARC counts our signature for this From: one domain is the other or lies under it.

        RFC 7489 §3.1.1 compares organizational domains, which takes a list of public suffixes; this is stricter.
        """
        ours, theirs = f".{self.domain}", f".{sender_domain.lower()}"
        return ours.endswith(theirs) or theirs.endswith(ours)

    def sign(self, octets: bytes) -> bytes:
        """RFC 8017 §8.2, or RFC 8463 §3: Ed25519 signs the hash."""
        if isinstance(self.private_key, RSAPrivateKey):
            return self.private_key.sign(octets, _PADDING, _SHA256)
        return self.private_key.sign(hashlib.sha256(octets).digest())

    def _pem(self) -> bytes:
        form, locked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.private_key.private_bytes(serialization.Encoding.PEM, form, locked)


_PADDING, _SHA256 = PKCS1v15(), SHA256()


def load_keys(paths: Sequence[Path]) -> tuple[DkimKey, ...]:
    """The keys of MAILER_DKIM_KEYS. Raises DkimError, which names the setting."""
    keys = dict[str, DkimKey]()
    for path in paths:
        try:
            key = DkimKey.load(path)
        except DkimError as error:
            raise DkimError(f"MAILER_DKIM_KEYS: {error}") from None
        if key.record_name in keys:
            raise DkimError(f"MAILER_DKIM_KEYS: {key.record_name} is there twice. Take one out.")
        keys[key.record_name] = key
    return tuple(keys.values())


def unaligned(keys: Iterable[DkimKey], sender_addresses: Sequence[str]) -> list[DkimKey]:
    """The keys whose signatures DMARC counts for none of these senders."""
    domains = [address.rpartition("@")[2] for address in sender_addresses]
    return [key for key in keys if domains and not any(map(key.is_aligned, domains))]


def _private_key(path: Path) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise DkimError(f"{path}: cannot be read: {error.strerror}. Mend the path, or take it out.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # not PEM, not a private key, locked by a password
        raise DkimError(f"{path}: not a private key in PEM without a password. mailer dkim new makes one.") from None
    if isinstance(key, RSAPrivateKey) and not RSA_BITS <= key.key_size <= RSA_BITS_AT_MOST:
        wanted = f"{RSA_BITS} to {RSA_BITS_AT_MOST}"
        raise DkimError(f"{path}: an RSA key of {key.key_size} bits; {wanted} are needed. mailer dkim new makes one.")
    if not isinstance(key, PrivateKey):
        raise DkimError(f"{path}: neither an RSA nor an Ed25519 key. mailer dkim new makes one.")
    return key


class Signer:
    """Signs with each of its keys; without keys, not at all."""

    def __init__(self, keys: Sequence[DkimKey] = ()) -> None:
        self._keys = tuple(keys)

    @property
    def signs(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._keys)

    def prepare(self, message: Message) -> "Prepared":
        """Everything about the signatures of this message that is the same for all readers."""
        return Prepared(message, self._keys)


class Prepared:
    """Signs the mails that one message is spliced into."""

    def __init__(self, message: Message, keys: Sequence[DkimKey]) -> None:
        fields = [each for each in _fields(message.head) if SIGNED.fullmatch(_name(each))]
        names = ["From", *map(_name, fields)]  # From once more than there is: none can be added (RFC 6376 §8.15)
        self._head = tuple(cut(b"".join(map(_relaxed, fields))))
        self._seals = tuple(_Seal(key, names, is_body_relaxed=_is_relaxed(message.body)) for key in keys)
        self._rest = len(message.body) - _first_place(message)  # octets from the body's first slot to its end
        self._begun = hashlib.sha256(message.body[: _first_place(message)])

    def sign(self, values: Mapping[Slot, str], octets: bytes) -> bytes:
        """The DKIM-Signature fields, in CRLF, to be put before `octets`: what splicing the same values gave."""
        if not self._seals:
            return b""
        head = b"".join([_octets(values[part]) if isinstance(part, Slot) else part for part in self._head])
        body_hash = self._body_hash(octets)
        return b"".join([seal.field(head, body_hash) for seal in self._seals])

    def _body_hash(self, octets: bytes) -> bytes:
        hashed = self._begun.copy()
        hashed.update(memoryview(octets)[len(octets) - self._rest :])
        return base64.b64encode(hashed.digest())


class _Seal:
    """One key's DKIM-Signature field: all of it but the two hashes."""

    def __init__(self, key: DkimKey, names: Sequence[str], *, is_body_relaxed: bool) -> None:
        self._key = key
        form = "relaxed/relaxed" if is_body_relaxed else "relaxed/simple"  # simple: kept by an earlier version
        lines = [
            f"v=1; a={key.algorithm}; c={form};",
            f"d={key.domain}; s={key.selector};",
            f"h={_folded_names(names)};",
            "bh=",
        ]
        self._begin = b"DKIM-Signature: " + "\r\n ".join(lines).encode()
        self._relaxed = _relaxed(self._begin).rstrip(b"\r\n")

    def field(self, head: bytes, body_hash: bytes) -> bytes:
        """RFC 6376 §3.7: signed are the fields, then this one with `b=` empty and without its CRLF."""
        signature = self._key.sign(b"".join((head, self._relaxed, body_hash, b"; b=")))
        return b"".join((self._begin, body_hash, b";\r\n b=", _folded(base64.b64encode(signature)), b"\r\n"))


def _fields(head: Iterable[bytes | Slot]) -> list[bytes]:
    """The header fields as they are sent, markers in the slots."""
    top = b"".join(marker(part).encode() if isinstance(part, Slot) else part for part in head)
    return [each for each in re.split(rb"\r\n(?![ \t])", top) if each]


def _name(field: bytes) -> str:
    return field.partition(b":")[0].decode()


def _relaxed(field: bytes) -> bytes:
    """RFC 6376 §3.4.2. There is no white space before the colon, and no other than spaces and folds after it."""
    name, _, value = field.partition(b":")
    return name.lower() + b":" + b" ".join(value.split()) + b"\r\n"


def _octets(value: str) -> bytes:
    """A slot's value as it stands in a relaxed field. It fills its field (an address, a date) or is a token."""
    return b" ".join(value.encode().split())


def _is_relaxed(body: bytes) -> bool:
    """Whether the body is its own relaxed form (RFC 6376 §3.4.4). What slots hold has no white space."""
    return not _NOT_RELAXED.search(body)


def _first_place(message: Message) -> int:
    """Where in the body readers' mails begin to differ."""
    return min((offset for patch in message.patches for offset, _, _ in patch.pieces), default=len(message.body))


def _folded_names(names: Sequence[str]) -> str:
    lines = (names[at : at + _NAMES_A_LINE] for at in range(0, len(names), _NAMES_A_LINE))
    return ":\r\n ".join(":".join(line) for line in lines)


def _folded(letters: bytes) -> bytes:
    return b"\r\n ".join([letters[at : at + _FOLD] for at in range(0, len(letters), _FOLD)])
