"""How much a relay may be given: an hour, a day, the days of its warm-up. Counted in the database.

Every claim counts at once, in the transaction that makes it, so a restart forgets nothing and several workers
share one allowance. Five minutes are one row; an hour is the last twelve of them, whenever it begins.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from mailer.delivery.session import Limits, Relay
from mailer.tables import Departures

SPAN = timedelta(minutes=5)
WAIT = timedelta(seconds=30)
"""How long a relay that has been given all waits until it is asked again."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def allowance(session: Session, relay: Relay, now: datetime) -> int | None:
    """How many more mails the relay may be given now; None: no limit. Other workers wait until the transaction ends."""
    limits = [
        (span, limit) for span, limit in ((HOUR, relay.limits.per_hour), (DAY, daily(relay.limits, now))) if limit
    ]
    if not limits:
        return None
    _add(session, relay, 0, now)  # holds the row
    return max(min(limit - _given(session, relay, now - span) for span, limit in limits), 0)


def spend(session: Session, relay: Relay, messages: int, now: datetime) -> None:
    """Counts what was claimed."""
    if messages and relay.limits.are_counted:
        _add(session, relay, messages, now)


def daily(limits: Limits, now: datetime) -> int | None:
    """The day's limit: while a new address warms up, twice that of the day before."""
    if limits.warm_up_from is None:
        return limits.per_day
    days = (now.date() - limits.warm_up_from).days
    if days > _WARM:
        return limits.per_day
    warming: int = limits.warm_up_first_day * 2 ** max(days, 0)
    return min(warming, limits.per_day) if limits.per_day else warming


_WARM = 30
"""Days after which a warm-up is over, whatever the first day was."""


def _given(session: Session, relay: Relay, since: datetime) -> int:
    given = sa.select(sa.func.coalesce(sa.func.sum(col(Departures.messages)), 0))
    return int(session.execute(given.where(*_of(relay), col(Departures.began_at) > since)).scalar_one())


def _of(relay: Relay) -> tuple[sa.ColumnElement[bool], ...]:
    return (col(Departures.relay) == relay.name,)


def _add(session: Session, relay: Relay, messages: int, now: datetime) -> None:
    began_at = now - timedelta(seconds=now.timestamp() % SPAN.total_seconds())
    began_at = began_at.replace(microsecond=0)
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    writing = insert(Departures).values(relay=relay.name, began_at=began_at, messages=messages)
    added = {"messages": col(Departures.messages) + messages}
    session.execute(writing.on_conflict_do_update(index_elements=["relay", "began_at"], set_=added))
    if messages:
        session.execute(sa.delete(Departures).where(*_of(relay), col(Departures.began_at) < now - DAY - HOUR))
