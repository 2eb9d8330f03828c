"""Where rows live: the engine, transactions, the schema's version.

Transactions open at the edges (`with database.write() as session`) and never span a network call. SQLite runs in
WAL mode with synchronous=FULL: what is committed survives a power cut. A writing transaction takes SQLite's one
write lock at its start (BEGIN IMMEDIATE), because one that begins as a reader cannot wait for it later.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from anyio import to_thread
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import DatabaseError as SqlDatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet
from sqlmodel import Session

from mailer.errors import MailerError
from mailer.group_commit import GroupCommit
from mailer.resources import resource

T = TypeVar("T")

BUSY_SECONDS = 10
"""How long a writer waits for another one, and how long PostgreSQL may take to answer a first call."""


_WRITING = "BEGIN IMMEDIATE"

LOOK_AGAIN = 0.0005
"""Seconds until a writer looks again whether another process has left off."""

CACHE_KILOBYTES = 4_000
"""Pages that an SQLite connection keeps: its own 2 MB do not hold a list of ten thousand suppressed addresses."""


class DatabaseError(MailerError):
    """The database cannot be used; the message says why and what to do. Nothing of the transaction was kept."""


class SchemaError(DatabaseError):
    """The tables are older or newer than this program."""


class Database:
    """One database. `url`: sqlite:///FILE or postgresql+psycopg://…"""

    def __init__(self, url: str) -> None:
        try:
            self.url = make_url(url)
        except (ArgumentError, ValueError):
            raise DatabaseError(
                "MAILER_DATABASE_URL is not a database address. Write sqlite:///mailer.db"
                " or postgresql+psycopg://USER:PASSWORD@HOST/NAME."
            ) from None
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgresql_engine(self.url)
        except ModuleNotFoundError as error:
            hint = ' Type: pip install "mailer[postgresql]"' if error.name == "psycopg" else ""
            raise DatabaseError(f"MAILER_DATABASE_URL: {error}.{hint}") from None
        except ArgumentError as error:
            raise DatabaseError(f"MAILER_DATABASE_URL: {error}.") from None
        self._writing = self.engine.execution_options(sqlite_begin=_WRITING)
        self._writer = threading.Lock()
        self._group = GroupCommit(self.write, self._acting)

    @property
    def sqlite_path(self) -> Path | None:
        """The file, where the database is one."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one moment of the data and writes nothing."""
        with self._acting(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose changes are committed at the end, all of them, or none on any exception."""
        in_its_way = in_greenlet() or self._group.is_at_work()
        assert not in_its_way, "the loop would wait for itself"
        with self._one_writer(), self._acting(self._writing) as session:
            yield session
            session.commit()

    async def beside_others(self, work: Callable[[], T]) -> T:
        """Runs `work`, which reads, and writes by `together` alone. On SQLite in the loop's thread, where looking
        something up is quicker than another thread is woken; else in a thread of its own."""
        return await (greenlet_spawn(work) if self.is_sqlite else to_thread.run_sync(work))

    def together(self, act: Callable[[Session], T]) -> T:
        """What `act` returns, in a session as that of `write`, once its changes are committed: beside others on SQLite
        together with those who wait to write, too."""
        if in_greenlet():
            return self._group.carry_out(act)
        with self.write() as session:
            return act(session)

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        """SQLite has one writer. Those of a process wait for each other here: SQLite lets them sleep, and wake late."""
        if not self.is_sqlite:
            yield
            return
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise self._described("database is locked")
        try:
            yield
        finally:
            self._writer.release()

    def write_through(self, patience: float = 1.0) -> bool:
        """On SQLite: brings the write-ahead log into the file and empties it. False where somebody read, or wrote, all
        the time: then what was overwritten still stands in the log. `patience`: seconds."""
        if not self.is_sqlite:
            return True
        until = time.monotonic() + patience
        with contextlib.suppress(OperationalError), self.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute("PRAGMA busy_timeout=0")  # while SQLite itself waits for readers, nobody can write
            try:
                while not (is_emptied := _is_emptied(driver)) and time.monotonic() < until:
                    time.sleep(_LOOK_FOR_READERS)
            finally:
                driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
            return is_emptied
        return False

    @contextmanager
    def _acting(self, engine: sa.Engine | sa.Connection) -> Iterator[Session]:
        try:
            with Session(engine, expire_on_commit=False) as session:
                yield session
        except PoolTimeout:
            raise DatabaseError("The database is asked for more at once than it can answer. Try again.") from None
        except DBAPIError as error:
            circumstance = isinstance(error, OperationalError) or type(error) is SqlDatabaseError
            if circumstance or error.connection_invalidated or _sqlstate(error) in _STATES:
                raise self._explained(error) from error
            raise  # a constraint or a wrong statement: ours to mend

    def _explained(self, error: DBAPIError) -> DatabaseError:
        if _sqlstate(error) in _STATES:
            where = self.url.render_as_string(hide_password=True)
            return DatabaseError(f"{where}: {_STATES[_sqlstate(error)]}")
        return self._described(str(error.orig))

    def _described(self, words: str) -> DatabaseError:
        where = self.url.render_as_string(hide_password=True)
        for sign, meaning in _MEANINGS:
            if sign in words:
                return DatabaseError(f"{where}: {meaning}")
        return DatabaseError(f"{where}: {words.splitlines()[0]}. Nothing was changed; try again when it is mended.")

    # Schema

    def migrate(self, revision: str = "head") -> None:
        """Brings the tables to `revision` (an id, "head" or "base"), up or down."""
        from alembic import command  # 11 MB and 0.15 s, for one command of many
        from alembic.config import Config

        if self.sqlite_path:
            with contextlib.suppress(OSError):  # said in the next line, in the words of every other command
                self.sqlite_path.touch(mode=0o600)  # who reads is nobody else's business on this machine
        self.check_reachable()
        known, current = revisions(), self.revision()
        if revision not in ("head", "base", *known):
            raise SchemaError(f"There is no revision {revision!r}. There are: base, {', '.join(known)}, head.")
        if current not in (None, *known):
            raise self._unknown(current)
        config = Config()
        config.set_main_option("script_location", str(resource("migrations")))
        config.attributes["engine"] = self.engine
        with self._acting(self.engine):
            if revision == "base" or (current and revision in known[: known.index(current)]):
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)

    def check_reachable(self) -> None:
        """Raises DatabaseError where the database cannot be opened."""
        with self.read() as session:
            session.connection().exec_driver_sql("SELECT 1")

    def check_schema(self) -> None:
        """Raises SchemaError unless the tables are the ones this program was written for."""
        known, current = revisions(), self.revision()
        if current == known[-1]:
            return
        if current is None:
            raise SchemaError("The database has no tables yet. Type: mailer migrate")
        if current not in known:
            raise self._unknown(current)
        raise SchemaError(
            f"The database is at revision {current}, this program needs {known[-1]}. Type: mailer migrate"
        )

    def _unknown(self, revision: str | None) -> SchemaError:
        return SchemaError(
            f"The database is at revision {revision}, which this program does not know. Install the newer mailer again."
        )

    def revision(self) -> str | None:
        """The id of the tables' revision, None for an empty database."""
        with self.read() as session:
            if not sa.inspect(session.connection()).has_table("alembic_version"):
                return None
            found: str | None = session.connection().scalar(sa.text("SELECT version_num FROM alembic_version"))
            return found


def revisions() -> list[str]:
    """The ids of all revisions, the oldest first: their files are numbered."""
    return sorted(path.name.partition("_")[0] for path in resource("migrations").glob("versions/*.py"))


_MEANINGS = (
    ("database is locked", f"another program held the database for {BUSY_SECONDS} seconds. Try again."),
    ("readonly database", "the file or its folder cannot be written. Give this user the right to, and try again."),
    ("unable to open database file", "it cannot be opened. Does its folder exist, and may this user write there?"),
    ("file is not a database", "this is not an SQLite database. Check MAILER_DATABASE_URL."),
    ("database disk image is malformed", "the file is damaged. Stop mailer and restore a backup."),
    ("disk is full", "the disk is full. Make room; mailer goes on where it stopped."),
    ("disk I/O error", "the disk reports an error. Check it; mailer goes on where it stopped."),
    ("no such table", "the database has no tables yet. Type: mailer migrate"),
    ("password authentication failed", "the server refuses the user or the password. Check MAILER_DATABASE_URL."),
    ("no password supplied", "the server wants a password. Write USER:PASSWORD@ in MAILER_DATABASE_URL."),
    ("no pg_hba.conf entry", "the server does not let this user in from here. Ask whoever keeps its pg_hba.conf."),
    ("Connection refused", "nobody answers there. Is PostgreSQL running, and is the port right?"),
    (
        "No such file or directory",
        "nobody answers there. Is PostgreSQL running, and is the folder of its socket right?",
    ),
    ("failed to resolve host", "there is no host of that name. Check MAILER_DATABASE_URL."),
    ("timeout expired", f"the server did not answer within {BUSY_SECONDS} seconds. Can this machine reach it?"),
    ('" does not exist', "the server has no such database or user. Make it, or check MAILER_DATABASE_URL."),
)

# What PostgreSQL says in numbers, whatever its language.
_STATES: dict[str | None, str] = {
    "55P03": f"another program held the rows for {BUSY_SECONDS} seconds. Try again.",
    "40P01": "two programs waited for each other, and this one gave way. Try again.",
    "42P01": "the database has no tables yet. Type: mailer migrate",
    "42501": "this user may not do that there. Make it the owner of the database.",
    "25006": "the server only reads. Name the primary in MAILER_DATABASE_URL.",
    "53100": "the server's disk is full. Make room; mailer goes on where it stopped.",
    "53300": "the server has no connection left. Raise its max_connections, or stop somebody.",
    "57P01": "the server is shutting down. Nothing was changed; try again when it is back.",
    "57P03": "the server is starting. Try again in a moment.",
}


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    wanted = {"connect_timeout": BUSY_SECONDS, "tcp_user_timeout": 30_000}  # s, ms: a server that is cut off
    patience = {name: value for name, value in wanted.items() if name not in url.query}
    engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=patience)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}")
        connection.commit()

    return engine


