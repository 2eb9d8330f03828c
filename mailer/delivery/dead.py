"""An address is given up, because servers say that it does not exist or because its mail came back for too long."""

from datetime import datetime

from sqlmodel import Session, col, select

from mailer.delivery import forgetting
from mailer.subscribers import suppression
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, ConsentEvent, Subscriber, Subscription, SuppressionReason


def give_up(session: Session, subscription_id: int, reason: SuppressionReason, note: str, now: datetime) -> None:
    """The relay says that this subscription's address does not exist.

    A reader's address goes on the list, and so does one that left: no old list is to bring it back. One that was only
    ever typed into the form is forgotten instead, with what servers said of it: it proves nothing about anybody, and
    keeping it would keep a stranger's typing. Nor is the address of one kept who is being erased at this moment.
    """
    found = select(Subscriber).join(Subscription).where(Subscription.id == subscription_id)
    subscriber = session.exec(found.with_for_update(of=Subscriber)).one_or_none()
    if subscriber is None or subscriber.id is None:
        return
    if _was_never_a_reader(session, subscriber.id):
        forgetting.forget(session, [subscriber.id], "unconfirmed", now)
        session.expunge(subscriber)
        return
    suppression.suppress(session, subscriber, reason, note=note, by="mailer", now=now)


_KNOWN = (ConsentEvent.CONFIRMED, ConsentEvent.IMPORTED, ConsentEvent.LEFT)
"""Acts that are more than somebody's typing."""


def _was_never_a_reader(session: Session, subscriber_id: int) -> bool:
    acts = (
        select(Consent.id)
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .where(Subscription.subscriber_id == subscriber_id, col(Consent.event).in_(_KNOWN))
    )
    statuses = set(session.exec(select(Subscription.status).where(Subscription.subscriber_id == subscriber_id)))
    return statuses <= {SubscriptionStatus.PENDING} and session.exec(acts).first() is None
