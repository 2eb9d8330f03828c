"""A reader's subscriptions: their rows, how they move, and how they end. Each act leaves a Consent as evidence.

The functions take a session of a writing transaction and never commit. They lock the Subscriber's row before they
look at anything under it: acts on one address happen one after the other (SQLite has one writer anyway).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.statement import Statement, is_one_of
from mailer.subscribers.address import Address
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Subscriber,
    Subscription,
    metadata,
)

# Leave


@dataclass(frozen=True, kw_only=True)
class Left:
    """`subscription` is None where it was erased: then there is nothing left to leave."""

    subscription: Subscription | None
    first: bool  #: this act ended it; False where it had ended before


UNDO = timedelta(days=30)
"""How long leaving can be taken back."""


def leave(
    session: Session,
    subscription_id: int,
    *,
    wording: str = "",
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
    complained: bool = False,
) -> Left:
    """The reader unsubscribed. Always succeeds; doing it again changes nothing (RFC 8058 §3.1).

    A subscription that went on at another address is left there. `complained`: a mailbox's provider says so, which ends
    what was sent to that mailbox and nothing else, and cannot be taken back.
    """
    row = row_of(session, subscription_id if complained else goes_on_as(session, subscription_id), lock=True)
    if row is None:
        return Left(subscription=None, first=False)
    subscription, _ = row
    if subscription.status is SubscriptionStatus.UNSUBSCRIBED:
        if complained:
            subscription.undo_until = None
        return Left(subscription=subscription, first=False)
    end(
        session,
        subscription,
        wording=wording,
        language=language,
        source=source,
        network=network,
        now=now,
        undo=not complained,
    )
    session.flush()
    return Left(subscription=subscription, first=True)


def end(
    session: Session,
    subscription: Subscription,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
    undo: bool = True,
) -> Consent:
    """Ends one subscription, whose subscriber is locked. Can be taken back where it was confirmed, once in UNDO."""
    may_undo = undo and subscription.status is SubscriptionStatus.CONFIRMED
    move(session, subscription, SubscriptionEvent.LEAVE, now)
    subscription.gave_reason = False
    subscription.undo_until = None
    if may_undo and not was_recorded(session, subscription, ConsentEvent.RESTORED, since=now - UNDO):
        subscription.undo_until = now + UNDO
    evidence = {"wording": wording, "source": source, "network": network}
    return record(session, subscription, ConsentEvent.LEFT, now, language=language, **evidence)


def goes_on_as(session: Session, subscription_id: int) -> int:
    """The subscription in which this one goes on at another address; itself where its reader has not moved."""
    passed = set[int]()
    while subscription_id not in passed:
        passed.add(subscription_id)
        moved = session.exec(select(Subscription.moved_to_id).where(Subscription.id == subscription_id)).first()
        subscription_id = moved or subscription_id
    return subscription_id


ENDED = frozenset({SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.PENDING})
"""What a subscription that was left may be: somebody who asks for it in the form takes the way back from nobody."""


def can_restore(session: Session, subscription: Subscription, now: datetime) -> bool:
    """Whether leaving can still be taken back."""
    if subscription.status not in ENDED or not subscription.undo_until:
        return False
    subscriber = session.get(Subscriber, subscription.subscriber_id)
    if subscriber is None:  # erased while we waited
        return False
    is_held = is_suppressed(session, subscriber.address_hash, publication_of(session, subscription))
    return now < subscription.undo_until and not is_held


def restore(
    session: Session,
    subscription_id: int,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
) -> Sequence[Subscription]:
    """The reader takes leaving back: everything that was left in the same act is as it was. Returns what came back.

    Nothing where there is nothing to take back, or no longer, or where it was done before.
    """
    row = row_of(session, goes_on_as(session, subscription_id), lock=True)
    if row is None or not can_restore(session, row[0], now):
        return []
    left, publication_id = row[0], publication_of(session, row[0])
    together = [
        each
        for each in readings(session, left.subscriber_id, publication_id)
        if each.undo_until == left.undo_until and each.status in ENDED
    ]
    for each in together:
        bring_back(session, each, now)
        evidence = {"wording": wording, "source": source, "network": network}
        record(session, each, ConsentEvent.RESTORED, now, language=language, **evidence)
    session.flush()
    return together


def bring_back(session: Session, subscription: Subscription, now: datetime) -> None:
    """It is as it was before it was left; a request that nobody has confirmed since falls away."""
    if subscription.status is SubscriptionStatus.PENDING:
        move(session, subscription, SubscriptionEvent.LEAVE, now)
    move(session, subscription, SubscriptionEvent.RESTORE, now)


# Rows


def row_of(session: Session, subscription_id: int, *, lock: bool) -> tuple[Subscription, Subscriber] | None:
    subscriber = select(Subscriber).join(Subscription).where(Subscription.id == subscription_id)
    found = session.exec(subscriber.with_for_update(of=Subscriber) if lock else subscriber).one_or_none()
    subscription = session.get(Subscription, subscription_id, populate_existing=True)  # as it is once the lock is ours
    return (subscription, found) if found and subscription else None


def lock_address(session: Session, address: Address, address_hash: str, now: datetime) -> int:
    """The id of this address's Subscriber, written where there is none, and locked either way: of two at once, the
    second waits."""
    found = _LOCK_ADDRESS.first(
        session, address=address.text, address_hash=address_hash, domain=address.domain, created_at=now
    )
    assert found is not None
    return int(found[0])


def lock_reading(
    session: Session, subscriber_id: int, edition_id: int, language: str, now: datetime
) -> tuple[int, SubscriptionStatus, str]:
    """The id, status and language of the subscriber's reading of the edition, which begins as pending."""
    found = _LOCK_READING.first(
        session,
        subscriber_id=subscriber_id,
        edition_id=edition_id,
        status=SubscriptionStatus.PENDING,
        language=language,
        created_at=now,
        changed_at=now,
    )
    assert found is not None
    return found[0], found[1], found[2]


