"""Values out of JSON that a stranger may have written."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailer.inbound import address
from mailer.inbound.diagnosis import diagnose
from mailer.inbound.event import Event
from mailer.inbound.incoming import Action, Category, Incoming, Kind, Recipient
from mailer.inbound.providers.provider import Refused

TEXT = 10_000  #: characters of one value
DEEPEST = 100  #: what nests deeper could be read, and not be written again

Table = Mapping[str, Any]


def parsed(body: bytes | str) -> Any:
    """Raises Refused."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("its body is not JSON") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _within(each)]
    if level:
        raise Refused(f"its body nests deeper than {DEEPEST}")
    return value


def _within(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def table(value: object) -> Table:
    return value if isinstance(value, dict) else {}


def listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """A string or a number as text, "" for anything else."""
    if isinstance(value, str):
        return value[:TEXT]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def word(value: object) -> str:
    return text(value).strip().lower()[:60]


def status(value: object) -> str:
    """RFC 3463, "" for anything else."""
    found = text(value).strip()
    return found if _STATUS.fullmatch(found) else ""


_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)


def octets(value: object) -> bytes:
    """As people read it in the quarantine."""
    return json.dumps(value, indent=1).encode()


def bounce(
    recipient: str,
    words: str,
    *,
    status: str = "",
    otherwise: Category = Category.UNKNOWN,
    certain: bool = False,
    reporter: str | None = None,
) -> Incoming:
    """A mail that failed. Its words decide; where they say nothing, the provider's own class `otherwise`.

    `certain`: `otherwise` is what the provider did, not what it read out of the words.
    """
    found = diagnose(words, status=status or None, action=Action.FAILED)
    if certain or found.category is Category.UNKNOWN:
        category, permanent = otherwise, False
    else:
        category, permanent = found.category, found.permanent
    failed = Recipient(
        address=address.one(recipient) or "",
        permanent=permanent,
        category=category,
        action=Action.FAILED,
        status=found.status,
        diagnostic=found.diagnostic,
    )
    return Incoming(kind=Kind.BOUNCE, recipients=(failed,), reporter=reporter)


def complaint(recipient: str, feedback: str, *, reporter: str | None = None) -> Incoming:
    """`feedback`: "abuse" or "opt-out"."""
    complained = Recipient(address=address.one(recipient) or "", category=Category.COMPLAINT)
    return Incoming(kind=Kind.COMPLAINT, recipients=(complained,), feedback=feedback, reporter=reporter)


def unclear(provider: str, value: object) -> Event:
    """What is not understood, for the quarantine."""
    return Event(provider=provider, id="", incoming=Incoming(kind=Kind.OTHER), octets=octets(value))
