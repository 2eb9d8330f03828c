"""A reader goes on at another address while an issue is going out: what still waits goes there."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session

from mailer.delivery.ledger.moving import ATTEMPT, DELIVERY, execute
from mailer.delivery.states import WAITING, AttemptOutcome


def follow(session: Session, pairs: Sequence[tuple[int, int]], domain: str) -> None:
    """Issues that wait for the one subscription of a pair are the other's, whose address is in `domain`.

    Not what may have arrived already, and not where the other has its own.
    """
    for old, new in pairs:
        execute(session, _FOLLOW, {"old": old, "new": new, "domain": domain})


_has = DELIVERY.alias()
_FOLLOW = (
    sa.update(DELIVERY)
    .where(
        DELIVERY.c.subscription_id == sa.bindparam("old"),
        DELIVERY.c.issue_id.is_not(None),
        DELIVERY.c.status.in_(WAITING),
        ~sa.exists().where(ATTEMPT.c.delivery_id == DELIVERY.c.id, ATTEMPT.c.outcome == AttemptOutcome.UNCERTAIN),
        ~sa.exists().where(_has.c.subscription_id == sa.bindparam("new"), _has.c.issue_id == DELIVERY.c.issue_id),
    )
    .values(subscription_id=sa.bindparam("new"), destination=sa.bindparam("domain"))
)
