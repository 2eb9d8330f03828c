"""Claiming: an Attempt is written and the Delivery is `sending`, before the first byte may leave."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery.ledger.enqueuing import holds, is_awake
from mailer.delivery.ledger.following import follow_late
from mailer.delivery.ledger.forgetting import forget_late
from mailer.delivery.ledger.moving import (
    AMONG_IDS,
    ATTEMPT,
    DELIVERY,
    WORKER,
    execute,
    listed,
    move,
    postpone,
)
from mailer.delivery.states import DeliveryEvent
from mailer.errors import MailerError
from mailer.issues.states import IssueStatus
from mailer.statement import Row, Statement, is_one_of
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import DeliveryKind, Forward, Issue, Quarantine, Suppression, SuppressionReason, metadata

_edition = metadata.tables["edition"]
_subscription = metadata.tables["subscription"]
_subscriber = metadata.tables["subscriber"]


class LeaseLost(MailerError):
    """This worker was believed dead and what it held was taken over. Its transaction changes nothing."""

    def __init__(self) -> None:
        super().__init__(
            "This worker's lease lapsed and was taken over. What it held goes on in other workers. If this happens"
            " again, compare the clocks of the machines."
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


Departure = Callable[[str, datetime], datetime | None]
"""When a mail to this destination may leave; None: now."""


def claim(
    session: Session, *, worker_id: int, relay: str, limit: int, now: datetime, departure: Departure | None = None
) -> list[Claim]:
    """Takes up to `limit` due deliveries: automatic mail first, then the issues that are going out.

    Each reader is looked at again: who left, pauses or was suppressed since the delivery was written is withdrawn here.
    Those whose destination is to be spared are put off until their `departure`. Raises LeaseLost.
    """
    claims = list[Claim]()
    if limit <= 0:
        return claims
    _hold_lease(session, worker_id)
    seen = 0
    for issue_id in _streams(session):
        while len(claims) < limit and seen < _SEEN_AT_MOST + limit:
            rows = _ask(session, _DUE, issue_id, now=now, limit=limit - len(claims))
            if not rows:
                break
            seen += len(rows)
            claims += _take(session, _ready(session, rows, now, departure), worker_id, relay, now)
    return claims


_SEEN_AT_MOST = 500
"""Rows beyond its limit that one claim withdraws or puts off, so that its transaction ends soon; the next goes on."""


def has_due(session: Session, now: datetime) -> bool:
    """Whether a claim would find anything, without taking it."""
    return any(_ask(session, _ANY_DUE, issue_id, now=now) for issue_id in _streams(session))


def _hold_lease(session: Session, worker_id: int) -> None:
    """Nobody takes this worker over until the transaction has ended. Raises LeaseLost where somebody has."""
    if not _ALIVE.rows(session, worker_id=worker_id):
        raise LeaseLost


_ALIVE = Statement(
    sa.select(WORKER.c.id)
    .where(WORKER.c.id == sa.bindparam("worker_id"), WORKER.c.ended_at.is_(None))
    .with_for_update(read=True)
)


def _ready(session: Session, rows: Sequence[Row], now: datetime, departure: Departure | None) -> list[Claim]:
    """Those that are still wanted and may leave now."""
    claims = [Claim._make(row[:-1]) for row in rows if row[-1]]
    if len(claims) < len(rows):
        _let_go(session, [row[0] for row in rows if not row[-1]], now)
    if departure is None:
        return claims
    later = defaultdict[datetime, list[int]](list)
    for claim in claims:
        at = departure(claim.destination, now)
        if at:  # by the second: a group is one statement
            later[at.replace(microsecond=0) + timedelta(seconds=1)].append(claim.delivery_id)
    for at, ids in later.items():
        postpone(session, ids, at)
    put_off = {each for ids in later.values() for each in ids}
    return [claim for claim in claims if claim.delivery_id not in put_off] if put_off else claims


def _let_go(session: Session, ids: list[int], now: datetime) -> None:
    """Withdraws what nobody wants any more. What goes on at another address is claimed there, in the next round.

    Asked again now that the rows are ours: on PostgreSQL a reader may have moved while the statement looked, which then
    finds a new delivery beside the subscriptions of before, and so no reader at all.
    """
    follow_late(session, ids)
    wanted = {delivery_id for (delivery_id,) in execute(session, _STILL_WANTED, {"ids": listed(ids), "now": now})}
    unwanted = [each for each in ids if each not in wanted]
    move(session, DeliveryEvent.WITHDRAW, unwanted, now)
    forget_late(session, unwanted, now)  # written while its reader was erased


def _take(session: Session, claims: list[Claim], worker_id: int, relay: str, now: datetime) -> list[Claim]:
    if claims:
        ids = [claim.delivery_id for claim in claims]
        move(session, DeliveryEvent.CLAIM, ids, now, attempts=1)
        _BEGIN.count(session, ids=listed(ids), worker_id=worker_id, relay=relay, now=now)
    return claims


_BEGIN = Statement(
    sa.insert(ATTEMPT).from_select(
        ["delivery_id", "number", "worker_id", "relay", "started_at"],
        sa.select(
            DELIVERY.c.id,
            DELIVERY.c.attempts,
            sa.bindparam("worker_id", type_=ATTEMPT.c.worker_id.type),
            sa.bindparam("relay", type_=ATTEMPT.c.relay.type),
            sa.bindparam("now", type_=ATTEMPT.c.started_at.type),
        )
        .where(AMONG_IDS)
        .order_by(DELIVERY.c.id),
    )
)


# What is due: automatic mail is the stream without an issue.


def _streams(session: Session) -> Sequence[int | None]:
    return [None, *(issue_id for (issue_id,) in _GOING_OUT.rows(session))]


_GOING_OUT = Statement(
    sa.select(col(Issue.id)).where(col(Issue.status) == IssueStatus.SENDING).order_by(col(Issue.began_at))
)


class _Asking(NamedTuple):
    """A question in its two forms, for the automatic mail and for an issue."""

    automatic: Statement
    issue: Statement


def _ask(session: Session, asking: _Asking, issue_id: int | None, **values: Any) -> list[Row]:
    if issue_id is None:
        return asking.automatic.rows(session, **values)
    return asking.issue.rows(session, issue_id=issue_id, **values)


def _asking(question: sa.Select[Any]) -> _Asking:
    due = question.where(DELIVERY.c.due_at <= sa.bindparam("now"))
    of_issue = DELIVERY.c.issue_id == sa.bindparam("issue_id")
    return _Asking(Statement(due.where(DELIVERY.c.issue_id.is_(None))), Statement(due.where(of_issue)))


class _Moment(sa.TypeDecorator[datetime]):
    """A time that thousands of rows have in common, and that is read once."""

    impl = DELIVERY.c.queued_at.type
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


_WANTED = {
    DeliveryKind.ISSUE: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.WELCOME: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.CONFIRMATION: {SubscriptionStatus.PENDING},
    DeliveryKind.GOODBYE: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.WARNING: {SubscriptionStatus.CONFIRMED},
    DeliveryKind.NEW_ADDRESS: {SubscriptionStatus.PENDING, SubscriptionStatus.CONFIRMED},
    # Told in any case: whoever moved the reader away might else ask in the form for the address that is to be told.
    DeliveryKind.OLD_ADDRESS: {SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.PENDING},
    DeliveryKind.MY_DATA: set(SubscriptionStatus),
    DeliveryKind.MY_DATA_FILE: set(SubscriptionStatus),
    DeliveryKind.PREFERENCES: set(SubscriptionStatus),
}

_suppressed = sa.exists().where(
    col(Suppression.address_hash) == _subscriber.c.address_hash,
    holds(_edition.c.publication_id),
    # By this mail the reader takes it back, or, once erased, is asked whether it was really they who came.
    sa.or_(
        DELIVERY.c.kind != DeliveryKind.CONFIRMATION,
        sa.and_(
            col(Suppression.reason) != SuppressionReason.UNREACHABLE,
            col(Suppression.reason) != SuppressionReason.ERASED,
        ),
    ),
)
_agreed = sa.or_(
    *(sa.and_(DELIVERY.c.kind == kind, is_one_of(_subscription.c.status, wanted)) for kind, wanted in _WANTED.items())
)
_is_kept = sa.exists().where(
    col(Forward.delivery_id) == DELIVERY.c.id, col(Quarantine.arrival_id) == col(Forward.arrival_id)
)
_wants_it_now = sa.or_(DELIVERY.c.kind != DeliveryKind.ISSUE, is_awake(sa.bindparam("now")))
_is_wanted = sa.or_(
    sa.and_(DELIVERY.c.kind == DeliveryKind.TEST, DELIVERY.c.recipient.is_not(None)),
    sa.and_(_agreed, _wants_it_now, sa.not_(_suppressed)),
    sa.and_(DELIVERY.c.kind == DeliveryKind.FORWARD, _is_kept),  # the operator may have discarded it
)

_WITH_READERS = (
    DELIVERY.join(_edition, _edition.c.id == DELIVERY.c.edition_id)
    .outerjoin(_subscription, _subscription.c.id == DELIVERY.c.subscription_id)
    .outerjoin(_subscriber, _subscriber.c.id == _subscription.c.subscriber_id)
)
_STILL_WANTED = sa.select(DELIVERY.c.id).select_from(_WITH_READERS).where(AMONG_IDS, _is_wanted)

_DUE = _asking(
    sa.select(  # what a Claim holds, in its order; then whether there is one
        DELIVERY.c.id,
        DELIVERY.c.attempts + 1,
        sa.type_coerce(DELIVERY.c.kind, _Kind),
        DELIVERY.c.message_id,
        DELIVERY.c.edition_id,
        DELIVERY.c.subscription_id,
        DELIVERY.c.consent_id,
        _subscription.c.language,
        sa.func.coalesce(_subscriber.c.address, DELIVERY.c.recipient),
        DELIVERY.c.destination,
        sa.type_coerce(DELIVERY.c.queued_at, _Moment),
        sa.type_coerce(_is_wanted, sa.Integer),
    )
    .select_from(_WITH_READERS)
    .order_by(DELIVERY.c.due_at, DELIVERY.c.id)
    .limit(sa.bindparam("limit"))
    .with_for_update(of=DELIVERY, skip_locked=True)  # PostgreSQL: workers share the work; SQLite has one writer
)
_ANY_DUE = _asking(sa.select(DELIVERY.c.id).limit(1))
