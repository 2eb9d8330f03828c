"""The suppression list: addresses that get no mail, by keyed hash."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.tables import Consent, ConsentEvent, Subscriber, Subscription, Suppression, SuppressionReason


def dead_address(session: Session, subscription_id: int, reason: SuppressionReason, note: str, now: datetime) -> None:
    """The relay says that this subscription's address does not exist.

    A reader's address goes on the list. One that was only ever typed into the form is forgotten instead: it proves
    nothing about anybody, and keeping it would keep a stranger's typing.
    """
    subscription = session.get(Subscription, subscription_id)
    if subscription is None:
        return
    subscriber = session.get_one(Subscriber, subscription.subscriber_id)
    if _was_never_confirmed(session, subscriber):
        session.delete(subscriber)
        session.flush()
        return
    suppress(session, subscriber, reason, note=note, by="mailer", now=now)


def suppress(
    session: Session, subscriber: Subscriber, reason: SuppressionReason, *, note: str, by: str, now: datetime
) -> None:
    """Puts the subscriber's address on the list for every publication, and ends its subscriptions."""
    listed = select(Suppression.id).where(
        Suppression.address_hash == subscriber.address_hash,
        col(Suppression.lifted_at).is_(None),
        col(Suppression.publication_id).is_(None),
    )
    if session.exec(listed).first() is None:
        session.add(
            Suppression(
                address_hash=subscriber.address_hash,
                address=subscriber.address,
                reason=reason,
                note=note[:500],
                added_at=now,
                added_by=by,
            )
        )
    for subscription in session.exec(select(Subscription).where(Subscription.subscriber_id == subscriber.id)):
        subscription.status = advance(subscription.status, SubscriptionEvent.SUPPRESS)
        subscription.changed_at = now


def lift(session: Session, subscriber: Subscriber, reason: SuppressionReason, *, by: str, now: datetime) -> int:
    """Takes the subscriber's address off the list where it stands there for `reason`. Returns how many entries.

    Nobody is subscribed by that: the reader may ask again, and is asked to confirm again.
    """
    listed = select(Suppression).where(
        Suppression.address_hash == subscriber.address_hash,
        Suppression.reason == reason,
        col(Suppression.lifted_at).is_(None),
    )
    entries = session.exec(listed).all()
    for entry in entries:
        entry.lifted_at, entry.lifted_by = now, by
        session.add(entry)
    session.flush()
    return len(entries)


def _was_never_confirmed(session: Session, subscriber: Subscriber) -> bool:
    confirmations = (
        select(Consent.id)
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .where(Subscription.subscriber_id == subscriber.id, Consent.event == ConsentEvent.CONFIRMED)
    )
    statuses = set(session.exec(select(Subscription.status).where(Subscription.subscriber_id == subscriber.id)))
    return statuses <= {SubscriptionStatus.PENDING} and session.exec(confirmations).first() is None


def is_suppressed(session: Session, address_hash: str, publication_id: int) -> bool:
    """Whether mail of this publication to this address is held back."""
    listed = select(Suppression.id).where(
        Suppression.address_hash == address_hash,
        col(Suppression.lifted_at).is_(None),
        sa.or_(col(Suppression.publication_id).is_(None), col(Suppression.publication_id) == publication_id),
    )
    return session.exec(listed).first() is not None
