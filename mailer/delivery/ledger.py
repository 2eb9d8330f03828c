"""The ledger: what may be sent, what is being sent, what came of it. Everything that changes a Delivery is here.

    claim    an Attempt is written and the Delivery is `sending`, before the first byte may leave
    record   the answer is written and the Delivery moves on
    orphaned what a dead worker left open becomes `uncertain`, and the publication's policy decides

Functions take a session and never commit: the caller's one transaction records the answers of the last moments and
claims the next deliveries, so answers are grouped by nothing but the speed of the disk. Every statement names the
states it may leave (delivery.states); one that finds other rows than it expects raises and changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
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
from mailer.issues.states import IssueStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    DeliveryKind,
    Edition,
    Issue,
    Publication,
    Subscriber,
    Subscription,
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


@dataclass(frozen=True, kw_only=True)
class Claim:
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


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one claim."""

    claim: Claim
    reply: Reply
    action: Action
    relay: str
    at: datetime


# Enqueue


def enqueue_issue(session: Session, issue: Issue, messages: Mapping[int, int], now: datetime) -> int:
    """Writes one delivery for each confirmed, unsuppressed subscription, in one statement. Returns how many.

    `messages`: edition id -> message id. A subscription that already has its delivery keeps it, so doing it again
    adds nobody twice.
    """
    assert issue.id is not None
    message_of = sa.case(dict(messages), value=col(Subscription.edition_id)) if messages else sa.null()
    already = sa.exists().where(_delivery.c.subscription_id == col(Subscription.id), _delivery.c.issue_id == issue.id)
    readers = _readers(
        list(messages),
        issue.publication_id,
        sa.literal(DeliveryKind.ISSUE.value),
        sa.literal(issue.id),
        col(Subscription.edition_id),
        message_of,
        col(Subscription.id),
        col(Subscriber.domain),
        sa.literal(DeliveryStatus.QUEUED.value),
        *(sa.literal(now, type_=_delivery.c.due_at.type) for _ in range(3)),
        sa.literal(0),
    ).where(~already)
    columns = ["kind", "issue_id", "edition_id", "message_id", "subscription_id", "destination", "status"]
    columns += ["due_at", "queued_at", "changed_at", "attempts"]
    enqueuing = sa.insert(_delivery).from_select(columns, readers).execution_options(preserve_rowcount=True)
    return _execute(session, enqueuing).rowcount


def count_readers(session: Session, edition: Edition) -> int:
    """How many readers would get an issue of this edition now."""
    readers = _readers([edition.id], edition.publication_id, sa.func.count())
    return int(session.execute(readers).scalar_one())


def _readers(edition_ids: Sequence[int | None], publication_id: int, *columns: Any) -> sa.Select[Any]:
    """The confirmed, unsuppressed subscriptions of these editions."""
    return (
        sa.select(*columns)
        .select_from(Subscription)
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(
            col(Subscription.edition_id).in_(edition_ids),
            col(Subscription.status) == SubscriptionStatus.CONFIRMED,
            ~_suppressed(publication_id),
        )
    )


def _suppressed(publication_id: Any) -> sa.Exists:
    """The subscriber's address is on the suppression list, for this publication or for all."""
    return sa.exists().where(
        col(Suppression.address_hash) == col(Subscriber.address_hash),
        col(Suppression.lifted_at).is_(None),
        sa.or_(col(Suppression.publication_id).is_(None), col(Suppression.publication_id) == publication_id),
    )


# Claim


def claim(session: Session, *, worker_id: int, relay: str, limit: int, now: datetime) -> list[Claim]:
    """Takes up to `limit` due deliveries: automatic mail first, then the issues that are going out.

    Each reader is looked at again: who left, or was suppressed, since the delivery was written is withdrawn here.
    """
    claims = list[Claim]()
    for issue_id in [None, *_going_out(session)]:
        while len(claims) < limit:
            rows = session.execute(_due(issue_id, limit - len(claims), now)).all()
            if not rows:
                break
            claims += _take(session, rows, worker_id, relay, now)
    return claims


def has_due(session: Session, now: datetime) -> bool:
    """Whether a claim would find anything, without taking it."""
    return any(session.execute(_due(issue_id, 1, now)).first() is not None for issue_id in [None, *_going_out(session)])


def _going_out(session: Session) -> Sequence[int]:
    rows = sa.select(col(Issue.id)).where(col(Issue.status) == IssueStatus.SENDING).order_by(col(Issue.began_at))
    return [row.id for row in session.execute(rows)]


