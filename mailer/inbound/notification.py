"""Amazon SES tells of bounces and complaints in JSON, by mail where nothing else is set up (its event format)."""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mailer.inbound import address
from mailer.inbound.diagnosis import diagnose
from mailer.inbound.incoming import Action, Category, Kind, Recipient

RECIPIENTS = 200

Told = tuple[Kind, list[Recipient], str | None, str | None]

_OPENS = re.compile(r'\{\s*"(notificationType|eventType|Type)"')


def told(text: str) -> Told | None:
    """Kind, recipients, feedback and reporter of the event in `text`, or None where there is none."""
    return told_in(_event(text))


def told_in(event: Mapping[str, Any]) -> Told | None:
    """The same of an event that was taken out of its JSON."""
    match event.get("notificationType") or event.get("eventType"):
        case "Bounce":
            bounce = _table(event.get("bounce"))
            host = bounce.get("reportingMTA")
            reporter = re.sub(r"^\s*\w+\s*;\s*", "", host) if isinstance(host, str) else None
            sort = _SORTS.get(_word(bounce.get("bounceSubType")) or "", Category.UNKNOWN)
            recipients = [_bounced(each, sort) for each in _tables(bounce.get("bouncedRecipients")) if _address(each)]
            return Kind.BOUNCE, recipients, None, reporter
        case "Complaint":
            complaint = _table(event.get("complaint"))
            each = [_address(one) for one in _tables(complaint.get("complainedRecipients"))]
            recipients = [Recipient(address=one, category=Category.COMPLAINT) for one in each if one]
            return Kind.COMPLAINT, recipients, _word(complaint.get("complaintFeedbackType")) or "abuse", None
    return None


def _event(text: str) -> Mapping[str, Any]:
    opens = _OPENS.search(text)
    if opens is None:
        return {}
    try:
        event = _table(json.JSONDecoder(strict=False).raw_decode(text, opens.start())[0])
        if isinstance(event.get("Message"), str):  # wrapped by SNS
            event = _table(json.loads(event["Message"], strict=False))
    except (ValueError, RecursionError):
        return {}
    return event


#: Amazon's sort of a bounce, and what that means where there are no words.
_SORTS: Mapping[str, Category] = MappingProxyType(
    {
        "noemail": Category.DOUBTED_USER,
        "suppressed": Category.DOUBTED_USER,
        "onaccountsuppressionlist": Category.BLOCKED,
        "mailboxfull": Category.MAILBOX_FULL,
        "messagetoolarge": Category.MESSAGE,
        "attachmentrejected": Category.MESSAGE,
        "contentrejected": Category.SPAM,
    }
)


def _bounced(each: Mapping[str, Any], sort: Category) -> Recipient:
    named = _address(each) or ""
    try:
        action = Action(_word(each.get("action")) or "failed")
    except ValueError:
        action = Action.FAILED
    words = re.sub(r"^\s*\w+\s*;\s*", "", str(each.get("diagnosticCode") or ""))
    status = _word(each.get("status"))
    known = status if status and re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", status) else None
    found = diagnose(words, status=known, action=action)
    return Recipient(
        address=named,
        permanent=found.permanent,
        category=sort if found.category is Category.UNKNOWN else found.category,
        action=action,
        status=found.status,
        diagnostic=found.diagnostic,
    )


def _address(each: Mapping[str, Any]) -> str | None:
    value = each.get("emailAddress")
    return address.one(value) if isinstance(value, str) else None


def _word(value: object) -> str | None:
    return value.strip().lower()[:40] if isinstance(value, str) else None


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in (value if isinstance(value, list) else [])[:RECIPIENTS] if isinstance(each, dict))
