"""A reader goes on at another address while an issue is going out: what still waits goes there."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session

from mailer.delivery.ledger.moving import ATTEMPT, DELIVERY, execute
from mailer.delivery.states import WAITING, AttemptOutcome
from mailer.tables import metadata


def follow(session: Session, pairs: Sequence[tuple[int, int]], domain: str) -> None:
    """Issues that wait for the one subscription of a pair are the other's, whose address is in `domain`.

    Not what may have arrived already, and not where the other has its own. What servers said of it stays behind: it may
    name the one address, which whoever reads at the other is not to see.
    """
    for old, new in pairs:
        for statement in (*_SILENCE, _FOLLOW):
            execute(session, statement, {"old": old, "new": new, "domain": domain})


_has = DELIVERY.alias()
_tried = ATTEMPT.alias()
_FOLLOWS = sa.and_(
    DELIVERY.c.subscription_id == sa.bindparam("old"),
    DELIVERY.c.issue_id.is_not(None),
    DELIVERY.c.status.in_(WAITING),
    ~sa.exists().where(_tried.c.delivery_id == DELIVERY.c.id, _tried.c.outcome == AttemptOutcome.UNCERTAIN),
    ~sa.exists().where(_has.c.subscription_id == sa.bindparam("new"), _has.c.issue_id == DELIVERY.c.issue_id),
)
_theirs = sa.select(DELIVERY.c.id).where(_FOLLOWS)
_arrival = metadata.tables["arrival"]
_SILENCE = (
    sa.update(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(_theirs)).values(reply=None),
    sa.update(_arrival).where(_arrival.c.delivery_id.in_(_theirs)).values(diagnostic=None),
)
_FOLLOW = (
    sa.update(DELIVERY).where(_FOLLOWS).values(subscription_id=sa.bindparam("new"), destination=sa.bindparam("domain"))
)
