"""Addresses: what may be written to, in which spelling, and the keyed hash that knows one again.

What `parse` accepts is safe as it stands in a header (RFC 5322 §3.4.1, without quoted local parts) and in RCPT TO
(RFC 5321 §4.1.2, RFC 6531 §3.3): no space, no control character, no angle bracket, no encoded word.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from mailer.errors import MailerError


class AddressError(MailerError):
    """This is not an address that mail can be sent to; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """An address that was parsed. `text` is what is stored and shown."""

    text: str  #: normalised: NFC, the domain in lower case and in its own script
    ascii: str | None  #: for the wire, the domain as A-labels; None where the relay must offer SMTPUTF8
    domain: str  #: the receiving domain as A-labels, lower case


def parse(text: str) -> Address:
    """The address in `text`, without the white space around it. Raises AddressError."""
    bare = text.strip()
    if plain := _plain(bare):
        return plain
    if any(unicodedata.category(char) in _UNSAFE_CATEGORIES for char in bare) or any(each in bare for each in _UNSAFE):
        raise AddressError("The address contains characters that no address has. Type it again by hand.")
    try:
        found = validate_email(bare, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise AddressError(f"This is not an e-mail address: {error}") from None
    if not _is_what_was_typed(found, bare):
        raise AddressError(f"Did you mean {found.normalized}? Type the address exactly as it should be.")
    return Address(text=found.normalized, ascii=found.ascii_email, domain=found.ascii_domain.lower())


def hash(address: Address, key: str) -> str:
    """Hex HMAC-SHA256 under `key`, the same in capitals and small letters. Outlives the address.

    Letters whose capital is that of another letter stay apart (ß and ss, ı and i), but σ and ς of a name are one.
    """
    return hmac.digest(key.encode(), _folded(address.text).encode(), hashlib.sha256).hex()


def same(one: str, other: str) -> bool:
    """Whether two spellings are one address, as hash() sees it; True for no text that parse() refuses."""
    try:
        return _folded(parse(one).text) == _folded(parse(other).text)
    except AddressError:
        return False


def _folded(text: str) -> str:
    """Lower case, not casefold(): swiß.example and swiss.example are two domains, and so may two mailboxes be. So are
    domains in σ and ς, which parse() leaves as they are; in a name lower() makes the one or the other of Σ."""
    local, _, domain = text.lower().rpartition("@")
    return unicodedata.normalize("NFC", f"{local.replace('ς', 'σ')}@{domain}")


_PLAIN = re.compile(r"([\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*)@([a-zA-Z0-9.-]+)", re.ASCII)


def _plain(bare: str) -> Address | None:
    """The same in a tenth of the time for what nearly every address is: ASCII, at a domain that was met before."""
    found = _PLAIN.fullmatch(bare) if len(bare) <= 200 and "=?" not in bare else None
    domain = found and len(found[1]) <= 64 and _is_domain(found[2].lower()) and found[2].lower()
    if not found or not domain:
        return None
    text = f"{found[1]}@{domain}"
    return Address(text=text, ascii=text, domain=domain)


@lru_cache(maxsize=10_000)
def _is_domain(domain: str) -> bool:
    """Whether mail can be sent there, in just this spelling."""
    try:
        found = validate_email(f"a@{domain}", check_deliverability=False, strict=True)
    except EmailNotValidError:
        return False
    return found.domain == domain


def mailbox(address: Address) -> str:
    """Where mail to it ends, as far as its spelling tells: folded, without a tag (name+tag@…). Only for counting: there
    ß is ss, so that no spelling makes one mailbox into two."""
    local, _, _ = address.text.casefold().rpartition("@")
    return unicodedata.normalize("NFC", f"{local.partition('+')[0]}@{address.domain}")


_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}  # controls, invisible marks, lone surrogates, all spaces
_UNSAFE = ("=?", "\N{REPLACEMENT CHARACTER}")  # an encoded word; what stands for something that was lost


def _is_what_was_typed(found: ValidatedEmail, typed: str) -> bool:
    """Whether parsing changed nothing but the Unicode form and the case of the domain. Mail writes it as A-labels."""
    local, _, domain = typed.rpartition("@")
    if found.local_part != unicodedata.normalize("NFC", local):
        return False
    as_labels = found.ascii_domain.lower() == domain.lower()
    return as_labels or found.domain.casefold() == unicodedata.normalize("NFKC", domain).casefold()
