"""The send log: what happened to each delivery, read from the ledger and never written to it.

Queries go along the indexes: newest first is the order of ids; an issue and a status are one stretch of
(issue_id, status) each; and readers are looked up before their deliveries where few match.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery.states import DeliveryStatus
from mailer.delivery.tally import Tally, tally
from mailer.errors import MailerError
from mailer.inbound.incoming import Effect
from mailer.tables import (
    Arrival,
    Attempt,
    Delivery,
    DeliveryKind,
    Edition,
    Issue,
    Publication,
    Subscriber,
    Subscription,
)

__all__ = ["LogEntry", "LogFilter", "LogFilterError", "Tally", "entries", "entry", "history", "tally"]

FEW = 1_000
"""So many matching readers have their deliveries looked up one by one; of more, the newest are soon met by walking."""

PORTION = 200
"""Stretches of an index, or ids, in one statement."""


class LogFilterError(MailerError):
    """The filter names something that does not exist; the message says what does."""


@dataclass(frozen=True, kw_only=True)
class LogFilter:
    """What to show. None: everything."""

    issue: str | None = None  #: an issue's slug
    status: str | None = None  #: a DeliveryStatus
    domain: str | None = None  #: the receiving domain, whole
    address: str | None = None  #: a part of the reader's address, in any case
    publication: str | None = None  #: a publication's slug


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """A delivery and its last attempt, whose answer is None while it has none."""

    delivery_id: int
    at: datetime  #: when it last changed, UTC
    publication: str  #: slug
    issue: str | None  #: slug; None for automatic mail
    kind: DeliveryKind
    edition: str  #: code
    address: str | None  #: None once the reader was erased
    destination: str  #: the receiving domain; "" once the reader was erased
    status: DeliveryStatus
    attempts: int
    relay: str | None
    stage: str | None  #: connect, mail, rcpt, data, dot
    code: int | None  #: RFC 5321 §4.2
    enhanced: str | None  #: RFC 3463
    reply: str | None  #: the server's words, or what happened instead
    report: str | None = None  #: what came back later: the words of the last report about it


def entries(
    session: Session,
    wanted: LogFilter,
    *,
    before_id: int | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[LogEntry]:
    """The newest deliveries first. Raises LogFilterError.

    `before_id`: only older ones, for the next page. `since`: only what changed at that moment or later.
    """
    newest = _newest_ids(session, wanted, before_id, since, limit)
    rows = [row for ids in _portions(newest) for row in session.execute(_ROWS.where(col(Delivery.id).in_(ids)))]
    return [LogEntry(**row._mapping) for row in rows]


def entry(session: Session, delivery_id: int) -> LogEntry | None:
    """One of them."""
    row = session.execute(_ROWS.where(col(Delivery.id) == delivery_id)).one_or_none()
    return LogEntry(**row._mapping) if row else None


def history(session: Session, delivery_id: int) -> Sequence[Attempt]:
    """Every attempt at one delivery, the first one first."""
    return session.exec(select(Attempt).where(Attempt.delivery_id == delivery_id).order_by(col(Attempt.number))).all()


_REPORT = (
    sa.select(sa.func.coalesce(col(Arrival.diagnostic), col(Arrival.reason)))
    .where(col(Arrival.delivery_id) == col(Delivery.id), col(Arrival.effect) != Effect.NOTHING)
    .order_by(col(Arrival.id).desc())
    .limit(1)
    .scalar_subquery()
)

_ROWS: sa.Select[*tuple[Any, ...]] = (
    sa.select(
        col(Delivery.id).label("delivery_id"),
        col(Delivery.changed_at).label("at"),
        col(Publication.slug).label("publication"),
        col(Issue.slug).label("issue"),
        col(Delivery.kind),
        col(Edition.code).label("edition"),
        sa.func.coalesce(col(Subscriber.address), col(Delivery.recipient)).label("address"),
        col(Delivery.destination),
        col(Delivery.status),
        col(Delivery.attempts),
        col(Attempt.relay),
        col(Attempt.stage),
        col(Attempt.code),
        col(Attempt.enhanced),
        col(Attempt.reply),
        _REPORT.label("report"),
    )
    .join(Edition, col(Edition.id) == col(Delivery.edition_id))
    .join(Publication, col(Publication.id) == col(Edition.publication_id))
    .outerjoin(Issue, col(Issue.id) == col(Delivery.issue_id))
    .outerjoin(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
    .outerjoin(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
    .outerjoin(
        Attempt, sa.and_(col(Attempt.delivery_id) == col(Delivery.id), col(Attempt.number) == col(Delivery.attempts))
    )
    .order_by(col(Delivery.id).desc())
)


# Which deliveries


def _newest_ids(
    session: Session, wanted: LogFilter, before_id: int | None, since: datetime | None, limit: int
) -> list[int]:
    status = _status(wanted)
    publication_id = _publication_id(session, wanted)
    issue_ids = _issue_ids(session, wanted, publication_id)
    found = sa.select(col(Delivery.id)).order_by(col(Delivery.id).desc()).limit(limit)
    if before_id is not None:
        found = found.where(col(Delivery.id) < before_id)
    if since is not None:
        found = found.where(col(Delivery.changed_at) >= since)
    if publication_id is not None:
        found = found.where(col(Delivery.edition_id).in_(_edition_ids(session, publication_id)))
    if wanted.address or wanted.domain:
        found, are_few = _of_readers(session, wanted, found)
        if are_few:
            return list(session.execute(_simply(found, status, issue_ids)).scalars())
    if issue_ids is None and status is None:
        return list(session.execute(found).scalars())
    return _merged(session, found, _stretches(session, status, issue_ids, publication_id), limit)


def _of_readers(session: Session, wanted: LogFilter, found: sa.Select[Any]) -> tuple[sa.Select[Any], bool]:
    """`found`, only to the readers that are wanted, and whether they are few."""
    reads = sa.select(col(Subscription.id)).join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
    unbound: sa.ColumnElement[bool] = col(Delivery.subscription_id).is_(None)
    if wanted.domain:
        domain = wanted.domain.strip().lower()
        found = found.where(col(Delivery.destination) == domain)
        reads = reads.where(col(Subscriber.domain) == domain)
    if wanted.address:
        reads = reads.where(_contains(session, Subscriber.address, wanted.address))
        unbound = sa.and_(unbound, _contains(session, Delivery.recipient, wanted.address))
    few = list(session.execute(reads.limit(FEW + 1)).scalars())
    if len(few) <= FEW:
        return found.where(sa.or_(col(Delivery.subscription_id).in_(few), unbound)), True
    if wanted.address:  # asked of one delivery after the other, until there are enough
        reader = reads.where(col(Subscription.id) == col(Delivery.subscription_id)).correlate(Delivery)
        found = found.where(sa.or_(reader.exists(), unbound))
    return found, False


def _contains(session: Session, column: Any, part: str) -> sa.ColumnElement[bool]:
    """In any case. SQLite's LIKE is so of itself, and twice as fast without lower()."""
    pattern = re.sub(r"([\\%_])", r"\\\1", part.strip())
    like = col(column).like if session.get_bind().dialect.name == "sqlite" else col(column).ilike
    return like(f"%{pattern}%", escape="\\")


