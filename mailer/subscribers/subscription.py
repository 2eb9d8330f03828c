"""What a reader does: asks, confirms, leaves, takes leaving back. Each act that counts leaves a Consent as evidence.

The functions take a session of a writing transaction and never commit. They lock the Subscriber's row before they
look at anything under it: acts on one address happen one after the other (SQLite has one writer anyway).
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from mailer.subscribers.address import Address
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.subscribers.suppression import is_suppressed, lift
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Subscriber,
    Subscription,
    SuppressionReason,
)

# Ask


@dataclass(frozen=True, kw_only=True)
class Owed:
    """An automatic mail that a reader's act calls for. The edge queues it in the same transaction."""

    kind: DeliveryKind
    subscription: Subscription
    subscriber: Subscriber
    consent_id: int  #: the act it answers


@dataclass(frozen=True, kw_only=True)
class Requested:
    """What came of a request. `owed` is None for a suppressed address and while an earlier mail is still fresh."""

    owed: Owed | None


def request(
    session: Session,
    *,
    edition: Edition,
    address: Address,
    address_hash: str,
    language: str,
    wording: str,
    source: str,
    network: str,
    window: timedelta,
    now: datetime,
) -> Requested:
    """Somebody asked for `edition` at `address`. Whether it was its owner, only the confirmation can tell.

    So nothing is written that no mail answers: not for a suppressed address, and not within `window` of the last
    automatic mail to it. Who is already confirmed is owed a welcome again, for one who forgot.
    """
    suppressed = is_suppressed(session, address_hash, edition.publication_id, for_good=True)
    trying = session.begin_nested()  # a suppressed address costs the same work, so that its time tells nothing
    owed = _owed(session, edition, address, address_hash, language, wording, source, network, window, now)
    if suppressed:
        trying.rollback()
        return Requested(owed=None)
    trying.commit()
    return Requested(owed=owed)


def _owed(
    session: Session,
    edition: Edition,
    address: Address,
    address_hash: str,
    language: str,
    wording: str,
    source: str,
    network: str,
    window: timedelta,
    now: datetime,
) -> Owed | None:
    subscriber = subscriber_of(session, address, address_hash, now)
    if was_written_to(session, subscriber, since=now - window, now=now):
        return None
    subscription = reading_of(session, subscriber, edition, language, now)
    move(session, subscription, SubscriptionEvent.REQUEST, now)
    pending = subscription.status is SubscriptionStatus.PENDING
    if pending:  # a stranger who types a confirmed reader's address must not change that reader's language
        subscription.language = language
    consent = record(
        session, subscription, ConsentEvent.REQUESTED, now, wording=wording, source=source, network=network
    )
    consent.language = language
    session.flush()
    kind = DeliveryKind.CONFIRMATION if pending else DeliveryKind.WELCOME
    return Owed(kind=kind, subscription=subscription, subscriber=subscriber, consent_id=id_of(consent))


