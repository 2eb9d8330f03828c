"""mailer as a contestant: a database with an issue that is going out, and the real worker process that sends it.

The issue is rendered by the product, so headers, links and slots are the real ones; its text is as long as the wanted
size on the wire needs. The database is made once for a number of readers and copied for each run: writing the
deliveries is not part of a run (bench/ledger.py measures that).
"""

import argparse
import contextlib
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlmodel import col, select

from bench.ledger import own_postgresql, seed
from bench.processes import ROOT, Process
from mailer import tables
from mailer.app import App, assemble
from mailer.clock import system_clock
from mailer.database import Database
from mailer.delivery import ledger, log
from mailer.delivery.letterhead import head_of, letterhead_of, links_of
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.issues.source import parse_translation
from mailer.rendering.body import Body
from mailer.rendering.html import render_issue
from mailer.rendering.message import Head, Message, Slot, compose, marker
from mailer.resources import resource
from mailer.settings import Settings
from mailer.tables import Delivery, Issue, Publication
from mailer.tokens import WIDTH

HOST = "https://news.example.org"
MAIL_DOMAIN = "bounces.example.org"
LANGUAGES = ["en"]
EXAMPLE = resource("templates") / "example" / "2026-11-16"


class Installation:
    """A folder with a database, and the environment that makes `mailer worker` send from it."""

    def __init__(self, folder: Path, database_url: str, settings: Mapping[str, str]) -> None:
        """`settings`: by their names without MAILER_, such as relay_port."""
        self.folder = folder
        values = {
            "database_url": database_url,
            "secret_key": "a-secret-of-the-bench-0123456789abcdef",
            "address_key": "an-address-key-of-the-bench-0123456",
            "link_hosts": HOST,
            "mail_domain": MAIL_DOMAIN,
            "log_level": "warning",
            **settings,
        }
        self.environment = {f"MAILER_{name.upper()}": value for name, value in values.items()}
        self._values: dict[str, Any] = values

    def app(self) -> App:
        return assemble(Settings(_env_file=None, **self._values))

    def worker(self) -> Process:
        """Starts `mailer worker`."""
        return self._process("-m", "mailer", "worker")

    def workers(self) -> Process:
        """Starts bench/workers.py: one after the other, quickly."""
        return self._process(str(ROOT / "bench" / "workers.py"))

    def _process(self, *words: str) -> Process:
        return Process([sys.executable, *words], environment=self.environment, folder=self.folder, asked=True)


@contextlib.contextmanager
def opened(app: App) -> Iterator[Database]:
    try:
        yield app.database
    finally:
        app.database.engine.dispose()


def setting(words: str) -> tuple[str, str]:
    """NAME=VALUE of a command line. Raises ArgumentTypeError for a name that mailer does not know."""
    name, is_given, value = words.partition("=")
    if not is_given or name not in Settings.model_fields:
        raise argparse.ArgumentTypeError(f"{words!r} is not NAME=VALUE of a setting, such as relay_window=4")
    return name, value


def tally(database: Database) -> dict[str, int]:
    """Deliveries by status."""
    with database.read() as session:
        rows = session.execute(sa.select(col(Delivery.status), sa.func.count()).group_by(col(Delivery.status)))
        return {status.value: count for status, count in rows}


def accepted(database: Database) -> int:
    return tally(database).get(DeliveryStatus.ACCEPTED, 0)


def resent(database: Database) -> dict[str, int]:
    """Whom the send log lists as sent again after an uncertain attempt: address -> how many times."""
    found, before = dict[str, int](), None
    with database.read() as session:
        while page := log.entries(session, log.LogFilter(), before_id=before, limit=1000):
            before = page[-1].delivery_id
            for entry in page:
                if entry.attempts > 1 and entry.address:
                    *earlier, _ = log.history(session, entry.delivery_id)
                    again = sum(attempt.outcome is AttemptOutcome.UNCERTAIN for attempt in earlier)
                    found |= {entry.address: again} if again else {}
    return found


# Databases


