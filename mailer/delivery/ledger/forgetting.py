"""Readers go, and the ledger keeps its rows without them; old rows go, and their counts stay."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from mailer.delivery.ledger.moving import ATTEMPT, DELIVERY, execute
from mailer.delivery.states import UNFINISHED, WAITING, DeliveryStatus
from mailer.tables import DeliveryKind, metadata

_past = metadata.tables["past_deliveries"]
_arrival = metadata.tables["arrival"]


def forget_readers(session: Session, subscription_ids: sa.Select[Any], now: datetime) -> None:
    """What waits for these subscriptions is withdrawn; what servers said, which may name the reader, is blanked,
    and so is the domain of what has ended.

    Before the subscriptions are deleted: by that the rows lose their reader.
    """
    theirs = DELIVERY.c.subscription_id.in_(subscription_ids)
    _blank(session, theirs, now)


def forget_recipient(session: Session, address: str, now: datetime) -> int:
    """The same for test mail to this address, which has no subscription. Returns how many mails."""
    theirs = DELIVERY.c.recipient.in_({address, address.lower()})
    _blank(session, theirs, now)
    return len(
        execute(session, sa.update(DELIVERY).where(theirs).values(recipient=None).returning(DELIVERY.c.id)).all()
    )


def _blank(session: Session, which: sa.ColumnElement[bool], now: datetime) -> None:
    waiting = sa.update(DELIVERY).where(which, DELIVERY.c.status.in_(WAITING))
    execute(session, waiting.values(status=DeliveryStatus.WITHDRAWN, due_at=None, changed_at=now))
    of_them = ATTEMPT.c.delivery_id.in_(sa.select(DELIVERY.c.id).where(which))
    execute(session, sa.update(ATTEMPT).where(of_them).values(reply=None))
    ended = sa.update(DELIVERY).where(which, DELIVERY.c.status.not_in(UNFINISHED))
    execute(session, ended.values(destination=""))  # a domain of one's own is a name


def discard(session: Session, ids: Sequence[int]) -> int:
    """Deletes these deliveries with their attempts. How many of each issue ended how is added to its counts. What
    servers reported of them loses its words: they may name a reader, and nobody could tell any more which."""
    execute(session, sa.update(_arrival).where(_arrival.c.delivery_id.in_(ids)).values(diagnostic=None))
    execute(session, sa.delete(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(ids)))
    gone = execute(
        session,
        sa.delete(DELIVERY)
        .where(DELIVERY.c.id.in_(ids))
        .returning(DELIVERY.c.kind, DELIVERY.c.issue_id, DELIVERY.c.edition_id, DELIVERY.c.status),
    ).all()
    counts = Counter[tuple[Any, ...]](tuple(row[1:]) for row in gone if row.kind is DeliveryKind.ISSUE)
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for (issue_id, edition_id, status), count in sorted(counts.items()):
        values = {"issue_id": issue_id, "edition_id": edition_id, "status": status, "count": count}
        execute(
            session,
            insert(_past)
            .values(values)
            .on_conflict_do_update(
                index_elements=["issue_id", "edition_id", "status"], set_={"count": _past.c.count + count}
            ),
        )
    return len(gone)
