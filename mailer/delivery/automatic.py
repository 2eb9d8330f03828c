"""Automatic mail (confirmations, welcomes, notices) put on the one road out: each is a Delivery."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery.ledger import following
from mailer.delivery.states import DeliveryStatus
from mailer.statement import Statement
from mailer.subscribers.moving import Moved
from mailer.subscribers.optin import Owed
from mailer.tables import Delivery, DeliveryKind, metadata


def queue(session: Session, owed: Owed | None, now: datetime) -> None:
    """Queues the mail that an act calls for, due at once, in the act's own transaction: both are kept, or neither."""
    if owed:
        _QUEUE.count(session, **owed._asdict(), due_at=now, queued_at=now, changed_at=now)


def follow(session: Session, moved: Moved, now: datetime) -> None:
    """What a change of address calls for: an issue that is going out at this moment is not lost over it, and the old
    address is told."""
    following.follow(session, moved.pairs, moved.domain)
    queue(session, moved.owed, now)


_QUEUE = Statement(
    sa.insert(metadata.tables["delivery"]).values(
        {name: sa.bindparam(name) for name in (*Owed._fields, "due_at", "queued_at", "changed_at")}
        | {"status": DeliveryStatus.QUEUED, "attempts": 0}
    )
)


class Asked(NamedTuple):
    """A reader to whom one of many automatic mails goes."""

    subscription_id: int
    edition_id: int
    consent_id: int  #: the act it answers: one mail an act
    destination: str  #: the receiving domain


def queue_spread(
    session: Session, kind: DeliveryKind, readers: Sequence[Asked], *, per_hour: int, now: datetime
) -> datetime:
    """Queues a mail for each reader, so many an hour, behind those that were queued so before.

    Returns when the last one is due. Each mail's Date is when it is due: its link is valid from then on.
    """
    step = timedelta(hours=1) / per_hour
    last = select(Delivery.due_at).where(
        col(Delivery.issue_id).is_(None),
        col(Delivery.due_at) > now,
        Delivery.kind == kind,
        Delivery.status == DeliveryStatus.QUEUED,
    )
    due_at = session.exec(last.order_by(col(Delivery.due_at).desc()).limit(1)).first() or now - step
    rows = []
    for reader in readers:
        due_at += step
        rows.append(
            {
                **reader._asdict(),
                "kind": kind,
                "status": DeliveryStatus.QUEUED,
                "attempts": 0,
                "due_at": due_at,
                "queued_at": due_at,
                "changed_at": now,
            }
        )
    session.connection().execute(sa.insert(Delivery), rows)
    return due_at
