"""The ledger: what may be sent, what is being sent, what came of it. Everything that changes a Delivery is here.

    claim    an Attempt is written and the Delivery is `sending`, before the first byte may leave
    record   the answer is written and the Delivery moves on
    orphaned what a dead worker left open becomes `uncertain`, and the publication's policy decides

Functions take a session and never commit: the caller's one transaction records the answers of the last moments and
claims the next deliveries, so answers are grouped by nothing but the speed of the disk. Every statement names the
states it may leave (delivery.states); one that finds other rows than it expects raises and changes nothing.

What runs for every reader is written once, below, and not for each call: at a million readers, putting a statement
together costs more than the database needs for it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import Session, col

from mailer.delivery.reply import GIVE_UP_AFTER, Action, Consequence, Reply, wait
from mailer.delivery.states import (
    TRANSITIONS,
    UNFINISHED,
    WAITING,
    AttemptOutcome,
    DeliveryEvent,
    DeliveryStatus,
    IllegalTransition,
)
from mailer.errors import MailerError
from mailer.issues.states import IssueStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    DeliveryKind,
    Edition,
    Issue,
    Publication,
    Suppression,
    UncertainPolicy,
    metadata,
)

MAY_RESEND = 3
"""Uncertain attempts after which a delivery is held for the operator whatever the policy: a relay that takes mail and
never says so must not send the same reader the same issue for ever."""

RESEND_AFTER = timedelta(minutes=1)
"""How long an uncertain delivery rests before it goes out again."""

_delivery = metadata.tables["delivery"]
_attempt = metadata.tables["attempt"]
_worker = metadata.tables["worker"]
_edition = metadata.tables["edition"]
_subscription = metadata.tables["subscription"]
_subscriber = metadata.tables["subscriber"]


class LeaseLost(MailerError):
    """This worker was believed dead and what it held was taken over. It must stop; its transaction changes nothing."""

    def __init__(self) -> None:
        super().__init__(
            "This worker's lease lapsed and was taken over. It stops; what it held goes on in other workers. If this"
            " happens again, compare the clocks of the machines."
        )


class Claim(NamedTuple):
    """One delivery that this worker may send now, once, as attempt `number`."""

    delivery_id: int
    number: int
    kind: DeliveryKind
    message_id: int | None
    edition_id: int
    subscription_id: int | None
    consent_id: int | None
    language: str | None
    address: str
    destination: str
    queued_at: datetime


class Answer(NamedTuple):
    """What came of one claim."""

    claim: Claim
    reply: Reply
    action: Action
    relay: str
    at: datetime


class _Ids(FunctionElement[int]):
    """As many ids as one likes in one parameter, as _listed() writes it: no statement is put together anew."""

    inherit_cache = True


@compiles(_Ids, "sqlite")
def _ids_on_sqlite(element: _Ids, compiler: SQLCompiler, **options: Any) -> str:
    return f"value FROM json_each({compiler.process(element.clauses, **options)})"


@compiles(_Ids, "postgresql")
def _ids_on_postgresql(element: _Ids, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS json)) AS bigint)"


def _listed(ids: Iterable[int]) -> str:
    return f"[{','.join(map(str, ids))}]"


_AMONG_IDS = _delivery.c.id.in_(sa.select(_Ids(sa.bindparam("ids", type_=sa.String()))))


# Enqueue


def enqueue_issue(session: Session, issue: Issue, messages: Mapping[int, int], now: datetime) -> int:
    """Writes one delivery for each confirmed, unsuppressed subscription, in one statement. Returns how many.

    `messages`: edition id -> message id. A subscription that already has its delivery keeps it, so doing it again
    adds nobody twice.
    """
    assert issue.id is not None
    message_of = sa.case(dict(messages), value=_subscription.c.edition_id) if messages else sa.null()
    values = {
        "kind": sa.literal(DeliveryKind.ISSUE.value),
        "issue_id": sa.literal(issue.id),
        "edition_id": _subscription.c.edition_id,
        "message_id": message_of,
        "subscription_id": _subscription.c.id,
        "destination": _subscriber.c.domain,
        "status": sa.literal(DeliveryStatus.QUEUED.value),
        "attempts": sa.literal(0),
        **{name: sa.literal(now, type_=_delivery.c.due_at.type) for name in ("due_at", "queued_at", "changed_at")},
    }
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    writing = insert(_delivery).from_select(
        list(values), _readers(list(messages), issue.publication_id, *values.values())
    )
    return _execute(session, writing.on_conflict_do_nothing().execution_options(preserve_rowcount=True)).rowcount


def count_readers(session: Session, edition: Edition) -> int:
    """How many readers would get an issue of this edition now."""
    readers = _readers([edition.id], edition.publication_id, sa.func.count())
    return int(session.execute(readers).scalar_one())


def _readers(edition_ids: Sequence[int | None], publication_id: int, *columns: Any) -> sa.Select[Any]:
    """The confirmed, unsuppressed subscriptions of these editions.

    The suppressed are looked up first, by the list, and then passed over: it is short beside the readers.
    """
    listed = sa.select(col(Suppression.address_hash)).where(_holds(publication_id))
    held = sa.select(_subscriber.c.id).distinct().where(_subscriber.c.address_hash.in_(listed)).subquery("held")
    return (
        sa.select(*columns)
        .select_from(_subscription)
        .join(_subscriber, _subscriber.c.id == _subscription.c.subscriber_id)
        .outerjoin(held, held.c.id == _subscription.c.subscriber_id)
        .where(
            _subscription.c.edition_id.in_(edition_ids),
            _subscription.c.status == SubscriptionStatus.CONFIRMED,
            held.c.id.is_(None),
        )
    )


def _holds(publication_id: Any) -> sa.ColumnElement[bool]:
    """The suppression stands, for this publication or for all."""
    everywhere = col(Suppression.publication_id).is_(None)
    return sa.and_(
        col(Suppression.lifted_at).is_(None), sa.or_(everywhere, col(Suppression.publication_id) == publication_id)
    )


# Claim


def claim(session: Session, *, worker_id: int, relay: str, limit: int, now: datetime) -> list[Claim]:
    """Takes up to `limit` due deliveries: automatic mail first, then the issues that are going out.

    Each reader is looked at again: who left, or was suppressed, since the delivery was written is withdrawn here.
    """
    if limit > 0:
        _hold_lease(session, worker_id)
    claims = list[Claim]()
    for issue_id in [None, *_going_out(session)]:
        while len(claims) < limit:
            rows = _due(session, issue_id, limit - len(claims), now)
            if not rows:
                break
            claims += _take(session, rows, worker_id, relay, now)
    return claims


def has_due(session: Session, now: datetime) -> bool:
    """Whether a claim would find anything, without taking it."""
    return any(_is_due(session, issue_id, now) for issue_id in [None, *_going_out(session)])


def _hold_lease(session: Session, worker_id: int) -> None:
    """Nobody takes this worker over until the transaction has ended. Raises LeaseLost where somebody has."""
    if _execute(session, _ALIVE, {"worker_id": worker_id}).first() is None:
        raise LeaseLost


_ALIVE = (
    sa.select(_worker.c.id)
    .where(_worker.c.id == sa.bindparam("worker_id"), _worker.c.ended_at.is_(None))
    .with_for_update(read=True)
)


def _going_out(session: Session) -> Sequence[int]:
    return list(_execute(session, _GOING_OUT).scalars())


_GOING_OUT = sa.select(col(Issue.id)).where(col(Issue.status) == IssueStatus.SENDING).order_by(col(Issue.began_at))


def _is_due(session: Session, issue_id: int | None, now: datetime) -> bool:
    asking, values = (_ANY_AUTOMATIC, {}) if issue_id is None else (_ANY_OF_ISSUE, {"issue_id": issue_id})
    return _execute(session, asking, {"now": now, **values}).first() is not None


def _due(session: Session, issue_id: int | None, limit: int, now: datetime) -> Sequence[Any]:
    """Automatic mail is the stream without an issue."""
    asking, values = (_DUE_AUTOMATIC, {}) if issue_id is None else (_DUE_OF_ISSUE, {"issue_id": issue_id})
    return _execute(session, asking, {"now": now, "limit": limit, **values}).all()


class _Moment(sa.TypeDecorator[datetime]):
    """A time that thousands of rows have in common, and that is read once."""

    impl = _delivery.c.queued_at.type
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        reading = super().result_processor(dialect, coltype)
        return reading and lru_cache(maxsize=1000)(reading)


class _Kind(sa.TypeDecorator[DeliveryKind]):
    """The column's own type, without a look at each row's word."""

    impl = sa.String
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        return {kind.value: kind for kind in DeliveryKind}.__getitem__


# First what a Claim holds, in its order; then what decides whether there is one.
_DUE = (
    sa.select(
        _delivery.c.id,
        _delivery.c.attempts + 1,
        sa.type_coerce(_delivery.c.kind, _Kind),
        _delivery.c.message_id,
        _delivery.c.edition_id,
        _delivery.c.subscription_id,
        _delivery.c.consent_id,
        _subscription.c.language,
        sa.func.coalesce(_subscriber.c.address, _delivery.c.recipient),
        _delivery.c.destination,
        sa.type_coerce(_delivery.c.queued_at, _Moment),
        sa.type_coerce(_subscription.c.status, sa.String),
        sa.exists().where(
            col(Suppression.address_hash) == _subscriber.c.address_hash, _holds(_edition.c.publication_id)
        ),
    )
    .select_from(_delivery)
    .join(_edition, _edition.c.id == _delivery.c.edition_id)
    .outerjoin(_subscription, _subscription.c.id == _delivery.c.subscription_id)
    .outerjoin(_subscriber, _subscriber.c.id == _subscription.c.subscriber_id)
    .where(_delivery.c.due_at <= sa.bindparam("now"))
    .order_by(_delivery.c.due_at, _delivery.c.id)
    .limit(sa.bindparam("limit"))
    .with_for_update(of=_delivery, skip_locked=True)  # PostgreSQL: workers share the work; SQLite has one writer
)
_DUE_AUTOMATIC = _DUE.where(_delivery.c.issue_id.is_(None))
_DUE_OF_ISSUE = _DUE.where(_delivery.c.issue_id == sa.bindparam("issue_id"))

_ANY = sa.select(_delivery.c.id).where(_delivery.c.due_at <= sa.bindparam("now")).limit(1)
_ANY_AUTOMATIC = _ANY.where(_delivery.c.issue_id.is_(None))
_ANY_OF_ISSUE = _ANY.where(_delivery.c.issue_id == sa.bindparam("issue_id"))

_WANTED = {
    DeliveryKind.ISSUE: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.WELCOME: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.CONFIRMATION: {SubscriptionStatus.PENDING},
    DeliveryKind.NOTICE: set(SubscriptionStatus),
}


def _take(session: Session, rows: Sequence[Any], worker_id: int, relay: str, now: datetime) -> list[Claim]:
    claims = [_claim(row) for row in rows if _is_wanted(row)]
    unwanted = [row.id for row in rows if not _is_wanted(row)] if len(claims) < len(rows) else []
    _move(session, DeliveryEvent.WITHDRAW, unwanted, now)
    ids = [claim.delivery_id for claim in claims]
    _move(session, DeliveryEvent.CLAIM, ids, now, attempts=1)
    if ids:
        _execute(session, _BEGIN, {"ids": _listed(ids), "worker_id": worker_id, "relay": relay, "now": now})
    return claims


def _is_wanted(row: Any) -> bool:
    kind, subscription_status, suppressed = row[2], row[-2], row[-1]
    return kind is DeliveryKind.TEST or (subscription_status in _WANTED[kind] and not suppressed)


def _claim(row: Any) -> Claim:
    return Claim._make(row[: len(Claim._fields)])


_BEGIN = sa.insert(_attempt).from_select(
    ["delivery_id", "number", "worker_id", "relay", "started_at"],
    sa.select(
        _delivery.c.id,
        _delivery.c.attempts,
        sa.bindparam("worker_id", type_=_attempt.c.worker_id.type),
        sa.bindparam("relay", type_=_attempt.c.relay.type),
        sa.bindparam("now", type_=_attempt.c.started_at.type),
    )
    .where(_AMONG_IDS)
    .order_by(_delivery.c.id),
)


# Record

_EVENTS = {
    Consequence.ACCEPT: (DeliveryEvent.ACCEPT, AttemptOutcome.ACCEPTED),
    Consequence.DEFER: (DeliveryEvent.DEFER, AttemptOutcome.DEFERRED),
    Consequence.REFUSE: (DeliveryEvent.REFUSE, AttemptOutcome.REFUSED),
    Consequence.RETURN: (DeliveryEvent.RETURN, AttemptOutcome.UNSENT),
    Consequence.LOSE_TRACK: (DeliveryEvent.LOSE_TRACK, AttemptOutcome.UNCERTAIN),
}


def record(session: Session, answers: Sequence[Answer]) -> None:
    """Writes what came of claims, and moves their deliveries on. Raises IllegalTransition for one not claimed."""
    if not answers:
        return
    first_tries = _first_tries(session, answers)
    closed = _execute(session, _CLOSE, [_attempt_values(answer) for answer in answers]).rowcount
    moves = defaultdict[tuple[DeliveryEvent, datetime | None], list[int]](list)
    for answer in answers:
        moves[_settled(answer, first_tries)].append(answer.claim.delivery_id)
    if closed != len(answers):
        if _were_taken_over(session, answers):
            raise LeaseLost
        raise IllegalTransition(DeliveryStatus.QUEUED, next(iter(moves))[0])
    for (event, due_at), ids in moves.items():
        _move(session, event, ids, answers[-1].at, due_at=due_at)
    uncertain = [answer.claim.delivery_id for answer in answers if answer.action.consequence is Consequence.LOSE_TRACK]
    _apply_policy(session, uncertain, answers[-1].at, RESEND_AFTER)


def _first_tries(session: Session, answers: Sequence[Answer]) -> dict[int, datetime]:
    """When those that are refused for now were first tried: patience counts from there, not from a long queue."""
    tries: dict[int, datetime] = {}
    deferred = [each.claim.delivery_id for each in answers if each.action.consequence is Consequence.DEFER]
    for ids in _portions(deferred):
        rows = sa.select(_attempt.c.delivery_id, sa.func.min(_attempt.c.started_at, type_=_attempt.c.started_at.type))
        tried = rows.where(_attempt.c.delivery_id.in_(ids), _attempt.c.outcome.is_distinct_from(AttemptOutcome.UNSENT))
        tries.update((row[0], row[1]) for row in session.execute(tried.group_by(_attempt.c.delivery_id)))
    return tries


def _settled(answer: Answer, first_tries: Mapping[int, datetime]) -> tuple[DeliveryEvent, datetime | None]:
    """What happens to the delivery, and when it is due again."""
    event, _ = _EVENTS[answer.action.consequence]
    due_at = None
    if event is DeliveryEvent.DEFER:
        due_at = answer.at + wait(answer.reply, answer.claim.number, answer.claim.delivery_id)
        if due_at > first_tries[answer.claim.delivery_id] + GIVE_UP_AFTER:
            event, due_at = DeliveryEvent.REFUSE, None
    elif event is DeliveryEvent.RETURN:
        due_at = answer.at
    return event, due_at


def _were_taken_over(session: Session, answers: Sequence[Answer]) -> bool:
    """Whether the worker of these claims was ended by another one."""
    ids = [answer.claim.delivery_id for answer in answers]
    ended = (
        sa.select(_worker.c.id)
        .join(_attempt, _attempt.c.worker_id == _worker.c.id)
        .where(_attempt.c.delivery_id.in_(ids), _attempt.c.outcome == AttemptOutcome.UNCERTAIN)
        .where(_worker.c.ended_at.is_not(None))
    )
    return _execute(session, ended.limit(1)).first() is not None


_CLOSE = (
    sa.update(_attempt)
    .where(
        _attempt.c.delivery_id == sa.bindparam("b_delivery_id"),
        _attempt.c.number == sa.bindparam("b_number"),
        _attempt.c.outcome.is_(None),
    )
    .values(
        finished_at=sa.bindparam("b_at"),
        outcome=sa.bindparam("b_outcome"),
        relay=sa.bindparam("b_relay"),
        stage=sa.bindparam("b_stage"),
        code=sa.bindparam("b_code"),
        enhanced=sa.bindparam("b_enhanced"),
        reply=sa.bindparam("b_reply"),
    )
)


def _attempt_values(answer: Answer) -> dict[str, Any]:
    reply = answer.reply
    return {
        "b_delivery_id": answer.claim.delivery_id,
        "b_number": answer.claim.number,
        "b_at": answer.at,
        "b_outcome": _EVENTS[answer.action.consequence][1],
        "b_relay": answer.relay,
        "b_stage": reply.stage.value,
        "b_code": reply.code,
        "b_enhanced": reply.enhanced,
        "b_reply": reply.text.replace("\0", "")[:1000],
    }


# Uncertain


def orphan(session: Session, worker_ids: Sequence[int], now: datetime, *, reason: str) -> int:
    """Closes what these workers left open: started, never answered, so not known. Returns how many."""
    left = sa.select(_attempt.c.delivery_id).where(_attempt.c.worker_id.in_(worker_ids), _attempt.c.outcome.is_(None))
    # An answer that is being recorded at this moment is waited for, and then is no longer open.
    deliveries = list(session.execute(left.order_by(_attempt.c.id).with_for_update()).scalars())
    values = {"outcome": AttemptOutcome.UNCERTAIN, "finished_at": now, "stage": "dot", "reply": reason}
    for ids in _portions(deliveries):
        closing = sa.update(_attempt).where(_attempt.c.delivery_id.in_(ids), _attempt.c.outcome.is_(None))
        _execute(session, closing.values(values))
        _move(session, DeliveryEvent.LOSE_TRACK, ids, now)
    _apply_policy(session, deliveries, now, timedelta())
    return len(deliveries)


def _apply_policy(session: Session, delivery_ids: Sequence[int], now: datetime, rest: timedelta) -> None:
    """Sends uncertain deliveries again where their publication says so and it has not been tried too often."""
    tries = (
        sa.select(sa.func.count())
        .where(_attempt.c.delivery_id == _delivery.c.id, _attempt.c.outcome == AttemptOutcome.UNCERTAIN)
        .scalar_subquery()
    )
    for ids in _portions(delivery_ids):
        again = (
            sa.select(_delivery.c.id)
            .join(Edition, col(Edition.id) == _delivery.c.edition_id)
            .join(Publication, col(Publication.id) == col(Edition.publication_id))
            .where(
                _delivery.c.id.in_(ids),
                col(Publication.uncertain_policy) == UncertainPolicy.RESEND,
                tries < MAY_RESEND,
            )
        )
        resend(session, list(session.execute(again).scalars()), now, now + rest)


def resend(session: Session, delivery_ids: Sequence[int], now: datetime, due_at: datetime) -> None:
    """Puts uncertain deliveries back into the queue, to go out under the same Message-ID."""
    _move(session, DeliveryEvent.RESEND, delivery_ids, now, due_at=due_at)


def settle_uncertain(session: Session, issue_id: int, now: datetime, *, again: bool) -> int:
    """The operator's word on what is uncertain of an issue: send it again, or write it off. Returns how many."""
    uncertain = sa.select(_delivery.c.id).where(
        _delivery.c.issue_id == issue_id, _delivery.c.status == DeliveryStatus.UNCERTAIN
    )
    found = list(session.execute(uncertain).scalars())
    for ids in _portions(found):
        if again:
            resend(session, ids, now, now)
        else:
            _move(session, DeliveryEvent.WRITE_OFF, ids, now)
    return len(found)


