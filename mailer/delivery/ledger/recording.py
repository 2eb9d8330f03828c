"""Recording: the answers are written, and their deliveries move on."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Session

from mailer.delivery.ledger.claiming import Claim, LeaseLost
from mailer.delivery.ledger.moving import ATTEMPT, IDS, WORKER, among, execute, listed, move
from mailer.delivery.ledger.statements import Statement
from mailer.delivery.ledger.uncertain import RESEND_AFTER, apply_policy
from mailer.delivery.reply import GIVE_UP_AFTER, Action, Consequence, Reply, wait
from mailer.delivery.states import AttemptOutcome, DeliveryEvent, DeliveryStatus, IllegalTransition

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
    listed_ids = listed(each.claim.delivery_id for each in answers)
    if _CLOSE.count(session, ids=listed_ids, answers=_written(session, answers)) != len(answers):
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


# All answers in one parameter, a list for each: one statement, which PostgreSQL does five times as fast as a hundred.


class _elements(FunctionElement[Any]):  # noqa: N801
    """The elements of a JSON list as rows with the one column `value`."""

    inherit_cache = True


@compiles(_elements, "sqlite")
def _elements_on_sqlite(element: _elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_elements, "postgresql")
def _elements_on_postgresql(element: _elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **options)} AS json))"


class _field(FunctionElement[Any]):  # noqa: N801
    """`_field(list, position)`: one element of a JSON list, as the type it is given."""

    inherit_cache = True


@compiles(_field, "sqlite")
def _field_on_sqlite(element: _field, compiler: SQLCompiler, **options: Any) -> str:
    value, position = (compiler.process(clause, **options) for clause in element.clauses)
    return f"json_extract({value}, '$[{position}]')"


@compiles(_field, "postgresql")
def _field_on_postgresql(element: _field, compiler: SQLCompiler, **options: Any) -> str:
    value, position = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST({value} ->> {position} AS {compiler.dialect.type_compiler_instance.process(element.type)})"


_FIELDS = ("delivery_id", "number", "finished_at", "outcome", "relay", "stage", "code", "enhanced", "reply")
_answered = _elements(sa.bindparam("answers", type_=sa.String())).table_valued("value", name="answered")


def _as_column(position: int, name: str) -> _field:
    field = _field(_answered.c.value, sa.literal_column(str(position)))
    field.type = ATTEMPT.c[name].type
    return field


_ANSWERED = {name: _as_column(position, name) for position, name in enumerate(_FIELDS)}
_KEY = ("delivery_id", "number")
_CLOSE = Statement(
    sa.update(ATTEMPT)
    .where(
        among(ATTEMPT.c.delivery_id, IDS),  # said twice: PostgreSQL does not look into the list before it plans
        *(ATTEMPT.c[name] == _ANSWERED[name] for name in _KEY),
        ATTEMPT.c.outcome.is_(None),
    )
    .values({name: field for name, field in _ANSWERED.items() if name not in _KEY})
)


def _written(session: Session, answers: Sequence[Answer]) -> str:
    """The answers as _FIELDS, in JSON."""
    as_text = _MOMENTS[session.get_bind().dialect.name]
    return json.dumps(
        [
            (
                claim.delivery_id,
                claim.number,
                as_text(at),
                _EVENTS[action.consequence][1],
                relay,
                reply.stage,
                reply.code,
                reply.enhanced,
                reply.text.replace("\0", "")[:MAX_REPLY],
            )
            for claim, reply, action, relay, at in answers
        ]
    )


_MOMENTS: Mapping[str, Callable[[datetime], str]] = {
    "sqlite": lambda at: at.replace(tzinfo=None).isoformat(" ", "microseconds"),  # as SQLAlchemy writes it
    "postgresql": datetime.isoformat,
}
