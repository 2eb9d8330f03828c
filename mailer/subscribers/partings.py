"""Why readers leave: counted by month, and nothing that says who it was."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.subscription import publication_of, row_of
from mailer.tables import Parting, PartingReason

LONGEST = 500
"""Characters."""


def give_reason(session: Session, subscription_id: int, reason: PartingReason, words: str, now: datetime) -> bool:
    """Keeps the reason, once for each time of leaving. Returns whether it did. Never commits."""
    row = row_of(session, subscription_id, lock=True)
    if row is None or row[0].status is not SubscriptionStatus.UNSUBSCRIBED or row[0].gave_reason:
        return False
    row[0].gave_reason = True
    month = now.date().replace(day=1)
    publication_id = publication_of(session, row[0])
    session.add(Parting(publication_id=publication_id, month=month, reason=reason, words=words[:LONGEST]))
    session.flush()
    return True


def counts(session: Session, publication_id: int) -> Mapping[PartingReason, int]:
    """How many gave each reason."""
    found = (
        sa.select(col(Parting.reason), sa.func.count())
        .where(col(Parting.publication_id) == publication_id)
        .group_by(col(Parting.reason))
    )
    return {reason: int(count) for reason, count in session.execute(found)}


def said(session: Session, publication_id: int, *, limit: int) -> Sequence[Parting]:
    """What they wrote, the newest first."""
    found = select(Parting).where(Parting.publication_id == publication_id, Parting.words != "")
    return session.exec(found.order_by(col(Parting.id).desc()).limit(limit)).all()
