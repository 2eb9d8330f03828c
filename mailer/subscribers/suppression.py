"""The suppression list: addresses that get no mail, by keyed hash."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.statement import Statement
from mailer.subscribers.address import Address
from mailer.subscribers.states import SubscriptionEvent, advance
from mailer.tables import Subscriber, Subscription, Suppression, SuppressionReason

LIFTED_BY_CONFIRMING = (SuppressionReason.UNREACHABLE, SuppressionReason.ERASED)


def hold(session: Session, subscription_ids: Collection[int | None]) -> None:
    """Locks the readers of these subscriptions, in everybody's order, and before their deliveries, as a report does: so
    that who records an answer and who takes a report about the same reader never wait for each other."""
    if not subscription_ids or session.get_bind().dialect.name == "sqlite":  # which has one writer
        return
    theirs = sa.select(col(Subscription.subscriber_id)).where(col(Subscription.id).in_(subscription_ids))
    rows = sa.select(col(Subscriber.id)).where(col(Subscriber.id).in_(theirs)).order_by(col(Subscriber.id))
    session.connection().execute(rows.with_for_update())


def suppress(
    session: Session, subscriber: Subscriber, reason: SuppressionReason, *, note: str, by: str, now: datetime
) -> None:
    """Puts the subscriber's address on the list for every publication, and ends its subscriptions."""
    for_good = reason is not SuppressionReason.UNREACHABLE
    if not _is_listed(session, subscriber.address_hash, for_good=for_good):
        _add(session, subscriber.address_hash, subscriber.address, reason, note=note, by=by, now=now)
    for subscription in session.exec(select(Subscription).where(Subscription.subscriber_id == subscriber.id)):
        subscription.status = advance(subscription.status, SubscriptionEvent.SUPPRESS)
        subscription.changed_at = now


def _is_listed(session: Session, address_hash: str, *, for_good: bool) -> bool:
    listed = select(Suppression.id).where(
        Suppression.address_hash == address_hash,
        col(Suppression.lifted_at).is_(None),
        col(Suppression.publication_id).is_(None),
        *_which(for_good),
    )
    return session.exec(listed).first() is not None


def _which(for_good: bool) -> list[sa.ColumnElement[bool]]:
    """Having been erased does not hold back who asks again: the hash is kept so that no list brings the reader back."""
    return [col(Suppression.reason) != reason for reason in LIFTED_BY_CONFIRMING] if for_good else []


def _add(
    session: Session, address_hash: str, address: str, reason: SuppressionReason, *, note: str, by: str, now: datetime
) -> None:
    session.add(
        Suppression(
            address_hash=address_hash, address=address, reason=reason, note=note[:500], added_at=now, added_by=by
        )
    )


def list_address(
    session: Session,
    address: Address,
    address_hash: str,
    reason: SuppressionReason,
    *,
    note: str,
    by: str,
    now: datetime,
) -> bool:
    """Puts an address on the list, whether it reads us or not. False where it stood there."""
    if _is_listed(session, address_hash, for_good=reason is not SuppressionReason.UNREACHABLE):
        return False
    subscriber = session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one_or_none()
    if subscriber is not None:
        suppress(session, subscriber, reason, note=note, by=by, now=now)
    else:
        _add(session, address_hash, address.text, reason, note=note, by=by, now=now)
    return True


def lift(
    session: Session, address_hash: str, *, reason: SuppressionReason | None = None, by: str, now: datetime
) -> int:
    """Takes an address off the list; where it stands there for `reason`, if one is given. Returns how many entries.

    Nobody is subscribed by that: the reader may ask again, and is asked to confirm again.
    """
    listed = select(Suppression).where(Suppression.address_hash == address_hash, col(Suppression.lifted_at).is_(None))
    entries = session.exec(listed.where(Suppression.reason == reason) if reason else listed).all()
    for entry in entries:
        entry.lifted_at, entry.lifted_by = now, by
        session.add(entry)
    session.flush()
    return len(entries)


def entries(
    session: Session, *, address: str = "", reason: SuppressionReason | None = None, lifted: bool = False, limit: int
) -> Sequence[Suppression]:
    """The newest entries first. `address`: a part of it, in any case. `lifted`: also those that no longer count."""
    found = select(Suppression).order_by(col(Suppression.id).desc()).limit(limit)
    if address:
        found = found.where(col(Suppression.address).icontains(address, autoescape=True))
    if reason:
        found = found.where(Suppression.reason == reason)
    return session.exec(found if lifted else found.where(col(Suppression.lifted_at).is_(None))).all()


def holds_back(address_hash: Any, publication_id: Any, *, for_good: bool) -> sa.ColumnElement[bool]:
    """Entries that keep mail of this publication from this address; `for_good`: those that no confirmation lifts."""
    return sa.and_(
        col(Suppression.address_hash) == address_hash,
        col(Suppression.lifted_at).is_(None),
        sa.or_(col(Suppression.publication_id).is_(None), col(Suppression.publication_id) == publication_id),
        *_which(for_good),
    )


def is_suppressed(session: Session, address_hash: str, publication_id: int, *, for_good: bool = False) -> bool:
    """Whether mail of this publication to this address is held back; `for_good`: by what no confirmation lifts."""
    return _LISTED[for_good].first(session, address_hash=address_hash, publication_id=publication_id) is not None


_LISTED = {
    for_good: Statement(
        sa.select(col(Suppression.id))
        .where(holds_back(sa.bindparam("address_hash"), sa.bindparam("publication_id"), for_good=for_good))
        .limit(1)
    )
    for for_good in (False, True)
}