class Templates:
    """Databases that are copied for each run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._server: str | None = None
        self._made = dict[tuple[str, int, int], str]()

    def __enter__(self) -> "Templates":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def copy(self, kind: str, readers: int, size: int, folder: Path) -> Iterator[str]:
        """The address of a fresh database with an issue of `size` octets going out. `kind`: sqlite or postgresql."""
        key = kind, readers, size
        if key not in self._made:
            self._made[key] = self._make(*key)
        if kind == "sqlite":
            shutil.copy(self._made[key], folder / "mailer.db")
            yield f"sqlite:///{folder / 'mailer.db'}"
            return
        name = f"run_{secrets.token_hex(4)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._made[key]} STRATEGY file_copy")
        try:
            yield self._address(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _make(self, kind: str, readers: int, size: int) -> str:
        name = f"readers_{readers}_{size}"
        if kind == "sqlite":
            path = self._folder / f"{name}.db"
            fill(f"sqlite:///{path}", readers, size)
            return str(path)
        if self._server is None:
            self._server = self._stack.enter_context(own_postgresql(self._folder))
        self._execute(f"CREATE DATABASE {name}")
        fill(self._address(name), readers, size)
        return name

    def _address(self, name: str) -> str:
        assert self._server is not None
        return sa.make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        assert self._server is not None
        engine = sa.create_engine(self._server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def fill(url: str, readers: int, size: int) -> None:
    """Tables, readers, an issue, and a delivery for each of them, due now."""
    database, now = Database(url), system_clock()
    database.migrate()
    seed(database, readers)
    with database.write() as session:
        publication = session.get_one(Publication, 1)
        publication.postal_address = {"en": "12 Example Street, Vilnius"}
        message = session.get_one(tables.Message, 1)
        message.content = message_of(publication, size).dump()
        session.add_all([publication, message])
        session.flush()
        ledger.enqueue_issue(session, session.exec(select(Issue)).one(), {1: 1}, now)
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.engine.dispose()


def schedule(url: str, readers: int) -> None:
    """Tables, readers, and the example's issue with its picture, due now: the worker has still to begin it."""
    database, now = Database(url), system_clock()
    database.migrate()
    seed(database, readers)
    with database.write() as session:
        publication = session.get_one(Publication, 1)
        publication.postal_address = {"en": "12 Example Street, Vilnius"}
        session.add(publication)
        issue, _ = issues.add(session, publication, read_folder(EXAMPLE), now)
        issues.check(session, publication, issue)
        issues.schedule(session, issue, now)
    database.engine.dispose()


# The issue


def message_of(publication: Publication, size: int) -> Message:
    """An issue whose mail to one reader is `size` octets on the wire, to within a line; unsigned."""
    make = next(each for each in (_issue, _note) if octets(each(publication, "")) <= size)
    words = _prose(size)
    low, high = 0, len(words)
    while low < high - 1:  # searched for: markup and encoding grow with the text
        middle = (low + high) // 2
        low, high = (middle, high) if octets(make(publication, words[:middle])) <= size else (low, middle)
    return make(publication, words[:low])


def octets(message: Message) -> int:
    values = dict.fromkeys(message.slots, "a" * WIDTH)
    values |= {Slot.TO: "reader-100000@d1000.example", Slot.DATE: "Mon, 23 Nov 2026 09:00:00 +0000"}
    return len(message.splice(values))


def _issue(publication: Publication, words: str) -> Message:
    """The example's issue without its picture, and more text."""
    translation = parse_translation(f"{_example()}\n\n{words}\n", "en.md", "en")
    links = links_of(publication, LANGUAGES, "bench", HOST)
    return compose(
        render_issue(LANGUAGES, {"en": translation}, {}, letterhead_of(publication), links), _head(publication)
    )


def _note(publication: Publication, words: str) -> Message:
    """A mail too short for the issue's template."""
    link = f"{HOST}/u/{marker(Slot.UNSUBSCRIBE)}"
    page = f'<html lang="en"><p>{words}</p><p><a href="{link}">Unsubscribe</a></p></html>'
    return compose(Body(subject="A week in Vadaliny", html=page, text=f"{words}\n\n{link}\n"), _head(publication))


def _head(publication: Publication) -> Head:
    return head_of(publication, LANGUAGES, host=HOST, mail_domain=MAIL_DOMAIN, feedback=("bench", "en"))


def _example() -> str:
    path = EXAMPLE / "en.md"
    return "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("!["))


def _prose(length: int) -> str:
    """Paragraphs of the example, over and over."""
    paragraphs = [each for each in _example().split("\n\n") if each[:1].isalpha() and ":" not in each]
    text = "\n\n".join(paragraphs) + "\n\n"
    return (text * (length // len(text) + 1))[:length]
