"""What is not known: an attempt that started and whose answer never came (RFC 1047)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery.ledger.forgetting import forget_late
from mailer.delivery.ledger.moving import AMONG_IDS, ATTEMPT, DELIVERY, IDS, among, execute, listed, move
from mailer.delivery.states import AttemptOutcome, DeliveryEvent, DeliveryStatus
from mailer.tables import Edition, Issue, Publication, UncertainPolicy

MAY_RESEND = 3
"""Uncertain attempts after which a delivery is held for the operator whatever the policy: a relay that takes mail and
never says so must not send the same reader the same issue for ever."""

RESEND_AFTER = timedelta(minutes=1)
"""How long an uncertain delivery rests before it goes out again."""


def orphan(session: Session, worker_ids: Sequence[int], now: datetime, *, reason: str) -> int:
    """Closes what these workers left open: started, never answered, so not known. Returns how many."""
    # An answer that is being recorded at this moment is waited for, and then is no longer open.
    left = list(execute(session, _LEFT_OPEN, {"workers": listed(worker_ids)}).scalars())
    if not left:
        return 0
    execute(session, _CLOSE, {"ids": listed(left), "now": now, "reason": reason})
    move(session, DeliveryEvent.LOSE_TRACK, left, now)
    apply_policy(session, left, now, timedelta())
    forget_late(session, left, now)
    return len(left)


def left_open(session: Session, worker_id: int) -> set[tuple[int, int]]:
    """The attempts that this worker has claimed and not recorded: delivery and number."""
    rows = execute(session, _LEFT_OPEN, {"workers": listed([worker_id])})
    return {(row.delivery_id, row.number) for row in rows}


def give_back(session: Session, delivery_ids: Sequence[int], now: datetime) -> None:
    """Claims of which nothing has left, and nothing will: as if never claimed."""
    if delivery_ids:
        values = {"ids": listed(delivery_ids), "now": now, "reason": "the claim was not begun"}
        execute(session, _GIVE_BACK, values)
        move(session, DeliveryEvent.RETURN, delivery_ids, now, due_at=now)


_GIVE_BACK = (
    sa.update(ATTEMPT)
    .where(among(ATTEMPT.c.delivery_id, IDS), ATTEMPT.c.outcome.is_(None))
    .values(outcome=AttemptOutcome.UNSENT, finished_at=sa.bindparam("now"), reply=sa.bindparam("reason"))
)


# Along the few deliveries on the wire, each found by its issue: an index of open attempts alone would be written twice
# for every reader, and read when a worker ends.
_LEFT_OPEN = (
    sa.select(ATTEMPT.c.delivery_id, ATTEMPT.c.number)
    .join(DELIVERY, DELIVERY.c.id == ATTEMPT.c.delivery_id)
    .where(
        DELIVERY.c.status == DeliveryStatus.SENDING,
        sa.or_(DELIVERY.c.issue_id.is_(None), DELIVERY.c.issue_id.in_(sa.select(col(Issue.id)))),
        among(ATTEMPT.c.worker_id, sa.bindparam("workers", type_=sa.String())),
        ATTEMPT.c.outcome.is_(None),
    )
    .order_by(ATTEMPT.c.id)
    .with_for_update(of=ATTEMPT)
)

_CLOSE = (
    sa.update(ATTEMPT)
    .where(among(ATTEMPT.c.delivery_id, IDS), ATTEMPT.c.outcome.is_(None))
    .values(
        outcome=AttemptOutcome.UNCERTAIN,
        finished_at=sa.bindparam("now"),
        stage="dot",
        reply=sa.bindparam("reason"),
    )
)


def apply_policy(session: Session, delivery_ids: Sequence[int], now: datetime, rest: timedelta) -> None:
    """Sends uncertain deliveries again where their publication says so and it has not been tried too often."""
    if delivery_ids:
        again = list(execute(session, _GOES_AGAIN, {"ids": listed(delivery_ids)}).scalars())
        resend(session, again, now, now + rest)


_TRIES = (
    sa.select(sa.func.count())
    .where(ATTEMPT.c.delivery_id == DELIVERY.c.id, ATTEMPT.c.outcome == AttemptOutcome.UNCERTAIN)
    .scalar_subquery()
)
_GOES_AGAIN = (
    sa.select(DELIVERY.c.id)
    .join(Edition, col(Edition.id) == DELIVERY.c.edition_id)
    .join(Publication, col(Publication.id) == col(Edition.publication_id))
    .where(AMONG_IDS, col(Publication.uncertain_policy) == UncertainPolicy.RESEND, _TRIES < MAY_RESEND)
)


def resend(session: Session, delivery_ids: Sequence[int], now: datetime, due_at: datetime) -> None:
    """Puts uncertain deliveries back into the queue, to go out under the same Message-ID."""
    move(session, DeliveryEvent.RESEND, delivery_ids, now, due_at=due_at)


def settle_uncertain(session: Session, issue_id: int, now: datetime, *, again: bool) -> int:
    """The operator's word on what is uncertain of an issue: send it again, or write it off. Returns how many."""
    uncertain = sa.select(DELIVERY.c.id).where(
        DELIVERY.c.issue_id == issue_id, DELIVERY.c.status == DeliveryStatus.UNCERTAIN
    )
    found = list(execute(session, uncertain).scalars())
    if again:
        resend(session, found, now, now)
    else:
        move(session, DeliveryEvent.WRITE_OFF, found, now)
    return len(found)
