"""Our addresses that take mail: what each is for, and which of them a mail was written to.

    bounce+TOKEN@…                          return paths: reports about one delivery
    leave+TOKEN@…                           in List-Unsubscribe
    PUBLICATION+leave@…                     the same for who has no token: a mail asks whether it was they
    confirm+TOKEN@…                         Reply-To of a confirmation
    PUBLICATION+subscribe-EDITION@…         anybody who wants to read

All are in the domain MAILER_MAIL_DOMAIN. Servers may fold the case of a local part; tokens and names survive it.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mailer.inbound import address


class Use(enum.StrEnum):
    """What an address of ours is for."""

    RETURN_PATH = "bounce"
    LEAVE = "leave"
    CONFIRM = "confirm"
    SUBSCRIBE = "subscribe"
    GOODBYE = "goodbye"  #: leaving without a token
    OTHER = "other"  #: nothing that a program acts on: a person reads it, or nobody


@dataclass(frozen=True, kw_only=True)
class Ours:
    """An address in our mail domain, taken apart."""

    text: str
    use: Use
    token: str = ""  #: of a return path, or to leave or confirm; not yet known to be valid
    publication: str = ""  #: slug, of the address to subscribe or to leave at
    edition: str = ""  #: code, of the same


def ours(text: str, mail_domain: str) -> Ours | None:
    """The address in `text`, or None where it is not in our domain."""
    local, _, domain = text.strip().rpartition("@")
    if not local or domain.rstrip(".").lower() != mail_domain:
        return None
    text = f"{local[:_LOCAL_PART]}@{mail_domain}"
    word, plus, rest = local.lower().partition("+")
    if plus and word in _TOKENED:
        return Ours(text=text, use=_TOKENED[word], token=rest)
    if plus and rest == Use.LEAVE:
        return Ours(text=text, use=Use.GOODBYE, publication=word)
    if plus and (asked := _SUBSCRIBE.fullmatch(rest)):
        return Ours(text=text, use=Use.SUBSCRIBE, publication=word, edition=asked.group(1))
    return Ours(text=text, use=Use.OTHER)


_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1
_TOKENED = {use.value: use for use in (Use.RETURN_PATH, Use.LEAVE, Use.CONFIRM)}
_SUBSCRIBE = re.compile(r"subscribe-([a-z0-9-]{1,32})")


def written_to(fields: Mapping[str, str], mail_domain: str) -> Ours | None:
    """Which of our addresses a mail in a mailbox was written to, by its header, where the envelope is gone.

    Fields that a server wrote when it delivered count before those of the sender.
    """
    every = list(_in_order(fields, mail_domain))
    return next((each for each in every if each.use is not Use.OTHER), every[0] if every else None)


def _in_order(fields: Mapping[str, str], mail_domain: str) -> Iterator[Ours]:
    for name in ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to", "cc"):
        for found in address.every(fields.get(name, "")):
            if each := ours(found, mail_domain):
                yield each


def tokens_in(text: str, mail_domain: str) -> Iterator[tuple[Use, str]]:
    """Every return path and every address to leave at that stands in `text`, with its token."""
    pattern = rf"\b({Use.RETURN_PATH}|{Use.LEAVE})\+([0-9a-f]{{32}})@{re.escape(mail_domain)}\b"
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield Use(found.group(1).lower()), found.group(2).lower()
