"""Reports in prose: what mail systems wrote before RFC 3464, and what some still write beside it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mailer.inbound import wording
from mailer.inbound.address import ADDRESS
from mailer.inbound.diagnosis import DIAGNOSTIC, diagnose, from_reply
from mailer.inbound.incoming import Action, Category, Recipient

RECIPIENTS = 200
LINES = 2000


@dataclass(frozen=True)
class Prose:
    """The human text of a report, as far as the returned message."""

    text: str
    before: str  #: what stands before the words that introduce the addresses
    returned_at: int | None  #: the line where the returned message begins, in the text it came in
    introduced: bool  #: it says that something was not delivered


def cut(text: str) -> Prose:
    """The text without the returned message, and without what stands before the report proper."""
    returned = wording.RETURNED.search(text)
    end = returned.start() if returned else len(text)
    own = text[:end]
    introduction = wording.INTRODUCTION.search(own)
    begin = own.rfind("\n", 0, introduction.start()) + 1 if introduction else 0
    return Prose(own[begin:], own[:begin], text.count("\n", 0, end) if returned else None, introduction is not None)


def action(subject: str, text: str) -> Action:
    """Whether the system has given up."""
    if wording.DELAYED.search(subject) or (wording.DELAYED.search(text) and not wording.GIVEN_UP.search(text)):
        return Action.DELAYED
    return Action.FAILED


def recipients(
    prose: Prose, subject: str, *, named: Iterable[str] = (), not_these: Iterable[str] = ()
) -> list[Recipient]:
    """The addresses that failed, with what is said of each.

    `named`: what the header says failed (X-Failed-Recipients), where the text names none. `not_these`: addresses that
    are the report's own, such as whom it is written to; they count where there is no other.
    """
    said = _said_of_each(prose.text) or _said_of_each(prose.before)
    own = {each.casefold() for each in not_these}
    others = {address: words for address, words in said.items() if address.casefold() not in own}
    said = others or ({} if list(named) else said) or dict.fromkeys(named, "")
    what = action(subject, prose.before + prose.text)
    found = []
    last = next((words for words in reversed(said.values()) if words.strip()), "")
    for address, words in list(said.items())[:RECIPIENTS]:
        lone = prose.text if len(said) == 1 else last if not words.strip() else ""
        at_rcpt = re.search(rf">>> RCPT To: ?<{re.escape(address)}>", prose.text, re.IGNORECASE)
        diagnosis = diagnose(words, action=what, around=lone or (at_rcpt.group() if at_rcpt else ""))
        if diagnosis.category is Category.UNKNOWN and len(said) == 1 and prose.before.strip():
            diagnosis = diagnose(prose.before, action=what)  # some tell the reason first
        found.append(
            Recipient(
                address=address,
                permanent=diagnosis.permanent,
                category=diagnosis.category,
                action=what,
                status=diagnosis.status,
                diagnostic=from_reply(diagnosis.diagnostic),
            )
        )
    return found


_OPENING = re.compile(
    rf"^(?P<indent>[ \t>]*)(?P<code>[45]\d\d[ -](?:[45]\.\d{{1,3}}\.\d{{1,3}} )?)?"
    rf"[*•·\"'-]{{0,3}}[ \t]*(?:Recipient: ?)?<?(?:mailto:)?"
    rf"(?P<address>{ADDRESS})>?(?P<rest>.*)$"
)
_BRACKETED = re.compile(rf"[ \t]+<(?P<address>{ADDRESS})>:")
_LABELLED = re.compile(
    r"(?:\b(?:to|for|recipient|address|user ?id|attempts|mailbox|smtp|generated from|deliver(?:ing)?|failed|list|in|of"
    r"|пользователю|адрес\w*|адресату|получател\w+|无法(?:发送|投递|送达)到|收件人|宛先)|[::]\s)"
    rf"\s*[:=]{{0,2}}\s*[<\"'(«\[]*(?:smtp:|mailto:)?(?P<address>{ADDRESS})",
    re.IGNORECASE,
)
#: A header's lines that are quoted, and name nobody who failed.
_NOT_SAID = ("from:", "to:", "cc:", "reply-to:", "subject:", "sender:")
_HELP = re.compile(
    r"(contact|assistance|help|forward|report|complain|abuse|support|please (send|mail|write)|sent by|from)\b.{0,80}$",
    re.IGNORECASE,
)


def _said_of_each(text: str) -> dict[str, str]:
    lines = text.split("\n")[:LINES]
    introduced = wording.INTRODUCTION.search(lines[0]) and not lines[0].rstrip().endswith(":")
    sentence = _labelled(lines[:1]) if introduced else {}
    return dict.fromkeys(sentence, text) or _opening(lines) or _labelled(lines)


def _opening(lines: list[str]) -> dict[str, str]:
    """Lines that an address opens, and the lines below each as far as the next."""
    said: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}
    deepest, current, size, transcript = None, "", 0, False
    for line in lines:
        found = _OPENING.match(line)
        indent = len(found.group("indent").expandtabs()) if found else 0
        if found and (deepest is None or indent <= deepest):
            deepest = indent if deepest is None else deepest
            bracketed = _BRACKETED.match(found.group("rest"))  # then what came before is a name
            address = (bracketed or found).group("address").rstrip(".-")
            current = spelled.setdefault(address.casefold(), address)
            said.setdefault(current, [])
            transcript = found.group("code") is not None
            line, size = line if transcript else found.group("rest").lstrip("\"':> "), 0
        elif transcript and indent == 0 and not line.startswith((" ", "\t")):
            current = ""  # in a transcript the next line speaks of something else
        if current and size < 4 * DIAGNOSTIC:
            said[current].append(line.strip())
            size += len(line)
    return {address: " ".join(words) for address, words in said.items()}


def _labelled(lines: list[str]) -> dict[str, str]:
    """Addresses in a sentence, such as `could not be delivered to: <a@b.example>`."""
    said: dict[str, str] = {}
    for number, line in enumerate(lines):
        for found in _LABELLED.finditer(line):
            if _HELP.search(line[: found.start()]) or line.lstrip().casefold().startswith(_NOT_SAID):
                continue
            address = found.group("address").rstrip(".-")
            said.setdefault(address, " ".join(each.strip() for each in lines[number : number + 20]))
    return said
