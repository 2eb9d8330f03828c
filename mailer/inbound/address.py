"""Addresses as reports write them: looser than what may be mailed (mailer.subscribers.address), for they are compared,
never written to."""

import re

#: One address in a line of text; international ones too (RFC 6531).
ADDRESS = (
    r"[^\s<>()\[\]:;,\"'@|\\*]{1,64}@"
    r"(?:[^\W_][\w-]{0,62}\.){0,12}(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}|[^\W\d_\x00-\x7f]{2,62})"
)
_BARE = re.compile(ADDRESS)
_TYPED = re.compile(r"^\s*[\w-]{1,20}\s*;")
_ANY_LOCAL = re.compile(r'^(?:"[^"\r\n]{1,64}"|[^\s<>()\[\]:;,"@|\\]{1,128})@[^\s<>()\[\]:;,"@]{1,255}$')


def one(text: str) -> str | None:
    """The address in a field such as `rfc822; <a@b.example>`, or None."""
    text = _TYPED.sub("", text[:1000]).strip()
    bracketed = re.search(r"<\s*([^<>]{3,400})\s*>", text)
    bare = (bracketed.group(1) if bracketed else text).strip(" \t'`")
    bare = re.sub(r"^@[^:]{1,255}:", "", bare)  # a source route (RFC 5321 §4.1.1.3)
    bare = re.sub(r"^(smtp|mailto):", "", bare, flags=re.IGNORECASE)
    if _ANY_LOCAL.match(bare):
        return bare.rstrip(".")
    found = None if re.match(r"^[|/]", bare) else _BARE.search(bare)
    return found.group().rstrip(".-") if found else None


def every(text: str) -> list[str]:
    """The addresses in a field that lists some."""
    return list(dict.fromkeys(found.group().rstrip(".-") for found in _BARE.finditer(text[:20_000])))
