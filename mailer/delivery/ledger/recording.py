"""Recording: the answers are written, and their deliveries move on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session

from mailer.delivery.ledger.claiming import Claim, LeaseLost
from mailer.delivery.ledger.forgetting import forget_late
from mailer.delivery.ledger.moving import AMONG_IDS, ATTEMPT, DELIVERY, IDS, WORKER, among, execute, listed, move
from mailer.delivery.ledger.uncertain import RESEND_AFTER, apply_policy
from mailer.delivery.reply import GIVE_UP_AFTER, Action, Consequence, Reply, wait
from mailer.delivery.states import AttemptOutcome, DeliveryEvent, DeliveryStatus, IllegalTransition
from mailer.statement import Statement

MAX_REPLY = 1000
"""Characters of the server's words that are kept."""


class Answer(NamedTuple):
    """What came of one claim."""

    claim: Claim
    reply: Reply
    action: Action
    relay: str
    at: datetime


_EVENTS = {
    Consequence.ACCEPT: (DeliveryEvent.ACCEPT, AttemptOutcome.ACCEPTED),
    Consequence.DEFER: (DeliveryEvent.DEFER, AttemptOutcome.DEFERRED),
    Consequence.REFUSE: (DeliveryEvent.REFUSE, AttemptOutcome.REFUSED),
    Consequence.RETURN: (DeliveryEvent.RETURN, AttemptOutcome.UNSENT),
    Consequence.LOSE_TRACK: (DeliveryEvent.LOSE_TRACK, AttemptOutcome.UNCERTAIN),
}


def record(session: Session, answers: Sequence[Answer]) -> None:
    """Writes what came of claims, and moves their deliveries on.

    Raises IllegalTransition for one not claimed, LeaseLost where another worker has taken one over.
    """
    if not answers:
        return
    tries = _tries(session, answers)
    if not _close(session, answers):
        if _were_taken_over(session, answers):
            raise LeaseLost
        raise IllegalTransition(DeliveryStatus.QUEUED, _next(answers[0], tries)[0])
    moves = defaultdict[tuple[DeliveryEvent, datetime | None], list[int]](list)
    for answer in answers:
        moves[_next(answer, tries)].append(answer.claim.delivery_id)
    for (event, due_at), ids in moves.items():
        move(session, event, ids, answers[-1].at, due_at=due_at)
    uncertain = [each.claim.delivery_id for each in answers if each.action.consequence is Consequence.LOSE_TRACK]
    apply_policy(session, uncertain, answers[-1].at, RESEND_AFTER)
    forget_late(session, [each.claim.delivery_id for each in answers], answers[-1].at)


class _Tries(NamedTuple):
    """What a delivery has been through: attempts that reached the relay."""

    first_at: datetime
    number: int


def _tries(session: Session, answers: Sequence[Answer]) -> Mapping[int, _Tries]:
    """Of those that are refused for now: patience counts from the first try, not from a long queue."""
    deferred = [each.claim.delivery_id for each in answers if each.action.consequence is Consequence.DEFER]
    if not deferred:
        return {}
    rows = execute(session, _TRIED, {"ids": listed(deferred)})
    return {row.delivery_id: _Tries(row.first_at, row.number) for row in rows}


_TRIED = (
    sa.select(
        ATTEMPT.c.delivery_id,
        sa.func.min(ATTEMPT.c.started_at, type_=ATTEMPT.c.started_at.type).label("first_at"),
        sa.func.count().label("number"),
    )
    .where(among(ATTEMPT.c.delivery_id, IDS), ATTEMPT.c.outcome.is_distinct_from(AttemptOutcome.UNSENT))
    .group_by(ATTEMPT.c.delivery_id)
)

AT_ONCE = 5
"""Times that a delivery whose attempt did not begin comes back at once. Then it waits, and the others go on."""


def _next(answer: Answer, tries: Mapping[int, _Tries]) -> tuple[DeliveryEvent, datetime | None]:
    """What happens to the delivery, and when it is due again."""
    claim = answer.claim
    event, _ = _EVENTS[answer.action.consequence]
    if event is DeliveryEvent.RETURN:
        late = claim.number - AT_ONCE
        return event, answer.at if late <= 0 else answer.at + wait(answer.reply, late, claim.delivery_id)
    if event is not DeliveryEvent.DEFER:
        return event, None
    tried = tries[claim.delivery_id]
    due_at = answer.at + wait(answer.reply, tried.number, claim.delivery_id)
    if due_at > tried.first_at + GIVE_UP_AFTER and not answer.action.alarm:  # what is ours to mend costs nobody
        return DeliveryEvent.REFUSE, None
    return event, due_at


def refused_among(session: Session, delivery_ids: Sequence[int]) -> list[int]:
    """Those of these deliveries that are refused for good."""
    if not delivery_ids:
        return []
    return list(execute(session, _REFUSED, {"ids": listed(delivery_ids)}).scalars())


_REFUSED = sa.select(DELIVERY.c.id).where(AMONG_IDS, DELIVERY.c.status == DeliveryStatus.REFUSED)


def _were_taken_over(session: Session, answers: Sequence[Answer]) -> bool:
    """Whether the worker of these claims was ended by another one."""
    return execute(session, _ENDED, {"ids": listed(each.claim.delivery_id for each in answers)}).first() is not None


_ENDED = (
    sa.select(WORKER.c.id)
    .join(ATTEMPT, ATTEMPT.c.worker_id == WORKER.c.id)
    .where(
        among(ATTEMPT.c.delivery_id, IDS),
        ATTEMPT.c.outcome == AttemptOutcome.UNCERTAIN,
        WORKER.c.ended_at.is_not(None),
    )
    .limit(1)
)


class _Moment(sa.TypeDecorator[datetime]):
    """As the column's own type writes it; on SQLite in a tenth of the time."""

    impl = ATTEMPT.c.finished_at.type
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)
        return lambda at: at.replace(tzinfo=None).isoformat(" ", "microseconds")


_CLOSE = Statement(
    sa.update(ATTEMPT)
    .where(
        ATTEMPT.c.delivery_id == sa.bindparam("of"),
        ATTEMPT.c.number == sa.bindparam("nth"),
        ATTEMPT.c.outcome.is_(None),
    )
    .values(
        finished_at=sa.bindparam("at", type_=_Moment()),
        outcome=sa.bindparam("outcome", type_=sa.String()),
        **{name: sa.bindparam(name) for name in ("relay", "stage", "code", "enhanced", "reply")},
    )
)


def _close(session: Session, answers: Sequence[Answer]) -> bool:
    """Writes each answer to its attempt. Whether every attempt was there and open."""
    replies = [answer.reply for answer in answers]
    closed = _CLOSE.count_each(
        session,
        of=[answer.claim.delivery_id for answer in answers],
        nth=[answer.claim.number for answer in answers],
        at=[answer.at for answer in answers],
        outcome=[_EVENTS[answer.action.consequence][1].value for answer in answers],
        relay=[answer.relay for answer in answers],
        stage=[reply.stage.value for reply in replies],
        code=[reply.code for reply in replies],
        enhanced=[reply.enhanced for reply in replies],
        reply=[reply.text.replace("\0", "")[:MAX_REPLY] for reply in replies],
    )
    return closed == len(answers)
