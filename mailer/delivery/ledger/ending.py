"""The end of an issue: when nothing of it is left to send, and what becomes of it when it is cancelled."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from mailer.delivery.ledger.moving import DELIVERY, execute
from mailer.delivery.states import UNFINISHED, WAITING, DeliveryStatus


def is_finished(session: Session, issue_id: int) -> bool:
    """Whether nothing of the issue waits, is on the wire or is uncertain."""
    unfinished = sa.select(DELIVERY.c.id).where(DELIVERY.c.issue_id == issue_id, DELIVERY.c.status.in_(UNFINISHED))
    return execute(session, unfinished.limit(1)).first() is None


def withdraw_issue(session: Session, issue_id: int, now: datetime) -> int:
    """Withdraws everything of a cancelled issue that has not started. Returns how many."""
    withdrawing = (
        sa.update(DELIVERY)
        .where(DELIVERY.c.issue_id == issue_id, DELIVERY.c.status.in_(WAITING))
        .values(status=DeliveryStatus.WITHDRAWN, due_at=None, changed_at=now)
    )
    return execute(session, withdrawing).rowcount
