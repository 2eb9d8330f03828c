"""An issue becomes one Delivery for each of its readers, in one statement."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from mailer.delivery.ledger.moving import DELIVERY, execute
from mailer.delivery.states import DeliveryStatus
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import DeliveryKind, Edition, Issue, Message, Suppression, metadata

_subscription = metadata.tables["subscription"]
_subscriber = metadata.tables["subscriber"]


def enqueue_issue(session: Session, issue: Issue, messages: Mapping[int, int], now: datetime) -> int:
    """Writes one delivery for each confirmed, unsuppressed subscription that is not paused. Returns how many.

    `messages`: edition id -> message id. A subscription that already has its delivery keeps it, so doing it again
    adds nobody twice.
    """
    assert issue.id is not None
    _hold(session, issue.id, messages)
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
        **{name: sa.literal(now, type_=DELIVERY.c.due_at.type) for name in ("due_at", "queued_at", "changed_at")},
    }
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    readers = _readers(list(messages), issue.publication_id, *values.values()).where(is_awake(now))
    writing = insert(DELIVERY).from_select(list(values), readers)
    if _has_deliveries(session, issue.id):  # not the first time: PostgreSQL takes a third longer where it may meet one
        writing = writing.on_conflict_do_nothing()
    written = execute(session, writing.execution_options(preserve_rowcount=True)).rowcount
    if session.get_bind().dialect.name == "postgresql":
        # It would count them a minute later, and until then sort a million for each claim, not walk along the index.
        execute(session, sa.text("ANALYZE delivery"))
    return written


def _hold(session: Session, issue_id: int, messages: Mapping[int, int]) -> None:
    """Nobody else enqueues the issue until the transaction has ended, and its messages are what they are said to be.

    It stands for three foreign keys, which would look at the same few rows a million times.
    """
    execute(session, sa.select(col(Issue.id)).where(col(Issue.id) == issue_id).with_for_update(key_share=True))
    written = sa.select(col(Message.edition_id), col(Message.id)).where(col(Message.issue_id) == issue_id)
    known = {tuple(row) for row in execute(session, written.with_for_update(read=True, key_share=True))}
    assert set(messages.items()) <= known, "a message of another issue or edition"


def _has_deliveries(session: Session, issue_id: int) -> bool:
    return (
        execute(session, sa.select(DELIVERY.c.id).where(DELIVERY.c.issue_id == issue_id).limit(1)).first() is not None
    )


def count_readers(session: Session, edition: Edition) -> int:
    """How many readers this edition has now, those included who pause."""
    readers = _readers([edition.id], edition.publication_id, sa.func.count())
    return int(execute(session, readers).scalar_one())


def _readers(edition_ids: Sequence[int | None], publication_id: int, *columns: Any) -> sa.Select[Any]:
    """The confirmed, unsuppressed subscriptions of these editions.

    The suppressed are looked up first, by the list, and then passed over: it is short beside the readers.
    """
    listed = sa.select(col(Suppression.address_hash)).where(holds(publication_id))
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


def is_awake(now: Any) -> sa.ColumnElement[bool]:
    """The subscription is not paused. A pause is over at its very moment, without anybody's doing."""
    return sa.or_(_subscription.c.paused_until.is_(None), _subscription.c.paused_until <= now)


def holds(publication_id: Any) -> sa.ColumnElement[bool]:
    """The suppression stands, for this publication or for all."""
    everywhere = col(Suppression.publication_id).is_(None)
    return sa.and_(
        col(Suppression.lifted_at).is_(None), sa.or_(everywhere, col(Suppression.publication_id) == publication_id)
    )