def _due(issue_id: int | None, limit: int, now: datetime) -> sa.Select[Any]:
    return (
        sa.select(
            _delivery,
            col(Subscriber.address),
            col(Subscription.status).label("subscription_status"),
            col(Subscription.language),
            _suppressed(col(Edition.publication_id)).label("suppressed"),
        )
        .select_from(_delivery)
        .join(Edition, col(Edition.id) == _delivery.c.edition_id)
        .outerjoin(Subscription, col(Subscription.id) == _delivery.c.subscription_id)
        .outerjoin(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(_delivery.c.issue_id == issue_id, _delivery.c.due_at <= now)
        .order_by(_delivery.c.due_at, _delivery.c.id)
        .limit(limit)
        .with_for_update(of=_delivery, skip_locked=True)  # PostgreSQL: workers share the work; SQLite has one writer
    )


_WANTED = {
    DeliveryKind.ISSUE: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.WELCOME: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.CONFIRMATION: {SubscriptionStatus.PENDING},
    DeliveryKind.NOTICE: set(SubscriptionStatus),
}


def _is_wanted(row: Any) -> bool:
    if row.kind == DeliveryKind.TEST:
        return True
    return row.subscription_status in _WANTED[row.kind] and not row.suppressed


def _take(session: Session, rows: Sequence[Any], worker_id: int, relay: str, now: datetime) -> list[Claim]:
    wanted = [row for row in rows if _is_wanted(row)]
    _move(session, DeliveryEvent.WITHDRAW, [row.id for row in rows if not _is_wanted(row)], now)
    _move(session, DeliveryEvent.CLAIM, [row.id for row in wanted], now, attempts=_delivery.c.attempts + 1)
    attempts = [
        {"delivery_id": row.id, "number": row.attempts + 1, "worker_id": worker_id, "relay": relay, "started_at": now}
        for row in wanted
    ]
    if attempts:
        _execute(session, sa.insert(_attempt), attempts)
    return [_claim(row) for row in wanted]


def _claim(row: Any) -> Claim:
    return Claim(
        delivery_id=row.id,
        number=row.attempts + 1,
        kind=row.kind,
        message_id=row.message_id,
        edition_id=row.edition_id,
        subscription_id=row.subscription_id,
        consent_id=row.consent_id,
        language=row.language,
        address=row.address or row.recipient,
        destination=row.destination,
        queued_at=row.queued_at,
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
    settled = [_settled(answer) for answer in answers]
    closed = _execute(session, _CLOSE, [_attempt_values(answer) for answer in answers]).rowcount
    moved = sum(
        _execute(session, _settle(event), [values for each, values in settled if each is event]).rowcount
        for event in {event for event, _ in settled}
    )
    if closed != len(answers) or moved != len(answers):
        raise IllegalTransition(DeliveryStatus.QUEUED, settled[0][0])
    uncertain = [answer.claim.delivery_id for answer in answers if answer.action.consequence is Consequence.LOSE_TRACK]
    _apply_policy(session, uncertain, answers[-1].at, RESEND_AFTER)


def _settled(answer: Answer) -> tuple[DeliveryEvent, dict[str, Any]]:
    event, _ = _EVENTS[answer.action.consequence]
    due_at = None
    if event is DeliveryEvent.DEFER:
        due_at = answer.at + wait(answer.reply, answer.claim.number, answer.claim.delivery_id)
        if due_at > answer.claim.queued_at + GIVE_UP_AFTER:
            event, due_at = DeliveryEvent.REFUSE, None
    elif event is DeliveryEvent.RETURN:
        due_at = answer.at
    return event, {"b_id": answer.claim.delivery_id, "b_due_at": due_at, "b_at": answer.at}


def _settle(event: DeliveryEvent) -> sa.Update:
    (before, after), *_ = TRANSITIONS[event].items()
    return (
        sa.update(_delivery)
        .where(_delivery.c.id == sa.bindparam("b_id"), _delivery.c.status == before)
        .values(status=after, due_at=sa.bindparam("b_due_at"), changed_at=sa.bindparam("b_at"))
    )


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
    deliveries = list(session.execute(left).scalars())
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


def withdraw_issue(session: Session, issue_id: int, now: datetime) -> int:
    """Withdraws everything of a cancelled issue that has not started. Returns how many."""
    statement = (
        sa.update(_delivery)
        .where(_delivery.c.issue_id == issue_id, _delivery.c.status.in_(WAITING | {DeliveryStatus.UNCERTAIN}))
        .values(status=DeliveryStatus.WITHDRAWN, due_at=None, changed_at=now)
    )
    return _execute(session, statement).rowcount


def is_finished(session: Session, issue_id: int) -> bool:
    """Whether nothing of the issue waits, is on the wire or is uncertain."""
    unfinished = sa.select(_delivery.c.id).where(_delivery.c.issue_id == issue_id, _delivery.c.status.in_(UNFINISHED))
    return session.execute(unfinished.limit(1)).first() is None


# Statements


def _move(session: Session, event: DeliveryEvent, ids: Sequence[int], now: datetime, **more: Any) -> None:
    """Moves these deliveries along `event`, all of them or, with IllegalTransition, none."""
    moved = 0
    for before, after in TRANSITIONS[event].items() if ids else ():
        statement = sa.update(_delivery).where(_delivery.c.id.in_(ids), _delivery.c.status == before)
        values = {"status": after, "changed_at": now, "due_at": None, **more}
        moved += _execute(session, statement.values(values)).rowcount
    if moved != len(ids):
        found = session.execute(sa.select(_delivery.c.status).where(_delivery.c.id.in_(ids))).scalars()
        raise IllegalTransition(next((s for s in found if s not in TRANSITIONS[event]), DeliveryStatus.QUEUED), event)


def _execute(session: Session, statement: Any, values: Any = None) -> sa.CursorResult[Any]:
    result = session.connection().execute(statement, values)
    assert isinstance(result, sa.CursorResult)
    return result


def _portions(ids: Iterable[int], size: int = 500) -> Iterable[list[int]]:
    """So many ids as fit a statement everywhere."""
    every = list(ids)
    return (every[at : at + size] for at in range(0, len(every), size))
