"""Which deliveries go, and what came in about them and otherwise."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery import ledger
from mailer.delivery.states import UNFINISHED
from mailer.issues.states import IssueStatus
from mailer.tables import Arrival, Attempt, Delivery, Forward, Issue, Quarantine

# The send log


def old_deliveries(cutoff: datetime) -> sa.Select[Any]:
    going_out = sa.exists().where(
        col(Issue.id) == col(Delivery.issue_id), col(Issue.status).in_((IssueStatus.SENDING, IssueStatus.PAUSED))
    )
    return sa.select(col(Delivery.id)).where(
        col(Delivery.queued_at) < cutoff, col(Delivery.status).not_in(UNFINISHED), ~going_out
    )


def discard_deliveries(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    return ledger.discard(session, keys)


# What servers said of readers who were erased while a mail was on its way


def _without_reader() -> sa.ColumnElement[bool]:
    return sa.and_(col(Delivery.subscription_id).is_(None), col(Delivery.recipient).is_(None))


def words_of_relays(cutoff: datetime) -> sa.Select[Any]:
    before = (
        sa.select(col(Attempt.id)).where(col(Attempt.started_at) < cutoff).order_by(col(Attempt.id).desc()).limit(1)
    )
    return (
        sa.select(col(Attempt.id))
        .join(Delivery, col(Delivery.id) == col(Attempt.delivery_id))
        .where(
            col(Attempt.id) > sa.func.coalesce(before.scalar_subquery(), 0),
            col(Attempt.reply).is_not(None),
            col(Attempt.outcome).is_not(None),
            _without_reader(),
        )
    )


def words_of_reports(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Arrival.id))
        .join(Delivery, col(Delivery.id) == col(Arrival.delivery_id))
        .where(sa.or_(col(Arrival.diagnostic).is_not(None), col(Arrival.reporter).is_not(None)), _without_reader())
    )


# What came in


def old_quarantine(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Quarantine.arrival_id))
        .join(Arrival, col(Arrival.id) == col(Quarantine.arrival_id))
        .where(col(Arrival.arrived_at) < cutoff)
    )


def old_forwards(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Forward.arrival_id))
        .join(Arrival, col(Arrival.id) == col(Forward.arrival_id))
        .where(col(Arrival.arrived_at) < cutoff)
    )


def old_arrivals(cutoff: datetime) -> sa.Select[Any]:
    kept = sa.exists().where(col(Quarantine.arrival_id) == col(Arrival.id))
    return sa.select(col(Arrival.id)).where(is_past(cutoff), ~kept)


def is_past(cutoff: datetime) -> sa.ColumnElement[bool]:
    """Not what still lies in the mailbox: it would be a new mail when it is read again, and go to the editors again."""
    not_there = sa.or_(col(Arrival.listed_at).is_(None), col(Arrival.listed_at) < cutoff)
    return sa.and_(col(Arrival.arrived_at) < cutoff, not_there)
