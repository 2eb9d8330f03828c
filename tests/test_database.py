"""The schema is Alembic's, up and down, with data in it; what goes wrong with the file is said in a sentence."""

import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import Session, select

from mailer.database import BUSY_SECONDS, Database, DatabaseError, SchemaError, revisions
from mailer.resources import resource
from mailer.tables import Edition, Publication, metadata
from tests.conftest import PostgreSQL


def test_the_migrations_build_exactly_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_are_numbered_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(resource("migrations")))
    walked = ScriptDirectory.from_config(config).walk_revisions()
    assert revisions() == [script.revision for script in walked][::-1]


def test_a_database_with_data_goes_down_and_up_again(database: Database, publication: Publication) -> None:
    database.migrate("base")
    assert database.revision() is None
    database.migrate()
    database.check_schema()


def test_migrating_again_keeps_the_data(database: Database, publication: Publication) -> None:
    database.migrate()
    with database.read() as session:
        assert session.exec(select(Edition.code).order_by(Edition.code)).all() == ["be-ru", "en", "ru"]


def test_an_empty_database_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"no tables yet.*mailer migrate"):
        Database(f"sqlite:///{tmp_path / 'new.db'}").check_schema()


def test_only_its_owner_may_read_a_new_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    database.migrate()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    database.engine.dispose()


def test_a_newer_database_is_not_touched(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999, which this program does not know"):
        database.check_schema()
    with pytest.raises(SchemaError, match="9999, which this program does not know"):
        database.migrate()


@pytest.mark.sqlite
def test_the_file_is_durable_and_checks_references(database: Database) -> None:
    with database.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_failed_transaction_changes_nothing(database: Database, publication: Publication) -> None:
    def fail() -> None:
        with database.write() as session:
            session.exec(select(Publication)).one().accent = "#000000"
            session.flush()
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    with database.read() as session:
        assert session.exec(select(Publication.accent)).one() == "#8a1c1c"


@pytest.mark.sqlite
def test_a_commit_that_is_refused_leaves_nothing_behind(database: Database, publication: Publication) -> None:
    def fail() -> None:
        with database.write() as session:
            session.connection().exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            session.add(Edition(publication_id=10**6, code="none", label="none", languages=["en"], position=1))

    with pytest.raises(sa.exc.IntegrityError):
        fail()
    with database.write() as session:
        assert "none" not in session.exec(select(Edition.code)).all()


@pytest.mark.sqlite
def test_writers_wait_for_each_other(database: Database, publication: Publication) -> None:
    def write(count: int) -> None:
        for _ in range(count):
            with database.write() as session:
                row = session.exec(select(Publication)).one()
                row.list_id = str(int(row.list_id) + 1)

    with database.write() as session:
        session.exec(select(Publication)).one().list_id = "0"
    threads = [threading.Thread(target=write, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.exec(select(Publication.list_id)).one() == "80"


@pytest.mark.sqlite
def test_a_locked_database_is_said_to_be_locked(database: Database, publication: Publication) -> None:
    other = sqlite3.connect(str(database.sqlite_path))
    other.execute("BEGIN IMMEDIATE")
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
        connection.rollback()
    with pytest.raises(DatabaseError, match="another program held the database"), database.write() as session:
        session.exec(select(Publication)).one().accent = "#000000"
    other.close()


@pytest.mark.sqlite
def test_a_read_only_database_is_said_to_be_read_only(database: Database, publication: Publication) -> None:
    closed = Database(f"sqlite:///file:{database.sqlite_path}?mode=ro&uri=true")
    with pytest.raises(DatabaseError, match="cannot be written"), closed.write() as session:
        session.exec(select(Publication)).one().accent = "#000000"
    closed.engine.dispose()


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path / 'absent' / 'mailer.db'}").migrate()


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and longer than a header of a hundred octets " * 5)
    with pytest.raises(DatabaseError, match="not an SQLite database"):
        Database(f"sqlite:///{tmp_path / 'notes.txt'}").migrate()
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


@pytest.mark.postgresql
def test_a_postgresql_where_nobody_answers_is_said_to_be_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="Is PostgreSQL running, and is the folder of its socket right"):
        Database(f"postgresql+psycopg://mailer@/mailer?host={tmp_path}").check_reachable()
    with pytest.raises(DatabaseError, match="Is PostgreSQL running, and is the port right"):
        Database("postgresql+psycopg://mailer@127.0.0.1:1/mailer").check_reachable()


@pytest.mark.postgresql
@pytest.mark.parametrize(("name", "user"), [("absent", "postgres"), ("postgres", "nobody")])
def test_a_database_or_user_that_the_server_does_not_have_is_said_to_be_missing(
    postgresql: PostgreSQL, name: str, user: str
) -> None:
    with pytest.raises(DatabaseError, match="has no such database or user"):
        Database(postgresql.url(name, user)).check_reachable()


@pytest.mark.postgresql
def test_an_empty_postgresql_says_what_to_type(postgresql: PostgreSQL) -> None:
    database = Database(postgresql.url("postgres"))
    with pytest.raises(DatabaseError, match=r"no tables yet\. Type: mailer migrate"), database.read() as session:
        session.exec(select(Publication)).first()
    database.engine.dispose()


@pytest.mark.postgresql
def test_rows_that_another_program_holds_are_said_to_be_held(database: Database, publication: Publication) -> None:
    with database.write() as holding:
        holding.exec(select(Publication).with_for_update()).one()
        held = pytest.raises(DatabaseError, match="another program held the rows")
        with held, database.write() as session:
            _look_impatiently(session)


def _look_impatiently(session: Session) -> None:
    session.connection().exec_driver_sql("SET LOCAL lock_timeout = 1")
    session.exec(select(Publication).with_for_update()).one()


@pytest.mark.postgresql
def test_nobody_waits_for_a_lock_without_end(database: Database) -> None:
    with database.read() as session:
        assert session.connection().exec_driver_sql("SHOW lock_timeout").scalar() == f"{BUSY_SECONDS}s"


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "oracle+x://y"])
def test_an_address_that_is_no_database_is_named(url: str) -> None:
    with pytest.raises(DatabaseError, match="MAILER_DATABASE_URL"):
        Database(url)


@pytest.mark.sqlite
def test_writers_of_one_process_wait_for_each_other_and_not_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite lets a writer that waits sleep, longer each time: of many at once the last would wait for seconds."""
    with database.write(), ThreadPoolExecutor(1) as other:
        monkeypatch.setattr("mailer.database.BUSY_SECONDS", 0.01)
        with pytest.raises(DatabaseError, match="another program held the database"):
            other.submit(_write, database).result()
    with ThreadPoolExecutor(20) as many:
        monkeypatch.undo()
        assert list(many.map(_write, [database] * 100)) == [None] * 100


def _write(database: Database) -> None:
    with database.write() as session:
        session.execute(sa.text("UPDATE worker SET name = name"))


@pytest.mark.sqlite
def test_a_log_of_changes_that_somebody_reads_is_not_said_to_be_emptied(
    database: Database, publication: Publication
) -> None:
    assert database.sqlite_path is not None
    log = database.sqlite_path.with_name(f"{database.sqlite_path.name}-wal")
    other = Database(str(database.url))
    with other.read() as session:
        session.exec(select(Publication)).all()
        with database.write() as writing:
            writing.get_one(Publication, publication.id).slug = "unmistakable"
        assert not database.write_through(patience=0)
    assert b"unmistakable" in log.read_bytes()
    assert database.write_through()
    assert log.read_bytes() == b""
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == BUSY_SECONDS * 1000
    other.engine.dispose()
