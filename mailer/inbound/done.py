"""What acting on an incoming mail comes to."""

from collections.abc import Sequence
from dataclasses import dataclass

from mailer.inbound.incoming import Effect, Recipient


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was done and why."""

    effect: Effect
    reason: str  #: a sentence for the operator
    delivery_id: int | None = None
    verdict: Recipient | None = None  #: what the report says of the delivery
    queued: bool = False  #: a mail is due for it
    erased: Sequence[str] = ()  #: addresses whose mail in the quarantine is to go as well


class Unclear(Exception):
    """The mail cannot be acted on, and nothing was changed: it goes to the quarantine. The message says why."""