def _begin_writing(connection: sa.Connection) -> None:
    """Takes SQLite's one write lock. SQLite itself would look for it ever more seldom, up to ten times a second, and
    who writes often would leave nothing to who waits."""
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA busy_timeout=0")
    try:
        until = time.monotonic() + BUSY_SECONDS
        while time.monotonic() < until:
            try:
                driver.execute(_WRITING)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # its kinds are in the higher bits
                    break
                time.sleep(LOOK_AGAIN)
            else:
                return
        connection.exec_driver_sql(_WRITING)  # which says what is wrong
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _is_emptied(driver: Any) -> bool:
    """Whoever is in the way is named in the answer, or in an exception (https://sqlite.org/pragma.html)."""
    try:
        is_busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError:
        return False
    return not is_busy


_LOOK_FOR_READERS = 0.02
"""Seconds until it is looked again whether they have ended."""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # what is erased is overwritten
    f"cache_size=-{CACHE_KILOBYTES}",
    "wal_autocheckpoint=10000",  # 40 MB: while an issue goes out, the same pages are written over and over
)


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "reset")
    def _reset(connection: Any, _record: Any, _state: Any) -> None:
        if connection.in_transaction:  # a COMMIT that failed: SQLAlchemy takes it for the end, SQLite does not
            connection.rollback()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("sqlite_begin") is None:
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return engine
