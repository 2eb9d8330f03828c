"""Purpose-bound tokens: links that confirm or leave, return paths, message ids, the age of a form.

A token is one block of AES-128 (16 octets) under a key that exists for its purpose alone:

    octets 0-4  the id of the row it names        octets 5-7  the hour it expires (0: never)
    octets 8-15 zeros

Encrypting the whole block makes the token opaque (ids are not enumerable) and authentic at once: a forged or
altered token decrypts to eight zero octets with probability 2^-64. In hexadecimal it is always 32 characters of
[0-9a-f], survives case folding in a local part, and has a fixed width, which is what lets mail be spliced instead of
rendered per reader. Why not a longer, signed one: docs/decisions/0003-tokens.md.
"""

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mailer.errors import MailerError

WIDTH = 32
"""Characters in every token."""

ALPHABET = "0123456789abcdef"

_TOKEN = re.compile(rf"[{ALPHABET}]{{{WIDTH}}}", re.ASCII | re.IGNORECASE)
_ZEROS = bytes(8)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_LARGEST_ID = 2**40 - 1


class Purpose(enum.StrEnum):
    """What a token may be used for. Each has its own key, so one never passes for another."""

    CONFIRM = "confirm"  #: names a Consent: the request to be confirmed
    UNSUBSCRIBE = "unsubscribe"  #: names a Subscription; never expires
    FORM = "form"  #: names the second since 1970 in which a form was made
    PREFERENCES = "preferences"  #: names a Subscription; never expires
    MY_DATA = "my-data"  #: names a Subscription; expires in 24 hours, and only its reader's mailbox gets it
    MOVE = "move"  #: names a Consent: the request of an address that a reader wants to move to
    MOVE_BACK = "move-back"  #: names a Consent: the leaving of the address that a reader moved from
    RETURN_PATH = "return-path"  #: names a Delivery, in the envelope sender
    MESSAGE_ID = "message-id"  #: names a Delivery, in its Message-ID


_PERMANENT = {Purpose.MESSAGE_ID}


class TokenError(MailerError):
    """The token cannot be used."""


class TokenInvalid(TokenError):
    """Cut short, altered, forged, or made for another purpose."""

    def __init__(self) -> None:
        super().__init__("This link is not complete. Copy it again from the mail, from https:// to its last character.")


class TokenExpired(TokenError):
    """Genuine, but too old."""

    def __init__(self, named: int) -> None:
        super().__init__("This link has expired. Subscribe again to get a new one.")
        self.named = named


class Tokens:
    """Makes and reads tokens.

    `secrets`: the current one first, then older ones that are still honoured. `permanent` never changes: a delivery
    that is sent again after `secrets` were rotated must carry the Message-ID it had.
    """

    def __init__(self, secrets: Sequence[str], *, permanent: str) -> None:
        self._ciphers = {
            purpose: [_cipher(secret, purpose) for secret in ([permanent] if purpose in _PERMANENT else secrets)]
            for purpose in Purpose
        }

    def make(self, purpose: Purpose, named: int, *, expires: datetime | None = None) -> str:
        """The token that names row `named`; `expires` is rounded up to the hour."""
        return self.make_many(purpose, [named], expires=expires)[0]

    def make_many(self, purpose: Purpose, named: Iterable[int], *, expires: datetime | None = None) -> list[str]:
        """One token for each id, in one pass over the cipher."""
        hour = _hour(expires).to_bytes(3, "big")
        plain = b"".join(_id(each).to_bytes(5, "big") + hour + _ZEROS for each in named)
        letters = self._ciphers[purpose][0].encryptor().update(plain).hex()
        return [letters[at : at + WIDTH] for at in range(0, len(letters), WIDTH)]

    def read(self, purpose: Purpose, token: str, *, now: datetime) -> int:
        """The id that `token` names. Raises TokenInvalid or TokenExpired."""
        block = _decode(token)
        for cipher in self._ciphers[purpose]:
            plain = cipher.decryptor().update(block)
            if hmac.compare_digest(plain[8:], _ZEROS):
                named, hour = int.from_bytes(plain[:5], "big"), int.from_bytes(plain[5:8], "big")
                if hour and now >= _EPOCH + timedelta(hours=hour):
                    raise TokenExpired(named)
                return named
        raise TokenInvalid


def _cipher(secret: str, purpose: Purpose) -> Cipher[modes.ECB]:
    key = hmac.digest(secret.encode(), b"mailer token: " + purpose.value.encode(), hashlib.sha256)[:16]
    return Cipher(algorithms.AES128(key), modes.ECB())  # noqa: S305  a single block has no pattern to show


def _id(named: int) -> int:
    if not 0 < named <= _LARGEST_ID:
        raise ValueError(f"a token cannot name {named}")
    return named


def _hour(expires: datetime | None) -> int:
    return 0 if expires is None else -((_EPOCH - expires) // timedelta(hours=1))


def _decode(token: str) -> bytes:
    if not _TOKEN.fullmatch(token):
        raise TokenInvalid
    return bytes.fromhex(token)
