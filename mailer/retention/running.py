"""Going through the kinds, a portion at a time."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from mailer.database import Database
from mailer.retention.kind import Kind
from mailer.retention.kinds import KINDS
from mailer.settings import Settings
from mailer.tables import Retention, metadata

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)

Pause = Callable[[float], bool]
"""Waits so many seconds; True where it is time to stop."""


def run(database: Database, settings: Settings, now: datetime, pause: Pause) -> dict[str, int]:
    """Goes through every kind that was not gone through for a day. Returns how much of each has gone.

    Between two portions it rests at least as long as one took: others who write have the database half of the time.
    At the end SQLite's log of changes is emptied each time, of what others erased since, too: who erased may have found
    a reader in the way.
    """
    done = dict[str, int]()
    with database.read() as session:
        last = {row.kind: row.done_at for row in session.exec(select(Retention))}
    for kind in KINDS:
        if kind.name in last and now - last[kind.name] < EVERY:
            continue
        gone, whole = _go_through(database, kind, kind.cutoff(settings, now), now, pause)
        done[kind.name] = gone
        if not whole:
            break
        with database.write() as session:
            if kind.then:
                kind.then(session, now)
            _note(session, kind.name, gone, now)
    went = ", ".join(f"{number} {name}" for name, number in done.items() if number)
    if went:
        log.info("retention: %s", went)
    if not database.write_through():
        log.warning(
            "retention: other programs use the database all the time, so SQLite's log of changes (%s-wal) could not be"
            " emptied; what was erased may stand in it until the next time",
            database.sqlite_path,
        )
    return done


def _go_through(database: Database, kind: Kind, cutoff: datetime, now: datetime, pause: Pause) -> tuple[int, bool]:
    gone, after = 0, None
    while True:
        going = kind.going(cutoff).order_by(kind.key).limit(kind.portion)
        with database.read() as session:
            found = going if after is None else going.where(kind.key > after)
            keys = session.connection().execute(found).scalars().all()
        if not keys:
            return gone, True
        began = time.monotonic()
        with database.write() as session:
            gone += kind.remove(session, keys, cutoff, now)
        after = keys[-1]
        if pause(max(0.02, time.monotonic() - began)):
            return gone, False


def _note(session: Session, kind: str, gone: int, now: datetime) -> None:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    writing = insert(metadata.tables["retention"]).values(kind=kind, done_at=now, gone=gone, ever=gone)
    again = {"done_at": now, "gone": gone, "ever": Retention.ever + gone}
    session.connection().execute(writing.on_conflict_do_update(index_elements=["kind"], set_=again))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A kind of data now."""

    kind: Kind
    days: int
    going: int  #: rows that would go now
    last: Retention | None


def standing(session: Session, settings: Settings, now: datetime) -> list[Standing]:
    """What would go now, and what has gone. Changes nothing."""
    last = {row.kind: row for row in session.exec(select(Retention))}
    return [
        Standing(
            kind=kind,
            days=kind.days(settings),
            going=session.connection()
            .execute(sa.select(sa.func.count()).select_from(kind.going(kind.cutoff(settings, now)).subquery()))
            .scalar_one(),
            last=last.get(kind.name),
        )
        for kind in KINDS
    ]
