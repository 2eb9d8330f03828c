"""Automatic mail (confirmations, welcomes, notices) put on the one road out: each is a Delivery."""

from datetime import datetime

from sqlmodel import Session

from mailer.delivery.states import DeliveryStatus
from mailer.tables import Delivery, DeliveryKind, Subscriber, Subscription


def queue(
    session: Session,
    kind: DeliveryKind,
    *,
    subscription: Subscription,
    subscriber: Subscriber,
    consent_id: int | None,
    now: datetime,
) -> Delivery:
    """Queues one automatic mail for the reader, due at once. `consent_id` is the act it answers, where that is one that
    counts: one mail an act."""
    delivery = Delivery(
        kind=kind,
        edition_id=subscription.edition_id,
        subscription_id=subscription.id,
        consent_id=consent_id,
        destination=subscriber.domain,
        status=DeliveryStatus.QUEUED,
        due_at=now,
        queued_at=now,
        changed_at=now,
    )
    session.add(delivery)
    return delivery
