"""One incoming mail: from its octets to what it means.

What a report says stands in three places: the fields of RFC 3464 or RFC 5965, the header, and prose. They are asked
in that order, and only in the outer report: a returned message is closed, whatever it holds. Whoever writes to us can
return a message about anybody.
"""

import re
from collections.abc import Mapping, Sequence

from mailer.inbound import address, automatic, notification, prose, status, wording
from mailer.inbound.incoming import Action, Category, Incoming, Kind, Recipient
from mailer.inbound.mime import HEADER_OCTETS, TEXT_OCTETS, Message, Part, take_apart
from mailer.inbound.prose import Prose

_NO_FAILURE = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})


def read(octets: bytes) -> Incoming:
    """What the mail in `octets` means. Never raises; what cannot be understood is `Kind.OTHER`.

    Only the first mebibyte is looked at (`truncated` says so); a verdict stands at a report's beginning.
    """
    message = take_apart(octets)
    text, part = _human(message)
    told = prose.cut(text)
    found = _complaint(message, text) or _notification(message) or _report(message, told) or _in_prose(message, told)
    kind, recipients, feedback, reporter = found or _reply(message)
    returned_at = message.returned.line if message.returned else None
    if returned_at is None and part is not None and told.returned_at is not None:
        returned_at = part.line + told.returned_at
    return Incoming(
        kind=kind,
        recipients=tuple(recipients),
        feedback=feedback,
        reporter=reporter,
        sender=address.one(message.fields.get("from", "")),
        returned_at=returned_at,
        returned_id=_message_id(message, text),
        truncated=message.truncated,
    )


_Found = tuple[Kind, Sequence[Recipient], str | None, str | None]


def _human(message: Message) -> tuple[str, Part | None]:
    """The text that people read: plain where there is some, else HTML reduced to its words."""
    plain = [part for part in message.parts if part.type == "text/plain"]
    parts = plain or list(message.of_type("text/html"))
    texts, size = [], 0
    for part in parts:
        if size < TEXT_OCTETS:
            texts.append(part.text())
            size += len(texts[-1])
    if plain and not "".join(texts).strip():
        texts = [part.text() for part in list(message.of_type("text/html"))[:1]]
    return "\n".join(texts)[:TEXT_OCTETS], parts[0] if parts else None


# Complaints (RFC 5965)


def _complaint(message: Message, text: str) -> _Found | None:
    parts = [part.text() for part in message.of_type("message/feedback-report")]
    if not parts and "feedback-report" in message.fields.get("content-type", "").lower():
        parts = [part.text() for part in message.parts]
    if not parts and re.search(r"^Feedback-Type:", text, re.M | re.I) and re.search(r"^User-Agent:", text, re.M | re.I):
        parts = [prose.cut(text).text]  # the type of the part was lost on the way
    if parts:
        groups = [group for part in parts for group in status.groups(part)]
        every = [pair for group in groups for pair in group.every]
        fields = dict(reversed(every))
        feedback = (fields.get("feedback-type") or "abuse").split(";")[0].strip().lower()[:40]
        if feedback == "abuse" and fields.get("abuse-type", "").strip().lower().startswith("opt"):
            feedback = "opt-out"
        of = [value for name, value in every if name in ("original-rcpt-to", "removal-recipient")]
        return Kind.COMPLAINT, _complained(of), feedback, fields.get("reporting-mta") or fields.get("user-agent")
    sender = address.one(message.fields.get("from", ""))
    if sender and wording.OPT_OUT.search(text):
        return Kind.COMPLAINT, _complained([sender]), "opt-out", None
    if message.returned and wording.COMPLAINT.search(message.fields.get("subject", "")):
        return Kind.COMPLAINT, (), "abuse", None  # whose it is only the returned message says, which is not read
    return None


def _complained(values: Sequence[str]) -> list[Recipient]:
    each = dict.fromkeys(found for value in values for found in address.every(value))
    return [Recipient(address=one, category=Category.COMPLAINT) for one in each]


def _notification(message: Message) -> _Found | None:
    plain = next(message.of_type("text/plain"), None)
    return notification.told(plain.text(line=TEXT_OCTETS)) if plain else None


# Reports


def _report(message: Message, told: Prose) -> _Found | None:
    """RFC 3464 and RFC 6533, also where the part has lost its type."""
    parts = [part.text() for part in message.parts if part.type.endswith("delivery-status")]
    groups = [group for part in parts for group in status.groups(part)]
    if not groups and re.search(r"^(Final|Original)-Recipient[ \t]*:", told.text, re.M | re.I):
        groups = status.groups(told.text)
    if not groups:
        return None
    failed = _failed_recipients(message.fields)
    found = status.recipients(groups, told.text, lone=failed[0] if len(failed) == 1 else None)
    if not found and not parts:
        return None
    if not found:
        found = prose.recipients(told, message.fields.get("subject", ""), named=failed, not_these=_own(message.fields))
    no_failure = bool(found) and all(each.action in _NO_FAILURE for each in found)
    return Kind.OTHER if no_failure else Kind.BOUNCE, _once(found), None, status.reporter(groups)


def _in_prose(message: Message, told: Prose) -> _Found | None:
    """A report without fields. A daemon says it, or its header does, or subject and text agree."""
    fields = message.fields
    failed = _failed_recipients(fields)
    daemon = wording.DAEMON.search(fields.get("from", "")) is not None
    subject = wording.SUBJECT.search(fields.get("subject", "")) is not None
    if automatic.named_automatic(fields) and not daemon:
        return None
    certain = failed or wording.MAILER_DAEMON.search(fields.get("from", ""))
    if not (certain or (daemon and (subject or told.introduced)) or (subject and told.introduced)):
        return None
    found = prose.recipients(told, fields.get("subject", ""), named=failed, not_these=_own(fields))
    if not found and not (daemon and subject):
        return None
    return Kind.BOUNCE, _once(found), None, None


def _failed_recipients(fields: Mapping[str, str]) -> list[str]:
    return address.every(fields.get("x-failed-recipients", ""))


def _own(fields: Mapping[str, str]) -> list[str]:
    return address.every(fields.get("to", "")) + address.every(fields.get("from", ""))


def _once(found: Sequence[Recipient]) -> list[Recipient]:
    """One verdict an address: the first that is final, else the first."""
    each: dict[str, Recipient] = {}
    for recipient in found:
        key = recipient.address.casefold()
        before = each.get(key)
        if before is None or (before.action is Action.DELAYED and recipient.action is Action.FAILED):
            each[key] = recipient
    return list(each.values())


# Replies


def _reply(message: Message) -> _Found:
    receipt = next(message.of_type("message/disposition-notification"), None) is not None
    if not receipt and not automatic.is_automatic(message.fields):
        return Kind.OTHER, (), None, None
    sender = address.one(message.fields.get("from", ""))
    recipients = [Recipient(address=sender, category=Category.AUTO_REPLY)] if sender else []
    return Kind.AUTO_REPLY, recipients, None, None


def _message_id(message: Message, text: str) -> str | None:
    """The returned message's Message-ID. The only thing that is taken from it, and no verdict hangs on it."""
    if message.returned:
        header = message.returned.octets[:HEADER_OCTETS].partition(b"\n\n")[0].decode("utf-8", "replace")
        header += "\n" + "\n".join(f"{name}: {value}" for name, value in message.returned.fields.items())
    else:
        marker = wording.RETURNED.search(text)
        header = text[marker.start() :] if marker else ""
    found = re.search(r"^[ \t]*Message-ID[ \t]*:\s*<([^<>\s]{1,250})>", header, re.M | re.I)
    return found.group(1) if found else None
