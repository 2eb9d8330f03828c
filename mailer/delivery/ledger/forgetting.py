"""Readers go, and the ledger keeps its rows without them; old rows go, and their counts stay."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from mailer.delivery.ledger.moving import AMONG_IDS, ATTEMPT, DELIVERY, execute, listed
from mailer.delivery.states import WAITING, DeliveryStatus
from mailer.statement import Statement
from mailer.subscribers.address import same
from mailer.tables import DeliveryKind, metadata

_past = metadata.tables["past_deliveries"]
_arrival = metadata.tables["arrival"]


def forget_readers(session: Session, subscription_ids: sa.Select[Any], now: datetime) -> None:
    """What waits for these subscriptions is withdrawn; what servers answered and reported, which may name the reader,
    is blanked, and so is the domain: one of one's own is a name. What is on the wire at this moment goes with its
    answer, by forget_late().

    Before the subscriptions are deleted: by that the rows lose their reader.
    """
    theirs = DELIVERY.c.subscription_id.in_(subscription_ids)
    _blank(session, theirs, now)


def forget_recipient(session: Session, address: str, now: datetime) -> int:
    """The same for test mail to this address, however it was typed, which has no subscription. Returns how many."""
    typed = execute(
        session, sa.select(DELIVERY.c.recipient).where(DELIVERY.c.recipient.is_not(None)).distinct()
    ).scalars()
    theirs = DELIVERY.c.recipient.in_([each for each in typed if each == address or same(each, address)])
    _blank(session, theirs, now)
    return len(
        execute(session, sa.update(DELIVERY).where(theirs).values(recipient=None).returning(DELIVERY.c.id)).all()
    )


def forget_late(session: Session, ids: Sequence[int], now: datetime) -> None:
    """The same for those of these deliveries whose reader was erased while they were on the wire."""
    lost = [delivery_id for (delivery_id,) in _WITHOUT_READER.rows(session, ids=listed(ids))] if ids else []
    if lost:
        _blank(session, DELIVERY.c.id.in_(lost), now)


def has_reader(session: Session, delivery_id: int) -> bool:
    """Whether it is still known to whom the delivery went: asked of the database, whatever the session holds."""
    return not _WITHOUT_READER.rows(session, ids=listed([delivery_id]))


_WITHOUT_READER = Statement(
    sa.select(DELIVERY.c.id).where(AMONG_IDS, DELIVERY.c.subscription_id.is_(None), DELIVERY.c.recipient.is_(None))
)


def _blank(session: Session, which: sa.ColumnElement[bool], now: datetime) -> None:
    waiting = sa.update(DELIVERY).where(which, DELIVERY.c.status.in_(WAITING))
    execute(session, waiting.values(status=DeliveryStatus.WITHDRAWN, due_at=None, changed_at=now))
    of_them = sa.select(DELIVERY.c.id).where(which)
    execute(session, sa.update(ATTEMPT).where(ATTEMPT.c.delivery_id.in_(of_them)).values(reply=None))
    reports = sa.update(_arrival).where(_arrival.c.delivery_id.in_(of_them))
    execute(session, reports.values(diagnostic=None, reporter=None))
    execute(session, sa.update(DELIVERY).where(which).values(destination=""))


def discard(session: Session, ids: Sequence[int]) -> int:
    """Deletes these deliveries with their attempts. How many of each issue ended how is added to its counts. What
    servers reported of them loses its words: they may name a reader, and nobody could tell any more which."""
    execute(session, sa.update(_arrival).where(_arrival.c.delivery_id.in_(ids)).values(diagnostic=None, reporter=None))
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
