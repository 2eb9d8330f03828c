"""One reader at several addresses: those that they came from, and those that they went on to.

Whoever moved a reader with a forwarded letter looks the same as a reader who moved. So an address where somebody reads
is never taken along with another: docs/decisions/0016-change-of-address.md.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import Session, col, select

from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import UNDO
from mailer.tables import Subscriber, Subscription


class Stays(enum.StrEnum):
    """Why an address is not erased along with another."""

    READ = "read"  #: something is read there, or waits to be confirmed, in whatever publication
    BACK = "back"  #: a change of address, or leaving, can be taken back there


@dataclass(frozen=True, kw_only=True)
class Together:
    """What is erased with an address, and what is not. Ids of subscribers."""

    goes: Sequence[int]  #: with the address itself; empty where there is none
    stays: Mapping[int, Stays]


def addresses_of(session: Session, subscriber_id: int) -> list[int]:
    """Every address that the reader of one came from or went on to, and that one, where there is one. Ids."""
    found, following = set[int](), _known(session, subscriber_id)
    while following:
        found |= following
        following = _beside(session, following) - found
    return sorted(found)


def together(session: Session, subscriber_id: int, now: datetime) -> Together:
    """The address, and of those of the same reader each that nobody has a use for. Nothing is reached by way of one
    that stays: what lies behind it is its reader's."""
    goes, stays, following = set[int](), dict[int, Stays](), _known(session, subscriber_id)
    while following:
        goes |= following
        beside = _beside(session, following) - goes
        stays |= {each: why for each in sorted(beside) if (why := _stays(session, each, now))}
        following = beside - stays.keys()
    return Together(goes=sorted(goes), stays=stays)


def _known(session: Session, subscriber_id: int) -> set[int]:
    return set(session.execute(sa.select(col(Subscriber.id)).where(col(Subscriber.id) == subscriber_id)).scalars())


_before, _after = sa.orm.aliased(Subscription), sa.orm.aliased(Subscription)
_CHANGES = sa.select(col(_before.subscriber_id), col(_after.subscriber_id)).join(
    _after, col(_after.id) == col(_before.moved_to_id)
)


def _beside(session: Session, subscriber_ids: set[int]) -> set[int]:
    """One change of address away, in either direction."""
    ways = (_CHANGES.where(col(each.subscriber_id).in_(subscriber_ids)) for each in (_before, _after))  # an index each
    return {each for way in ways for pair in session.execute(way) for each in pair} - subscriber_ids


_READ = (SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING)


def _stays(session: Session, subscriber_id: int, now: datetime) -> Stays | None:
    theirs = select(Subscription.id).where(Subscription.subscriber_id == subscriber_id).limit(1)
    if session.exec(theirs.where(col(Subscription.status).in_(_READ))).first() is not None:
        return Stays.READ
    moved = sa.and_(col(Subscription.moved_to_id).is_not(None), col(Subscription.changed_at) > now - UNDO)
    if session.exec(theirs.where(sa.or_(moved, col(Subscription.undo_until) > now))).first() is not None:
        return Stays.BACK
    return None
