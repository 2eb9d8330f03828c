"""Why readers leave: counted by month, and nothing that says who it was.

When a reader left is known to the second, so nothing may tell in which order reasons came: a row's number is drawn by
lot, and once a day those of the last weeks are written again in an order drawn by lot, in one transaction, since where
a row lies on the disk and, on PostgreSQL, which transaction wrote it (ctid, xmin) tell it, too.

What remains: until that day has passed, and in copies of the database that were made meanwhile, the place on the disk
(PostgreSQL keeps former rows until VACUUM, for who may read its pages). And by its nature the month: where few said why
they left, few can have written it (Subscription.gave_reason).
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

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
    """What they wrote, the newest months first; within one in no order."""
    found = select(Parting).where(Parting.publication_id == publication_id, Parting.words != "")
    return session.exec(found.order_by(col(Parting.month).desc(), col(Parting.id)).limit(limit)).all()


def mix(session: Session, now: datetime) -> None:
    """Writes those of this month and the last again, so that no trace is left of their order. Never commits."""
    since = (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)
    recent = session.exec(select(Parting).where(Parting.month >= since)).all()
    again = [Parting(**each.model_dump(exclude={"id"})) for each in recent]
    random.SystemRandom().shuffle(again)
    for each in recent:
        session.delete(each)
    session.flush()
    for each in again:
        session.add(each)
        session.flush()  # one by one: a session writes many in the order of their keys
