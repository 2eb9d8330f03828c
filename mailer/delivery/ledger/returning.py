"""What comes back after a mail was taken: a report that it failed, a complaint about it."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from mailer.delivery.ledger.moving import ATTEMPT, DELIVERY, execute, move
from mailer.delivery.states import TRANSITIONS, DeliveryEvent, DeliveryStatus
from mailer.errors import MailerError


class StillSending(MailerError):
    """A report was faster than the relay's own answer. It can be acted on once that is recorded."""


def last_attempt(session: Session, delivery_id: int) -> datetime | None:
    """When the delivery was last tried; None where it never was, or there is no such delivery."""
    last = sa.select(sa.func.max(ATTEMPT.c.started_at, type_=ATTEMPT.c.started_at.type))
    tried_at: datetime | None = execute(session, last.where(ATTEMPT.c.delivery_id == delivery_id)).scalar_one()
    return tried_at


def bounce(session: Session, delivery_id: int, now: datetime) -> bool:
    """A report says that the delivery failed. False where that changes nothing. Raises StillSending."""
    return _return(session, DeliveryEvent.BOUNCE, delivery_id, now)


def complain(session: Session, delivery_id: int, now: datetime) -> bool:
    """The reader complains of the delivery. False where that changes nothing. Raises StillSending."""
    return _return(session, DeliveryEvent.COMPLAIN, delivery_id, now)


def _return(session: Session, event: DeliveryEvent, delivery_id: int, now: datetime) -> bool:
    standing = sa.select(DELIVERY.c.status).where(DELIVERY.c.id == delivery_id).with_for_update()
    status = execute(session, standing).scalar_one_or_none()
    if status is DeliveryStatus.SENDING:
        raise StillSending(f"delivery {delivery_id} is still being sent")
    if status not in TRANSITIONS[event]:
        return False
    move(session, event, [delivery_id], now)
    return True