def subscriber_of(session: Session, address: Address, address_hash: str, now: datetime) -> Subscriber:
    """The row of this address, written where there is none, and locked either way: of two at once, the second waits."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    values = {"address": address.text, "address_hash": address_hash, "domain": address.domain, "created_at": now}
    statement = insert(Subscriber).values(values)
    locking = statement.on_conflict_do_update(index_elements=["address_hash"], set_={"address_hash": address_hash})
    session.connection().execute(locking)
    return session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one()


def reading_of(
    session: Session, subscriber: Subscriber, edition: Edition, language: str, now: datetime
) -> Subscription:
    """The subscriber's reading of the edition. The subscriber's lock makes looking and writing one act."""
    found = session.exec(
        select(Subscription).where(Subscription.subscriber_id == subscriber.id, Subscription.edition_id == edition.id)
    ).one_or_none()
    if found is not None:
        return found
    subscription = Subscription(
        subscriber_id=id_of(subscriber),
        edition_id=id_of(edition),
        status=SubscriptionStatus.PENDING,
        language=language,
        created_at=now,
        changed_at=now,
    )
    session.add(subscription)
    session.flush()
    return subscription


_ASKING = (DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME, DeliveryKind.NEW_ADDRESS)
"""Mail that a stranger can cause by typing an address."""


def was_written_to(
    session: Session,
    subscriber: Subscriber,
    *,
    since: datetime,
    now: datetime,
    kinds: Collection[DeliveryKind] = _ASKING,
) -> bool:
    """Whether mail of these kinds was queued after `since`; not one that an import has put off.

    One that the reader answered by leaving does not count: only the owner of the mailbox can have done so, and may
    come back at once.
    """
    left_after = sa.exists().where(
        col(Consent.subscription_id) == col(Subscription.id),
        col(Consent.event) == ConsentEvent.LEFT,
        col(Consent.id) > col(Delivery.consent_id),
    )
    written = (
        select(Delivery.id)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(
            Subscription.subscriber_id == subscriber.id,
            col(Delivery.issue_id).is_(None),
            col(Delivery.kind).in_(kinds),
            Delivery.queued_at > since,
            Delivery.queued_at <= now,
            ~left_after,
        )
    )
    return session.exec(written.limit(1)).first() is not None


def ask_again(session: Session, subscription_id: int, now: datetime) -> Owed | None:
    """Mails to a reader fail: are they still read? None where there is nobody to ask.

    The request is our own, and confirmed like any other. It takes nothing away from the reader that does not answer.
    """
    row = row_of(session, subscription_id, lock=True)
    if row is None or row[0].status is not SubscriptionStatus.CONFIRMED:
        return None
    subscription, subscriber = row
    consent = record(
        session, subscription, ConsentEvent.REQUESTED, now, wording="", source="mailer: mails failed", network=""
    )
    session.flush()
    return Owed(kind=DeliveryKind.WARNING, subscription=subscription, subscriber=subscriber, consent_id=id_of(consent))


def request_again(
    session: Session, consent_id: int, *, source: str, network: str, window: timedelta, now: datetime
) -> Requested:
    """The link of the request `consent_id` has expired, and its reader wants another one: the same request once more.

    Owes nothing where a new link would be worth nothing, and within `window` of the last automatic mail.
    """
    found = _requested(session, consent_id, lock=True)
    outcome, subscription = _standing(session, found)
    if found is None or subscription is None or outcome is not Confirmation.DONE:
        return Requested(owed=None)
    asked, _, subscriber = found
    if was_written_to(session, subscriber, since=now - window, now=now):
        return Requested(owed=None)
    consent = record(
        session, subscription, ConsentEvent.REQUESTED, now, wording=asked.wording, source=source, network=network
    )
    consent.language = asked.language
    session.flush()
    kind = DeliveryKind.CONFIRMATION
    return Requested(owed=Owed(kind=kind, subscription=subscription, subscriber=subscriber, consent_id=id_of(consent)))


# Confirm


class Confirmation(enum.StrEnum):
    """What came of acting on a confirm link."""

    DONE = "done"  #: subscribed by this act
    AGAIN = "again"  #: was subscribed, was asked whether mails are read, and says so
    ALREADY = "already"  #: was subscribed before
    OUTDATED = "outdated"  #: the reader left after asking; only a fresh request counts
    SUPPRESSED = "suppressed"  #: the address gets no mail
    UNKNOWN = "unknown"  #: what the link named was erased


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """`owed` is the welcome, with DONE only; `subscription` is None with UNKNOWN only."""

    outcome: Confirmation
    subscription: Subscription | None = None
    owed: Owed | None = None


def confirm(
    session: Session,
    consent_id: int,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
) -> Confirmed:
    """The owner of the mailbox acted on the link that names the request `consent_id`. Again, it changes nothing.

    `language` is that of the wording; the subscription's where it is not given.
    """
    found = _requested(session, consent_id, lock=True)
    outcome, subscription = _standing(session, found)
    if found is None or subscription is None or outcome not in COUNTS:
        return Confirmed(outcome=outcome, subscription=subscription)
    lift(session, found[2].address_hash, reason=SuppressionReason.UNREACHABLE, by="reader", now=now)
    if subscription.status is SubscriptionStatus.SUPPRESSED:
        move(session, subscription, SubscriptionEvent.REQUEST, now)
    move(session, subscription, SubscriptionEvent.CONFIRM, now)
    lift(session, found[2].address_hash, reason=SuppressionReason.ERASED, by="reader", now=now)
    consent = record(
        session, subscription, ConsentEvent.CONFIRMED, now, wording=wording, source=source, network=network
    )
    consent.request_id, consent.language = consent_id, language or subscription.language
    session.flush()
    if outcome is Confirmation.AGAIN:
        return Confirmed(outcome=outcome, subscription=subscription)
    owed = Owed(kind=DeliveryKind.WELCOME, subscription=subscription, subscriber=found[2], consent_id=id_of(consent))
    return Confirmed(outcome=outcome, subscription=subscription, owed=owed)


def foresee(session: Session, consent_id: int) -> Confirmed:
    """What `confirm` would come to now. Changes nothing: for the page with the button."""
    outcome, subscription = _standing(session, _requested(session, consent_id, lock=False))
    return Confirmed(outcome=outcome, subscription=subscription)


_Request = tuple[Consent, Subscription, Subscriber]


def _requested(session: Session, consent_id: int, *, lock: bool) -> _Request | None:
    subscription_id = session.exec(
        select(Consent.subscription_id).where(
            Consent.id == consent_id, col(Consent.event).in_((ConsentEvent.REQUESTED, ConsentEvent.IMPORTED))
        )
    ).one_or_none()
    row = row_of(session, subscription_id, lock=lock) if subscription_id is not None else None
    consent = session.get(Consent, consent_id)
    return (consent, *row) if row and consent else None


def _standing(session: Session, found: _Request | None) -> tuple[Confirmation, Subscription | None]:
    if found is None:
        return Confirmation.UNKNOWN, None
    requested, subscription, subscriber = found
    publication_id = publication_of(session, subscription)
    if is_suppressed(session, subscriber.address_hash, publication_id, for_good=True):
        return Confirmation.SUPPRESSED, subscription
    if _came_after(session, requested, ConsentEvent.LEFT):
        return Confirmation.OUTDATED, subscription
    if subscription.status is SubscriptionStatus.CONFIRMED:
        asked_again = not _came_after(session, requested, ConsentEvent.CONFIRMED)
        return Confirmation.AGAIN if asked_again else Confirmation.ALREADY, subscription
    held = subscription.status is SubscriptionStatus.SUPPRESSED and is_suppressed(
        session, subscriber.address_hash, publication_id
    )
    done = held or subscription.status is SubscriptionStatus.PENDING
    return Confirmation.DONE if done else Confirmation.OUTDATED, subscription


COUNTS = frozenset({Confirmation.DONE, Confirmation.AGAIN})
"""What there is a button for."""


def _came_after(session: Session, requested: Consent, event: ConsentEvent) -> bool:
    later = select(Consent.id).where(
        Consent.subscription_id == requested.subscription_id,
        Consent.event == event,
        col(Consent.id) > requested.id,
    )
    return session.exec(later.limit(1)).first() is not None


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
    end(session, subscription, wording=wording, source=source, network=network, now=now, undo=not complained)
    session.flush()
    return Left(subscription=subscription, first=True)


def end(
    session: Session,
    subscription: Subscription,
    *,
    wording: str,
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
    return record(session, subscription, ConsentEvent.LEFT, now, wording=wording, source=source, network=network)


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
    session: Session, subscription_id: int, *, wording: str, source: str, network: str, now: datetime
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
        record(session, each, ConsentEvent.RESTORED, now, wording=wording, source=source, network=network)
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
            subscription.undo_until = subscription.moved_to_id = None
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
    source: str,
    network: str,
) -> Consent:
    consent = Consent(
        subscription_id=id_of(subscription),
        event=event,
        at=now,
        wording=wording,
        language=subscription.language,
        source=source,
        network=network,
    )
    session.add(consent)
    return consent


def id_of(row: Any) -> int:
    assert row.id is not None
    return int(row.id)
