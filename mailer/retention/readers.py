"""Which readers go, and what is let go of those who stay. Who goes is asked again once their rows are locked."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import Session, col, select

from mailer import erasure
from mailer.delivery import forgetting
from mailer.retention.kind import count
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.tables import Consent, ConsentEvent, Delivery, Subscriber, Subscription, Suppression

# Requests that nobody confirmed


def unconfirmed(cutoff: datetime) -> sa.Select[Any]:
    """Not where the question waits, or went out since: an import spreads its questions over days."""
    asked_since = sa.exists().where(col(Consent.subscription_id) == col(Subscription.id), col(Consent.at) >= cutoff)
    mailed_since = sa.exists().where(
        col(Delivery.subscription_id) == col(Subscription.id),
        sa.or_(col(Delivery.due_at).is_not(None), col(Delivery.queued_at) >= cutoff),
    )
    return sa.select(col(Subscription.id)).where(
        col(Subscription.status) == SubscriptionStatus.PENDING,
        col(Subscription.changed_at) < cutoff,
        ~asked_since,
        ~mailed_since,
    )


def drop_unconfirmed(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    """One that was confirmed or left earlier is what it was before it was asked for again: a former reader's, since the
    reader's own last act."""
    _lock(session, sa.select(col(Subscription.subscriber_id)).where(col(Subscription.id).in_(keys)))
    ids = session.exec(
        select(Subscription.id, Subscription.subscriber_id).where(
            col(Subscription.id).in_(keys), col(Subscription.id).in_(unconfirmed(cutoff))
        )
    ).all()
    before = set(
        session.exec(
            select(Consent.subscription_id).where(
                col(Consent.subscription_id).in_([each for each, _ in ids]), col(Consent.event).in_(_TOLD)
            )
        )
    )
    left = advance(SubscriptionStatus.PENDING, SubscriptionEvent.LEAVE)
    since = sa.select(sa.func.max(col(Consent.at), type_=Subscription.__table__.c.changed_at.type)).where(  # type: ignore[attr-defined]
        col(Consent.subscription_id) == col(Subscription.id), col(Consent.event).in_(_TOLD)
    )
    back = sa.update(Subscription).where(col(Subscription.id).in_(before))
    session.connection().execute(back.values(status=left, changed_at=since.scalar_subquery()))
    going = [each for each, _ in ids if each not in before]
    chosen = sa.select(col(Subscription.id)).where(col(Subscription.id).in_(going))
    forgetting.forget_subscriptions(session, chosen, "unconfirmed", now)
    session.connection().execute(sa.delete(Subscription).where(col(Subscription.id).in_(going)))
    others = sa.exists().where(col(Subscription.subscriber_id) == col(Subscriber.id))
    alone = sa.delete(Subscriber).where(col(Subscriber.id).in_({each for _, each in ids}), ~others)
    session.connection().execute(alone)
    return len(ids)


_TOLD = (ConsentEvent.CONFIRMED, ConsentEvent.LEFT)
"""Acts that only a reader can have done."""


def _lock(session: Session, subscriber_ids: sa.Select[Any] | Sequence[int]) -> None:
    """Readers who act at this moment have done so, or wait, once this returns: what is asked now stays true."""
    rows = sa.select(col(Subscriber.id)).where(col(Subscriber.id).in_(subscriber_ids)).order_by(col(Subscriber.id))
    session.connection().execute(rows.with_for_update())


# Readers who left


def former(cutoff: datetime) -> sa.Select[Any]:
    """Who reads nothing, and did nothing since. A request that nobody confirmed is nobody's act: anybody can type an
    address into the form, and must not prolong by it how long its former reader is known here."""
    theirs = col(Subscription.subscriber_id) == col(Subscriber.id)
    status, changed_at = col(Subscription.status), col(Subscription.changed_at)
    is_asked = status == SubscriptionStatus.PENDING
    later = sa.orm.aliased(Consent)
    came_back = sa.exists().where(
        col(later.subscription_id) == col(Consent.subscription_id),
        col(later.event).in_((ConsentEvent.CONFIRMED, ConsentEvent.RESTORED)),
        col(later.id) > col(Consent.id),
    )
    had_left = sa.exists().where(  # whatever became of a mail that somebody else caused since
        col(Consent.subscription_id) == col(Subscription.id), col(Consent.event) == ConsentEvent.LEFT, ~came_back
    )
    ended = sa.and_(~is_asked, changed_at >= cutoff, ~had_left)
    still = sa.exists().where(theirs, sa.or_(status == SubscriptionStatus.CONFIRMED, ended))
    acts = sa.select(col(Consent.id)).join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
    acted = acts.where(theirs, col(Consent.event) != ConsentEvent.REQUESTED, col(Consent.at) >= cutoff)
    was_one = sa.or_(
        ~sa.exists().where(theirs, is_asked),
        sa.exists().where(theirs, ~is_asked),
        acts.where(theirs, col(Consent.event).in_(_TOLD)).exists(),
    )
    return sa.select(col(Subscriber.id)).where(~still, ~acted.exists(), was_one, col(Subscriber.created_at) < cutoff)


def left_behind(cutoff: datetime) -> sa.Select[Any]:
    """Who moved from there was erased, and nothing is read there, or asked for."""
    target = sa.orm.aliased(Subscription)
    lost = sa.exists().where(
        col(Subscription.subscriber_id) == col(Subscriber.id),
        col(Subscription.moved_to_id).is_not(None),
        ~sa.exists().where(col(target.id) == col(Subscription.moved_to_id)),
    )
    asked = sa.exists().where(
        col(Subscription.subscriber_id) == col(Subscriber.id), col(Subscription.status) == SubscriptionStatus.PENDING
    )
    return former(cutoff).where(lost, ~asked)


def erasing(going: Callable[[datetime], sa.Select[Any]]) -> Any:
    """Erases those of these subscribers that still are to go."""

    def remove(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
        _lock(session, keys)
        ids = session.connection().execute(going(cutoff).where(col(Subscriber.id).in_(keys))).scalars().all()
        return sum(erasure.erase(session, each, by="retention", why="expired", now=now) for each in ids)

    return remove


# Who is on the suppression list and reads nothing


def listed_alone(cutoff: datetime) -> sa.Select[Any]:
    return sa.select(col(Suppression.id)).where(
        sa.or_(col(Suppression.address).is_not(None), col(Suppression.note) != ""),
        col(Suppression.added_at) < cutoff,
        ~sa.exists().where(col(Subscriber.address_hash) == col(Suppression.address_hash)),
    )


def blank_listed(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    """They stay on it by their keyed hash."""
    which = sa.update(Suppression).where(col(Suppression.id).in_(keys), col(Suppression.id).in_(listed_alone(cutoff)))
    return count(session, which.values(address=None, note=""))


# Networks in consents


def with_network(cutoff: datetime) -> sa.Select[Any]:
    return sa.select(col(Consent.id)).where(col(Consent.network_salt).is_not(None), col(Consent.at) < cutoff)


def blank_networks(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    """The chain keeps its digest; see subscribers.chain."""
    blanking = sa.update(Consent).where(col(Consent.id).in_(keys), col(Consent.network_salt).is_not(None))
    return count(session, blanking.values(network="", network_salt=None))
