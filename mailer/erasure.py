"""Erasing a reader: the person goes from everything; a keyed hash stays, so that no list brings them back.

subscriber, subscriptions, consents     deleted; the chain keeps a link that fits nothing any more
deliveries, attempts                    stay without their reader, and without what servers said
automatic mail and issues that wait     withdrawn
reports, mail in the quarantine         without words, thrown away
suppression list                        the keyed hash
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.database import Database
from mailer.delivery import ledger
from mailer.inbound import quarantine
from mailer.subscribers import chain
from mailer.tables import (
    Arrival,
    Delivery,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)


def erase(session: Session, subscriber_id: int, *, by: str, why: str = "erased", now: datetime) -> bool:
    """Erases the subscriber. False where there is none (any more).

    An address that was suppressed for another reason stays so for that reason. The mail from it in the quarantine goes
    with `discard_mail`, outside this transaction.
    """
    subscriber = session.exec(
        select(Subscriber).where(Subscriber.id == subscriber_id).with_for_update(of=Subscriber)
    ).one_or_none()
    if subscriber is None:
        return False
    _keep_the_hash(session, subscriber.address_hash, by=by, now=now)
    ledger.forget_recipient(session, subscriber.address, now)
    forget(session, [subscriber_id], why, now)
    session.expunge(subscriber)
    return True


def forget(session: Session, subscriber_ids: Sequence[int], why: str, now: datetime) -> None:
    """Lets these subscribers go without leaving a hash: for those who never confirmed."""
    subscriptions = sa.select(col(Subscription.id)).where(col(Subscription.subscriber_id).in_(subscriber_ids))
    forget_subscriptions(session, subscriptions, why, now)
    session.execute(
        sa.delete(Subscriber).where(col(Subscriber.id).in_(subscriber_ids)).execution_options(synchronize_session=False)
    )


def forget_subscriptions(session: Session, subscriptions: sa.Select[Any], why: str, now: datetime) -> None:
    """What hangs on these subscriptions, before they are deleted themselves."""
    session.flush()
    deliveries = sa.select(col(Delivery.id)).where(col(Delivery.subscription_id).in_(subscriptions))
    session.execute(
        sa.update(Arrival)
        .where(col(Arrival.delivery_id).in_(deliveries))
        .values(diagnostic=None)
        .execution_options(synchronize_session=False)
    )
    ledger.forget_readers(session, subscriptions, now)
    chain.remove(session, subscriptions, why, now)


def _keep_the_hash(session: Session, address_hash: str, *, by: str, now: datetime) -> None:
    """Every entry of the list loses the address and its note, which may quote it; one for every publication stands."""
    stands = False
    for entry in session.exec(select(Suppression).where(Suppression.address_hash == address_hash)):
        entry.address, entry.note = None, ""
        stands |= entry.lifted_at is None and entry.publication_id is None
        session.add(entry)
    if not stands:
        session.add(Suppression(address_hash=address_hash, reason=SuppressionReason.ERASED, added_at=now, added_by=by))


def discard_mail(database: Database, address: str) -> int:
    """Throws away what waits in the quarantine and holds this address. Returns how many mails. Then, on SQLite, what
    was overwritten is written through to the file, so that no log of changes keeps it."""
    with database.read() as session:
        numbers = quarantine.naming(session, address)
    if numbers:
        with database.write() as session:
            quarantine.erase(session, numbers)
    database.write_through()
    return len(numbers)