def withdraw_issue(session: Session, issue_id: int, now: datetime) -> int:
    """Withdraws everything of a cancelled issue that has not started. Returns how many."""
    statement = (
        sa.update(_delivery)
        .where(_delivery.c.issue_id == issue_id, _delivery.c.status.in_(WAITING))
        .values(status=DeliveryStatus.WITHDRAWN, due_at=None, changed_at=now)
    )
    return _execute(session, statement).rowcount


def is_finished(session: Session, issue_id: int) -> bool:
    """Whether nothing of the issue waits, is on the wire or is uncertain."""
    unfinished = sa.select(_delivery.c.id).where(_delivery.c.issue_id == issue_id, _delivery.c.status.in_(UNFINISHED))
    return session.execute(unfinished.limit(1)).first() is None


# Statements


def _move(
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
    values = {"ids": _listed(ids), "now": now, "due_at": due_at, "more": attempts}
    if _execute(session, _MOVES[event], values).rowcount != len(ids):
        found = session.execute(sa.select(_delivery.c.status).where(_delivery.c.id.in_(ids))).scalars()
        raise IllegalTransition(next((s for s in found if s not in TRANSITIONS[event]), DeliveryStatus.QUEUED), event)


def _moving(event: DeliveryEvent) -> sa.Update:
    (after,) = set(TRANSITIONS[event].values())  # every event leads to one state, wherever it comes from
    return (
        sa.update(_delivery)
        .where(_AMONG_IDS, _delivery.c.status.in_(TRANSITIONS[event]))
        .values(
            status=after,
            changed_at=sa.bindparam("now"),
            due_at=sa.bindparam("due_at"),
            attempts=_delivery.c.attempts + sa.bindparam("more"),
        )
    )


_MOVES = {event: _moving(event) for event in TRANSITIONS}


def _execute(session: Session, statement: Any, values: Any = None) -> sa.CursorResult[Any]:
    result = session.connection().execute(statement, values)
    assert isinstance(result, sa.CursorResult)
    return result


def _portions(ids: Iterable[int], size: int = 500) -> Iterable[list[int]]:
    """So many ids as fit a statement everywhere."""
    every = list(ids)
    return (every[at : at + size] for at in range(0, len(every), size))
