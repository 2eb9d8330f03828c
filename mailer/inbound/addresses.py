"""Our addresses that take mail: what each is for, and which of them a mail was written to.

    bounce+TOKEN@…                          return paths: reports about one delivery
    COMMAND+TOKEN@…, COMMAND-WHAT+TOKEN@…   links.Command: what stands in letters, to act by a letter
    PUBLICATION+leave@…                     for who has no token: a mail asks whether it was they
    PUBLICATION+preferences@…               likewise: a mail brings the addresses that have one
    PUBLICATION+subscribe-EDITION@…         anybody who wants to read

All are in the domain MAILER_MAIL_DOMAIN. Servers may fold the case of a local part; tokens and names survive it.
"""

import enum
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mailer.inbound import address
from mailer.links import Command
from mailer.tokens import Purpose


class Use(enum.StrEnum):
    """What an address of ours is for."""

    RETURN_PATH = "bounce"
    COMMAND = "command"  #: which one says `command`
    SUBSCRIBE = "subscribe"
    GOODBYE = "goodbye"  #: leaving without a token
    PREFERENCES = "preferences"  #: the ways by mail, without a token
    OTHER = "other"  #: nothing that a program acts on: a person reads it, or nobody


@dataclass(frozen=True, kw_only=True)
class Ours:
    """An address in our mail domain, taken apart."""

    text: str
    use: Use
    command: Command | None = None
    what: str = ""  #: that a command is about: weeks, the code of an edition, a language
    token: str = ""  #: of a return path or a command; not yet known to be valid
    publication: str = ""  #: slug, of an address without a token
    edition: str = ""  #: code, of the address to subscribe at


def ours(text: str, mail_domain: str) -> Ours | None:
    """The address in `text`, or None where it is not in our domain."""
    local, _, domain = text.strip().rpartition("@")
    if not local or domain.rstrip(".").lower() != mail_domain:
        return None
    text = f"{local[:_LOCAL_PART]}@{mail_domain}"
    word, plus, rest = local.lower().partition("+")
    if plus and word == Use.RETURN_PATH:
        return Ours(text=text, use=Use.RETURN_PATH, token=rest)
    if plus and rest in _WITHOUT_TOKEN:
        return Ours(text=text, use=_WITHOUT_TOKEN[rest], publication=word)
    if plus and (asked := _SUBSCRIBE.fullmatch(rest)):
        return Ours(text=text, use=Use.SUBSCRIBE, publication=word, edition=asked.group(1))
    if plus and (found := _COMMAND.fullmatch(word)):
        command = Command(found.group(1) or found.group(2))
        return Ours(text=text, use=Use.COMMAND, command=command, what=found.group(3) or "", token=rest)
    return Ours(text=text, use=Use.OTHER)


PURPOSES = defaultdict(
    lambda: Purpose.PREFERENCES,
    {
        Command.CONFIRM: Purpose.CONFIRM,
        Command.LEAVE: Purpose.UNSUBSCRIBE,
        Command.MOVE: Purpose.MOVE,
        Command.MOVE_BACK: Purpose.MOVE_BACK,
        Command.DATA: Purpose.MY_DATA,
        Command.ERASE: Purpose.MY_DATA,
    },
)
"""What the token of a command is for: of most, what the link to the preferences is for."""

_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1
_ABOUT = (Command.PAUSE, Command.ADD, Command.DROP, Command.LANGUAGE)
"""Commands that are about something."""

_ALONE = "|".join(sorted(set(Command) - set(_ABOUT)))
_COMMAND = re.compile(rf"({_ALONE})|({'|'.join(_ABOUT)})-([a-z0-9-]{{1,32}})")
_WITHOUT_TOKEN = {Command.LEAVE.value: Use.GOODBYE, Command.PREFERENCES.value: Use.PREFERENCES}
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


def tokens_in(text: str, mail_domain: str) -> Iterator[tuple[Purpose, str]]:
    """Every return path and every address to leave at that stands in `text`: what its token is for, and the token."""
    pattern = rf"\b({'|'.join(_TELLING)})\+([0-9a-f]{{32}})@{re.escape(mail_domain)}\b"
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield _TELLING[found.group(1).lower()], found.group(2).lower()


_TELLING = {Use.RETURN_PATH.value: Purpose.RETURN_PATH, Command.LEAVE.value: Purpose.UNSUBSCRIBE}
