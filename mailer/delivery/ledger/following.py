"""A reader goes on at another address while an issue is going out, or back: what still waits goes there."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from mailer.delivery.ledger.moving import AMONG_IDS, ATTEMPT, DELIVERY, execute, listed
from mailer.delivery.states import WAITING, AttemptOutcome
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Subscriber, Subscription, metadata


def follow(session: Session, pairs: Sequence[tuple[int, int]], domain: str) -> None:
    """Issues that wait for the one subscription of a pair are the other's, whose address is in `domain`.

    Not what may have arrived already, and not where the other has its own. What servers said of it stays behind: it may
    name the one address, which whoever reads at the other is not to see.
    """
    for old, new in pairs:
        for statement in _FOLLOW:
            execute(session, statement, {"old": old, "new": new, "domain": domain})


def follow_late(session: Session, ids: Sequence[int]) -> None:
    """The same for these deliveries, which came back to be sent, or were written, after their readers had gone on, or
    back, as often as they have since."""
    passed, asked = set[tuple[Any, ...]](), {"ids": listed(ids)}
    while pairs := {tuple(row) for row in execute(session, _GONE_ON, asked)} - passed:
        passed |= pairs
        for old, new, domain in sorted(pairs):
            try:
                with session.begin_nested():
                    for statement in _FOLLOW_LATE:
                        execute(session, statement, {"old": old, "new": new, "domain": domain, **asked})
            except IntegrityError:  # the other was given its own at this moment
                continue


_old, _new = sa.orm.aliased(Subscription), sa.orm.aliased(Subscription)
_PAIR: tuple[sa.ColumnElement[Any], ...] = (
    col(_old.id).label("old"),
    col(_new.id).label("new"),
    col(Subscriber.domain).label("domain"),
)
_GONE_ON = (
    sa.select(*_PAIR)
    .select_from(DELIVERY)
    .join(_old, col(_old.id) == DELIVERY.c.subscription_id)
    .join(_new, col(_new.id) == sa.func.coalesce(col(_old.moved_to_id), col(_old.taken_back_to_id)))
    .join(Subscriber, col(Subscriber.id) == col(_new.subscriber_id))
    .where(AMONG_IDS, DELIVERY.c.issue_id.is_not(None), col(_old.status) != SubscriptionStatus.CONFIRMED)
    .distinct()
)

_has = DELIVERY.alias()
_tried = ATTEMPT.alias()
_FOLLOWS = sa.and_(
    DELIVERY.c.subscription_id == sa.bindparam("old"),
    DELIVERY.c.issue_id.is_not(None),
    DELIVERY.c.status.in_(WAITING),
    ~sa.exists().where(_tried.c.delivery_id == DELIVERY.c.id, _tried.c.outcome == AttemptOutcome.UNCERTAIN),
    ~sa.exists().where(_has.c.subscription_id == sa.bindparam("new"), _has.c.issue_id == DELIVERY.c.issue_id),
)
_arrival = metadata.tables["arrival"]


def _following(which: sa.ColumnElement[bool]) -> Sequence[sa.Update]:
    theirs = sa.select(DELIVERY.c.id).where(which)
    return (
        sa.update(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(theirs)).values(reply=None),
        sa.update(_arrival).where(_arrival.c.delivery_id.in_(theirs)).values(diagnostic=None, reporter=None),
        sa.update(DELIVERY)
        .where(which)
        .values(subscription_id=sa.bindparam("new"), destination=sa.bindparam("domain")),
    )


_FOLLOW = _following(_FOLLOWS)
_FOLLOW_LATE = _following(sa.and_(_FOLLOWS, AMONG_IDS))
