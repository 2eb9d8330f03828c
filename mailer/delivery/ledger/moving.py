"""The one statement that changes a Delivery's state: all of the rows it is given, or none."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Session

from mailer.delivery.states import TRANSITIONS, WAITING, DeliveryEvent, DeliveryStatus, IllegalTransition
from mailer.statement import Statement, is_one_of
from mailer.tables import metadata

DELIVERY = metadata.tables["delivery"]
ATTEMPT = metadata.tables["attempt"]
WORKER = metadata.tables["worker"]


def execute(session: Session, statement: Any, values: Any = None) -> sa.CursorResult[Any]:
    """Past the object mapper: these rows are nobody's objects."""
    result = session.connection().execute(statement, values)
    assert isinstance(result, sa.CursorResult)
    return result


# Many ids in one parameter, so that no statement is put together anew and none is too long.


class among(FunctionElement[Any]):  # noqa: N801 (reads as what it is in SQL)
    """`among(column, parameter)`: the column is one of the ids that listed() wrote."""

    inherit_cache = True


@compiles(among, "sqlite")
def _among_on_sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 (compiled clauses)


@compiles(among, "postgresql")
def _among_on_postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (CAST(translate({ids}, '[]', '{{}}') AS bigint[]))"


def listed(ids: Iterable[int]) -> str:
    return f"[{','.join(map(str, ids))}]"


IDS = sa.bindparam("ids", type_=sa.String())
AMONG_IDS = among(DELIVERY.c.id, IDS)


# States


def move(
    session: Session,
    event: DeliveryEvent,
    ids: Sequence[int],
    now: datetime,
    *,
    due_at: datetime | None = None,
    attempts: int = 0,
) -> None:
    """Moves these deliveries along `event`, all of them or, with IllegalTransition, none."""
    if not ids:
        return
    if _MOVES[event].count(session, ids=listed(ids), now=now, due_at=due_at, more=attempts) != len(ids):
        found = execute(session, sa.select(DELIVERY.c.status).where(AMONG_IDS), {"ids": listed(ids)}).scalars()
        raise IllegalTransition(next((s for s in found if s not in TRANSITIONS[event]), DeliveryStatus.QUEUED), event)


def _moving(event: DeliveryEvent) -> Statement:
    (after,) = set(TRANSITIONS[event].values())  # every event leads to one state, wherever it comes from
    return Statement(
        sa.update(DELIVERY)
        .where(AMONG_IDS, is_one_of(DELIVERY.c.status, TRANSITIONS[event]))
        .values(
            status=after,
            changed_at=sa.bindparam("now"),
            due_at=sa.bindparam("due_at"),
            attempts=DELIVERY.c.attempts + sa.bindparam("more"),
        )
    )


_MOVES = {event: _moving(event) for event in TRANSITIONS}


def postpone(session: Session, ids: Sequence[int], due_at: datetime) -> None:
    """Waiting deliveries go on waiting, until then."""
    execute(session, _POSTPONE, {"ids": listed(ids), "due_at": due_at})


_POSTPONE = (
    sa.update(DELIVERY).where(AMONG_IDS, is_one_of(DELIVERY.c.status, WAITING)).values(due_at=sa.bindparam("due_at"))
)


def exchange(session: Session, issue_id: int, edition_id: int, message_id: int) -> int:
    """What still waits of the issue in this edition goes out as another message. Returns how many."""
    waiting = sa.and_(
        DELIVERY.c.issue_id == issue_id,
        DELIVERY.c.edition_id == edition_id,
        DELIVERY.c.due_at.is_not(None),
        DELIVERY.c.message_id != message_id,
    )
    return execute(session, sa.update(DELIVERY).where(waiting).values(message_id=message_id)).rowcount
