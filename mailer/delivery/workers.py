"""Who may send: one worker on an SQLite file, any number on PostgreSQL. A worker holds a lease and renews it."""

import contextlib
import os
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.database import Database
from mailer.delivery import ledger
from mailer.errors import MailerError
from mailer.tables import Worker

LEASE = timedelta(seconds=60)
"""How long a worker is believed alive without a sign of life."""


class SecondWorker(MailerError):
    """Another worker holds this SQLite file."""


@contextlib.contextmanager
def sole_use(database: Database) -> Iterator[None]:
    """Holds the SQLite file's worker lock, which dies with the process. Raises SecondWorker.

    On PostgreSQL workers share the work, and there is nothing to hold.
    """
    if database.sqlite_path is None:
        yield
        return
    path = database.sqlite_path.with_name(database.sqlite_path.name + ".worker")
    with path.open("a+") as file:
        _lock(file, str(database.sqlite_path))
        yield


def _lock(file: IO[str], database: str) -> None:
    import fcntl  # not on Windows, where only PostgreSQL is served

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        raise SecondWorker(
            f"Another worker (process {file.read().strip() or 'unknown'}) is sending from {database}."
            " Stop it first; several workers need PostgreSQL (docs/scaling.md)."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def register(session: Session, now: datetime, *, alone: bool) -> int:
    """Writes this worker down and takes over what dead ones left open. Returns its id.

    `alone`: nobody else can be at work (the SQLite lock is held), so every other worker is dead.
    """
    take_over(session, now, alone=alone)
    worker = Worker(name=f"{socket.gethostname()}:{os.getpid()}", started_at=now, lease_until=now + LEASE)
    session.add(worker)
    session.flush()
    assert worker.id is not None
    return worker.id


def take_over(session: Session, now: datetime, *, alone: bool = False) -> int:
    """Ends workers whose lease has lapsed; what they left open becomes uncertain. Returns how many deliveries."""
    lapsed = sa.select(col(Worker.id)).where(col(Worker.ended_at).is_(None))
    if not alone:
        lapsed = lapsed.where(col(Worker.lease_until) < now).with_for_update(skip_locked=True)
    dead = list(session.execute(lapsed).scalars())
    return _end(session, dead, now, "the worker died before the answer came") if dead else 0


def renew(session: Session, worker_id: int, now: datetime) -> bool:
    """Renews the lease. False where it was lost: the worker must stop, others may hold its deliveries."""
    renewing = sa.update(Worker).where(col(Worker.id) == worker_id, col(Worker.ended_at).is_(None))
    return session.connection().execute(renewing.values(lease_until=now + LEASE)).rowcount == 1


def end(session: Session, worker_id: int, now: datetime) -> int:
    """The worker goes home. Returns how many deliveries it leaves uncertain."""
    return _end(session, [worker_id], now, "the worker stopped before the answer came")


def _end(session: Session, worker_ids: list[int], now: datetime, reason: str) -> int:
    session.connection().execute(sa.update(Worker).where(col(Worker.id).in_(worker_ids)).values(ended_at=now))
    return ledger.orphan(session, worker_ids, now, reason=reason)