def subscriber_of(session: Session, address: Address, address_hash: str, now: datetime) -> Subscriber:
    """The row of `lock_address`."""
    return session.get_one(Subscriber, lock_address(session, address, address_hash, now))


def reading_of(
    session: Session, subscriber: Subscriber, edition: Edition, language: str, now: datetime
) -> Subscription:
    """The row of `lock_reading`."""
    named, _, _ = lock_reading(session, id_of(subscriber), id_of(edition), language, now)
    return session.get_one(Subscription, named)


ASKING = (DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME, DeliveryKind.NEW_ADDRESS)
"""Mail that a stranger can cause by typing an address."""


def was_written_to(
    session: Session,
    subscriber_id: int,
    *,
    since: datetime,
    now: datetime,
    kinds: Sequence[DeliveryKind] = ASKING,
) -> bool:
    """Whether mail of these kinds was queued after `since`; not one that an import has put off.

    One that the reader answered by leaving does not count: only the owner of the mailbox can have done so, and may
    come back at once.
    """
    return _written(kinds).first(session, subscriber_id=subscriber_id, since=since, now=now) is not None


@functools.cache
def _written(kinds: Sequence[DeliveryKind]) -> Statement:
    left_after = sa.exists().where(
        col(Consent.subscription_id) == col(Subscription.id),
        col(Consent.event) == ConsentEvent.LEFT,
        col(Consent.id) > col(Delivery.consent_id),
    )
    return Statement(
        sa.select(col(Delivery.id))
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(
            col(Subscription.subscriber_id) == sa.bindparam("subscriber_id"),
            col(Delivery.issue_id).is_(None),
            is_one_of(metadata.tables["delivery"].c.kind, kinds),
            col(Delivery.queued_at) > sa.bindparam("since"),
            col(Delivery.queued_at) <= sa.bindparam("now"),
            ~left_after,
        )
        .limit(1)
    )


def readings(session: Session, subscriber_id: int, publication_id: int) -> Sequence[Subscription]:
    """The subscriber's subscriptions to a publication, whatever their state, as they are now."""
    found = (
        select(Subscription)
        .join(Edition)
        .where(Subscription.subscriber_id == subscriber_id, Edition.publication_id == publication_id)
        .order_by(col(Edition.position), col(Edition.id))
        .execution_options(populate_existing=True)
    )
    return session.exec(found).all()


def was_recorded(
    session: Session, subscription: Subscription, event: ConsentEvent, *, since: datetime, source: str | None = None
) -> bool:
    """Whether there is evidence of such an act after `since`; by this `source`, where one is given."""
    found = select(Consent.id).where(
        Consent.subscription_id == subscription.id, Consent.event == event, Consent.at > since
    )
    return session.exec(found.where(Consent.source == source) if source else found).first() is not None


def publication_of(session: Session, subscription: Subscription) -> int:
    return session.exec(select(Edition.publication_id).where(Edition.id == subscription.edition_id)).one()


def move(session: Session, subscription: Subscription, event: SubscriptionEvent, now: datetime) -> None:
    before, subscription.status = subscription.status, advance(subscription.status, event)
    if subscription.status is not before:
        subscription.changed_at = now
        if subscription.status is SubscriptionStatus.CONFIRMED:
            subscription.undo_until = subscription.moved_to_id = subscription.taken_back_to_id = None
            if event is not SubscriptionEvent.RESTORE:  # which brings it back as it was
                subscription.paused_until = None
    session.add(subscription)


def record(
    session: Session,
    subscription: Subscription,
    event: ConsentEvent,
    now: datetime,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
) -> Consent:
    """The evidence of an act. `language` is that of the wording; the subscription's where it is not given."""
    consent = Consent(
        subscription_id=id_of(subscription),
        event=event,
        at=now,
        wording=wording,
        language=language or subscription.language,
        source=source,
        network=network,
    )
    session.add(consent)
    return consent


def id_of(row: Any) -> int:
    assert row.id is not None
    return int(row.id)


def _writing(table: sa.Table, names: Sequence[str], unique: Sequence[str], found: Sequence[str]) -> Statement:
    """An insert that finds, and locks, the row that is there already. What it sets to what it is must be no key: else
    PostgreSQL has it wait for everybody who writes a row that refers to it, such as an issue's deliveries."""

    def statement(insert: Any) -> Any:
        row = insert(table).values({name: sa.bindparam(name) for name in names})
        held = row.on_conflict_do_update(index_elements=unique, set_={found[-1]: table.c[found[-1]]})
        return held.returning(*(table.c[name] for name in found))

    return Statement(statement)


_LOCK_ADDRESS = _writing(
    metadata.tables["subscriber"],
    ("address", "address_hash", "domain", "created_at"),
    ["address_hash"],
    ["id", "domain"],
)
_LOCK_READING = _writing(
    metadata.tables["subscription"],
    ("subscriber_id", "edition_id", "status", "language", "created_at", "changed_at"),
    ["subscriber_id", "edition_id"],
    ["id", "status", "language"],
)
