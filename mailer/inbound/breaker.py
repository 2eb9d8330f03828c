"""Stops an issue about which too much comes back, while it is still going out, and says when complaints grow many.

    addresses     more than 5 % of what left came back from addresses that do not exist, from the tenth on
    complaints    more than 0.3 % complained, from the third on
    a warning     more than 0.1 % complained, from the second on: large receivers begin to think ill of a sender there

Counted are deliveries: however often one comes back, it is one.

The words of a report come after the mail: what the relay refuses at once is counted by mailer.delivery.breaker.
"""

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery.tally import COMPLAINTS_SHARE, LEFT, many_complaints
from mailer.inbound.incoming import Effect
from mailer.tables import Arrival, Delivery

ADDRESS_SHARE, ADDRESSES = 0.05, 10
COMPLAINT_SHARE, COMPLAINTS = 0.003, 3


def too_much(session: Session, issue_id: int) -> str | None:
    """Why the issue has to stop, if it has to."""
    dead = _count(session, issue_id, Effect.SUPPRESSED)
    if dead >= ADDRESSES and (left := _left(session, issue_id, round(dead / ADDRESS_SHARE))):
        return f"{dead} of {left} mails came back from addresses that do not exist"
    complaints = _count(session, issue_id, Effect.COMPLAINED)
    if complaints >= COMPLAINTS and (left := _left(session, issue_id, round(complaints / COMPLAINT_SHARE))):
        return f"{complaints} of {left} readers complained"
    return None


def warning(session: Session, issue_id: int) -> str | None:
    """What is to be said about the issue's complaints, if they are many."""
    complaints = _count(session, issue_id, Effect.COMPLAINED)
    left = _left(session, issue_id, round(complaints / COMPLAINTS_SHARE)) if complaints else None
    return many_complaints(complaints, left) if left else None


def _count(session: Session, issue_id: int, effect: Effect) -> int:
    about = sa.select(sa.func.count(sa.distinct(col(Arrival.delivery_id)))).join(
        Delivery, col(Delivery.id) == col(Arrival.delivery_id)
    )
    wanted = about.where(col(Delivery.issue_id) == issue_id, col(Arrival.effect) == effect)
    return int(session.execute(wanted).scalar_one())


def _left(session: Session, issue_id: int, fewer_than: int) -> int | None:
    """How many mails of the issue have left, where they are fewer than so many. More are not counted."""
    left = sa.select(col(Delivery.id)).where(col(Delivery.issue_id) == issue_id, col(Delivery.status).in_(LEFT))
    few = sa.select(sa.func.count()).select_from(left.limit(fewer_than).subquery())
    found = int(session.execute(few).scalar_one())
    return found if found < fewer_than else None