def _simply(found: sa.Select[Any], status: DeliveryStatus | None, issue_ids: list[int] | None) -> sa.Select[Any]:
    if status is not None:
        found = found.where(col(Delivery.status) == status)
    return found if issue_ids is None else found.where(col(Delivery.issue_id).in_(issue_ids))


def _stretches(
    session: Session, status: DeliveryStatus | None, issue_ids: list[int] | None, publication_id: int | None
) -> list[sa.ColumnElement[bool]]:
    """The stretches of (issue_id, status) that together hold what is wanted; each has its ids in order."""
    issues: list[int | None] = (
        list(issue_ids) if issue_ids is not None else [None, *_every_issue(session, publication_id)]
    )
    statuses = list(DeliveryStatus) if status is None else [status]
    return [
        sa.and_(col(Delivery.issue_id) == issue_id, col(Delivery.status) == each)
        for issue_id in issues
        for each in statuses
    ]


def _merged(
    session: Session, found: sa.Select[Any], stretches: Sequence[sa.ColumnElement[bool]], limit: int
) -> list[int]:
    """The newest of all stretches, of each of which no more than `limit` are looked at."""
    ids: list[int] = []
    for some in _portions(stretches):
        every = sa.union_all(*(sa.select(found.where(stretch).subquery().c.id) for stretch in some)).subquery()
        ids += session.execute(sa.select(every.c.id).order_by(every.c.id.desc()).limit(limit)).scalars()
    return sorted(ids, reverse=True)[:limit]


def _status(wanted: LogFilter) -> DeliveryStatus | None:
    if wanted.status is None:
        return None
    try:
        return DeliveryStatus(wanted.status)
    except ValueError:
        raise LogFilterError(f"There is no status {wanted.status!r}. Statuses: {', '.join(DeliveryStatus)}.") from None


def _publication_id(session: Session, wanted: LogFilter) -> int | None:
    if wanted.publication is None:
        return None
    known = {slug: each for each, slug in session.exec(select(Publication.id, Publication.slug))}
    if wanted.publication not in known:
        names = ", ".join(sorted(known)) or "none yet"
        raise LogFilterError(f"There is no publication {wanted.publication!r}. Publications: {names}.")
    return known[wanted.publication]


def _issue_ids(session: Session, wanted: LogFilter, publication_id: int | None) -> list[int] | None:
    """The issues of that name: one, or one in each publication."""
    if wanted.issue is None:
        return None
    issues = select(Issue.id, Issue.slug).order_by(col(Issue.slug).desc())
    if publication_id is not None:
        issues = issues.where(Issue.publication_id == publication_id)
    known = session.exec(issues).all()
    found = [each for each, slug in known if slug == wanted.issue and each is not None]
    if not found:
        names = ", ".join(slug for _, slug in known[:5]) or "none yet"
        raise LogFilterError(f"There is no issue {wanted.issue!r}. Newest issues: {names}.")
    return found


def _every_issue(session: Session, publication_id: int | None) -> Iterable[int]:
    issues = sa.select(col(Issue.id))
    if publication_id is not None:
        issues = issues.where(col(Issue.publication_id) == publication_id)
    return session.execute(issues).scalars()


def _edition_ids(session: Session, publication_id: int) -> list[Any]:
    return list(session.exec(select(Edition.id).where(Edition.publication_id == publication_id)))


def _portions(every: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (every[at : at + PORTION] for at in range(0, len(every), PORTION))
