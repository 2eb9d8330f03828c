"""What a delivery report does: it acts on the delivery that its token names, whatever address it claims."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlmodel import Session, select

from mailer.delivery import patience
from mailer.delivery.dead import give_up
from mailer.delivery.ledger import returning
from mailer.delivery.patience import OURS
from mailer.inbound.done import Done
from mailer.inbound.incoming import Action, Category, Effect, Incoming, Recipient
from mailer.subscribers.address import same
from mailer.tables import Arrival, Delivery, Subscriber, Subscription, SuppressionReason

log = logging.getLogger(__name__)

_ARRIVED = frozenset({Action.DELIVERED, Action.RELAYED, Action.EXPANDED})


def act(session: Session, delivery: Delivery, incoming: Incoming, arrival: Arrival, now: datetime) -> Done:
    """The delivery moves on, and its reader is suppressed where the address is dead. Raises StillSending."""
    assert delivery.id is not None
    reader = _reader(session, delivery)
    verdict, certain = _verdict(incoming.recipients, reader.address if reader else delivery.recipient)

    def done(effect: Effect, reason: str) -> Done:
        return Done(effect=effect, reason=reason, delivery_id=delivery.id, verdict=verdict)

    if verdict.action in _ARRIVED:
        return done(Effect.NOTHING, "it says that the mail arrived")
    if verdict.action is Action.DELAYED:
        log.info("delivery %d is delayed: %s", delivery.id, verdict.category)
        return done(Effect.NOTHING, "it says that the mail is late and still tried")
    moved = returning.bounce(session, delivery.id, now)
    if verdict.category in OURS:
        log.error(
            "delivery %d came back, and not for its reader's fault: %s %s. Its words: mailer inbound list --all",
            *(delivery.id, verdict.category, verdict.status or ""),
            extra={"action": "bounce-ours"},
        )
        return done(Effect.ALARM, f"{verdict.category}: not the reader's fault")
    if not moved:
        return done(Effect.NOTHING, "what was to be said of this delivery had been said")
    why = _why_dead(session, delivery, reader, verdict, certain, arrival, now)
    if why:
        if reader and session.get(Subscriber, reader.id) is None:  # forgotten: the words may name the address
            verdict = replace(verdict, diagnostic=None)
        return done(Effect.SUPPRESSED, why)
    return done(Effect.BOUNCED if moved else Effect.NOTHING, f"{verdict.category}: the delivery failed")


def _why_dead(
    session: Session,
    delivery: Delivery,
    reader: Subscriber | None,
    verdict: Recipient,
    certain: bool,
    arrival: Arrival,
    now: datetime,
) -> str | None:
    """Suppresses the reader where the address is given up. Returns why, None where it is not."""
    if reader is None or delivery.subscription_id is None or reader.id is None:
        return None
    if not (verdict.permanent and certain and verdict.category is Category.UNKNOWN_USER):
        arrival.delivery_id, arrival.category, arrival.effect = delivery.id, verdict.category, Effect.BOUNCED
        session.flush()  # it counts
        return patience.weigh(session, delivery.subscription_id, now, verdict.diagnostic or "")
    why = "unknown user"
    note = f"{why}: {verdict.diagnostic}" if verdict.diagnostic else why
    give_up(session, delivery.subscription_id, SuppressionReason.BOUNCE, note, now)
    return why


def is_about_the_reader(session: Session, delivery: Delivery, incoming: Incoming) -> bool:
    """Whether it names the address that the delivery went to; also where that is forgotten: nobody is harmed."""
    reader = _reader(session, delivery)
    address = reader.address if reader else delivery.recipient
    return address is None or any(_same(each.address, address) for each in incoming.recipients)


def _reader(session: Session, delivery: Delivery) -> Subscriber | None:
    """Whose delivery it is, locked: acts on one address happen one after the other."""
    if delivery.subscription_id is None:
        return None
    subscriber = select(Subscriber).join(Subscription).where(Subscription.id == delivery.subscription_id)
    return session.exec(subscriber.with_for_update(of=Subscriber)).one_or_none()


def _verdict(recipients: Sequence[Recipient], reader: str | None) -> tuple[Recipient, bool]:
    """What the report says of the mail to this reader, and whether it names the reader's own address.

    One delivery has one recipient. A report that names others speaks of where that one forwards to: then the mildest
    verdict counts, and no death is certain.
    """
    own = [each for each in recipients if reader and (_same(each.address, reader) or _same(each.original, reader))]
    if own:
        return max(own, key=_severity), True
    unnamed = Recipient(address="", category=Category.UNKNOWN, action=Action.FAILED)
    return min(recipients, key=_severity, default=unnamed), False


def _severity(verdict: Recipient) -> int:
    if verdict.action in _ARRIVED:
        return 0
    if verdict.action is Action.DELAYED:
        return 1
    return 3 if verdict.permanent else 2


def _same(claimed: str | None, reader: str) -> bool:
    return claimed is not None and (same(claimed, reader) or claimed.lower() == reader.lower())
