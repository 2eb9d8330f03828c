"""What it costs to bring a million readers in, whether another writer finds room meanwhile, and what it costs then to
look at all of them.

    python bench/importing.py --json
    python bench/importing.py --rows 100000 --dry-run

The real command reads a file like Mailchimp's into an SQLite file. Another process, which stands for the worker, writes
a row there twenty times a second and keeps how long each took, commit included. Then the consents are hung onto their
chain, as the worker does, and the commands that go through all readers are run. The last line of stdout is one JSON
object; seconds of the processor stand beside those of the clock, for a machine that is not alone.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.installation import Installation, opened
from bench.processes import ROOT, Failed, end_on_sigterm, peak_kb
from mailer.clock import system_clock
from mailer.database import Database
from mailer.subscribers import chain
from mailer.tables import Edition, Publication, Worker

HEADER = "Email Address,First Name,OPTIN_TIME,OPTIN_IP,UNSUB_TIME\n"
DOMAINS = 5_000
LEFT = 50  #: one in so many has left
PAUSE = 0.05
AFTER = {
    "verify": ["consent", "verify"],
    "stats": ["stats", "--json"],
    "retention": ["retention", "--json"],
    "export": ["subscribers", "export", "out.csv"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where the database is made; by default the system's")
    parser.add_argument("--as", dest="mode", choices=("confirmed", "pending"), default="confirmed")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    wanted = parser.parse_args()
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="mailer-import-", dir=wanted.folder) as folder:
        result = measure(Path(folder), wanted.rows, wanted.mode, wanted.dry_run)
    print(json.dumps(result) if wanted.json else "\n".join(f"{name:24} {value}" for name, value in result.items()))


def measure(folder: Path, rows: int, mode: str, dry_run: bool) -> dict[str, object]:
    """Seconds, megabytes, and the milliseconds that another writer's transactions took."""
    url = f"sqlite:///{folder / 'mailer.db'}"
    _install(url)
    _write(folder / "many.csv", rows)
    installation = Installation(folder, url, {"relay_host": "127.0.0.1"})
    words = ["subscribers", "import", "many.csv", "--as", mode, "--edition", "en", "--evidence", "a form"]
    words += ["--dry-run" if dry_run else "--yes", "--json", "--report", "fates.jsonl"]
    took = list[float]()
    done = threading.Event()
    other = threading.Thread(target=_write_meanwhile, args=(url, took, done))
    other.start()
    said, cost = _typed(installation, words)
    done.set()
    other.join()
    took.sort()
    found = {
        **json.loads(said.splitlines()[-1]),
        **cost,
        "other_writer_ms": {
            name: round(1000 * took[min(int(len(took) * share), len(took) - 1)], 1)
            for name, share in (("median", 0.5), ("p99", 0.99), ("worst", 1))
        },
    }
    if dry_run:
        return found
    return found | {"seal": _seal(installation)} | {name: _typed(installation, each)[1] for name, each in AFTER.items()}


def _typed(installation: Installation, words: list[str]) -> tuple[bytes, dict[str, float]]:
    """What a command says, and what it costs. Raises Failed."""
    said, began = installation.folder / "said", time.monotonic()
    environment = {**os.environ, **installation.environment, "PYTHONPATH": str(ROOT)}
    command, peak = [sys.executable, "-m", "mailer", *words], 0
    with said.open("wb") as out:
        process = subprocess.Popen(command, cwd=installation.folder, env=environment, stdout=out)
        while True:
            ended, status, spent = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            peak = max(peak, peak_kb(process.pid))
            time.sleep(0.05)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"mailer {' '.join(words)} ended with {process.returncode}")
    return said.read_bytes(), {
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(spent.ru_utime + spent.ru_stime, 1),
        "peak_mb": round(peak / 1024, 1),
    }


def _seal(installation: Installation) -> dict[str, float]:
    """As the worker does, without its rests."""
    began, spent, transactions = time.monotonic(), time.process_time(), list[float]()
    with opened(installation.app()) as database:
        while _waits(database):
            transaction = time.monotonic()
            with database.write() as session:
                chain.seal(session, system_clock())
            transactions.append(time.monotonic() - transaction)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time() - spent, 1),
        "longest_ms": round(1000 * max(transactions, default=0), 1),
    }


def _waits(database: Database) -> bool:
    with database.read() as session:
        return chain.waits(session)


def _install(url: str) -> None:
    database, now = Database(url), system_clock()
    database.migrate()
    with database.write() as session:
        publication = Publication(
            slug="bench",
            names={"en": "Bench"},
            sender_address="editors@example.org",
            contact_address="editors@example.org",
            list_id="bench.news.example.org",
            postal_address={"en": "12 Example Street"},
            accent="#8a1c1c",
            time_zone="UTC",
            weekly_slot="0 9 * * mon",
            created_at=now,
        )
        session.add(publication)
        session.flush()
        assert publication.id is not None
        session.add(Edition(publication_id=publication.id, code="en", label="EN", languages=["en"], position=0))
    database.engine.dispose()


def _write(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for number in range(rows):
            left = "2020-01-01 00:00:00" if number % LEFT == 0 else ""
            network = f"203.{number % 250}.{number // 250 % 250}.7"
            address = f"reader-{number}@d{number % DOMAINS}.example.org"
            file.write(f'{address},"Ann, {number}",2019-01-01 10:00:00,{network},{left}\n')


def _write_meanwhile(url: str, took: list[float], done: threading.Event) -> None:
    database = Database(url)
    while not done.wait(PAUSE):
        now, began = system_clock(), time.monotonic()
        with database.write() as session:
            session.add(Worker(name="bench", started_at=now, lease_until=now))
        took.append(time.monotonic() - began)
    database.engine.dispose()


if __name__ == "__main__":
    main()
