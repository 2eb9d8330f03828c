"""Kills a worker over and over in the middle of an issue, and counts at the sink who was lost and who was mailed twice.

    python bench/kill.py --readers 100000 --kills 100 --json
    python bench/kill.py --readers 5000 --kills 10 --database postgresql

The real `mailer worker` sends one issue. SIGKILL comes at moments chosen at random over the whole send: when so many
mails have come to the sink and the worker has sent at least one of them, and up to 20 ms later. Then the next worker
starts (its modules loaded before, by bench/workers.py, so that starting is not most of the time), and the last one
finishes.
The sink counts by recipient and Message-ID. A reader it has not seen is lost; every copy beyond the first is a
duplicate, and must be listed in the send log as sent again after an uncertain attempt, under the same Message-ID.

Progress goes to stderr. The last line of stdout is one JSON object; `allowed` is kills × connections × depth, where
depth is how many mails one connection may have under way (MAILER_RELAY_WINDOW). Exit code 1: somebody was lost, there
are more duplicates than allowed, or one that the log does not list. On PostgreSQL what a dead worker left open waits
until its lease lapses (mailer.delivery.workers.LEASE); SQLite's lock dies with its process.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import receivers
from bench.installation import Installation, Templates, opened, resent, setting, tally
from bench.processes import Failed, Process, end_on_sigterm, until
from bench.receivers import Receiver
from mailer.delivery.states import UNFINISHED, DeliveryStatus

SIZE = 3_000
PAUSE_SECONDS = 0.02
"""Up to so long after a kill's moment it comes: not always right after a mail was counted."""

STILL_SECONDS = 3.0
"""After so long without the awaited mail it is asked whether there is any left to come."""

LIMIT_SECONDS = 1800.0
"""Longer than this no worker is waited for."""

HELD = {DeliveryStatus.UNCERTAIN}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the sink saw, held against the send log."""

    readers: int
    kills: int
    lost: int  #: readers of whom nothing came
    duplicates: int  #: mails beyond each reader's first
    allowed: int
    seconds: float
    resent: int  #: mails that the send log lists as sent again after an uncertain attempt
    unlisted: int  #: duplicates that it does not list, or that came under another Message-ID
    held: int  #: deliveries left uncertain for the operator
    connections: int
    depth: int
    restart_seconds: dict[str, float]  #: from one worker's death to the next one's first mail

    @property
    def stands(self) -> bool:
        return not self.lost and not self.unlisted and self.duplicates <= self.allowed


def main() -> None:
    wanted = arguments()
    end_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="mailer-kill-", dir=wanted.folder) as folder:
            verdict = kill(
                Path(folder),
                readers=wanted.readers,
                kills=wanted.kills,
                database=wanted.database,
                chance=random.Random(wanted.seed),
                settings=dict(wanted.setting),
                say=lambda words: print(words, file=sys.stderr, flush=True),
            )
    except Failed as error:
        sys.exit(f"The test did not come to its end: {error}")
    if wanted.json:
        print(json.dumps(asdict(verdict)))
    else:
        print("\n".join(f"{name:16} {value}" for name, value in asdict(verdict).items()))
    sys.exit(not verdict.stands)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--readers", type=int, default=100_000)
    add("--kills", type=int, default=100)
    add("--json", action="store_true", help="print one JSON object last")
    add("--database", choices=("sqlite", "postgresql"), default="sqlite")
    add("--seed", type=int, help="for the same moments again")
    add("--folder", help="where the database is made; by default the system's")
    add(
        "--setting",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of mailer's, without MAILER_",
    )
    return parser.parse_args()


def kill(
    folder: Path,
    *,
    readers: int,
    kills: int,
    database: str = "sqlite",
    chance: random.Random,
    settings: dict[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Runs the test in `folder`. Raises Failed where it cannot be brought to its end."""
    record = folder / "taken"
    with contextlib.ExitStack() as stack:
        say(f"{readers:,} readers, {kills} kills")
        templates = stack.enter_context(Templates(folder))
        url = stack.enter_context(templates.copy(database, readers, SIZE, folder))
        sink = stack.enter_context(receivers.own("127.0.0.1", options=["--record", record]))
        relay = {"relay_host": sink.host, "relay_port": str(sink.port), "relay_tls": "off"}
        installation = Installation(folder, url, {**relay, **settings})
        in_force = installation.app().settings
        began = time.monotonic()
        killing = Killing(installation, sink, say)
        moments = [chance.randrange(readers) for _ in range(kills)]
        held = killing.run(moments, lambda: chance.uniform(0, PAUSE_SECONDS))
        sink.counted()  # and so everything is in the file
        seconds = time.monotonic() - began
        with opened(installation.app()) as opened_database:
            listed = resent(opened_database)
    taken = read(record)
    connections, depth = in_force.relay_connections, in_force.relay_window
    return Verdict(
        readers=readers,
        kills=killing.kills,
        lost=readers - len(taken),
        duplicates=sum(sum(copies.values()) - 1 for copies in taken.values()),
        allowed=killing.kills * connections * depth,
        seconds=round(seconds, 1),
        resent=sum(listed.values()),
        unlisted=unlisted(taken, listed),
        held=held,
        connections=connections,
        depth=depth,
        restart_seconds={
            "median": round(statistics.median(killing.restarts), 2),
            "longest": round(max(killing.restarts), 2),
        },
    )


class Killing:
    """The workers' lives and deaths."""

    def __init__(self, installation: Installation, sink: Receiver, say: Callable[[str], None]) -> None:
        self._installation, self._sink, self._say = installation, sink, say
        self.kills = 0
        self.restarts = list[float]()

    def run(self, moments: Sequence[int], pauses: Callable[[], float]) -> int:
        """Kills when so many mails have come, and goes on to the end. Returns how many deliveries are held then."""
        with self._installation.workers() as workers:
            workers.line()
            for moment in sorted(moments):
                with self._started(workers) as worker:
                    self._until_taken(moment, worker)
                    time.sleep(pauses())
                    os.kill(worker, signal.SIGKILL)
                    if int(workers.line()) != -signal.SIGKILL:
                        raise Failed(workers.complaint())
                self.kills += 1
                self._say(f"kill {self.kills} after {self._sink.counted()[0]:,} mails")
            with self._started(workers) as worker:
                held = self._until_finished(worker)
                os.kill(worker, signal.SIGTERM)
                if int(workers.line()):
                    raise Failed(workers.complaint())
        return held

    @contextlib.contextmanager
    def _started(self, workers: Process) -> Iterator[int]:
        """The process id of the next worker, from its first mail on, where it has one to send."""
        before, began = self._sink.counted()[0], time.monotonic()
        workers.tell("start")
        worker = int(workers.line())
        try:
            self._until_taken(before + 1, worker)
            self.restarts.append(time.monotonic() - began)
            yield worker
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            raise

    def _until_taken(self, mails: int, worker: int) -> None:
        """Returns when so many have come, or nothing more is to come."""
        patience = time.monotonic() + STILL_SECONDS
        for _ in self._waiting(worker, 0.001):
            if self._sink.counted()[0] >= mails:
                return
            if time.monotonic() > patience:
                if not self._unfinished():
                    return
                patience += STILL_SECONDS

    def _until_finished(self, worker: int) -> int:
        for _ in self._waiting(worker, 0.3):
            if not self._unfinished():
                break
        with opened(self._installation.app()) as database:
            return tally(database).get(DeliveryStatus.UNCERTAIN, 0)

    def _waiting(self, worker: int, every: float) -> Iterator[None]:
        for _ in until(LIMIT_SECONDS, every):
            if not Path(f"/proc/{worker}").exists():
                raise Failed("a worker ended by itself; see its words above")
            yield

    def _unfinished(self) -> int:
        """How many deliveries a worker may yet send."""
        with opened(self._installation.app()) as database:
            return sum(count for status, count in tally(database).items() if status in UNFINISHED - HELD)


Taken = dict[str, Counter[str]]
"""recipient -> Message-ID -> how many mails came"""


def read(record: Path) -> Taken:
    """What the sink wrote down."""
    taken: Taken = defaultdict(Counter)
    with record.open(encoding="utf-8") as lines:
        for line in lines:
            recipient, _, message_id = line.rstrip("\n").partition("\t")
            taken[recipient][message_id] += 1
    return taken


def unlisted(taken: Taken, listed: dict[str, int]) -> int:
    """How many mails beyond each reader's first the send log does not account for: it lists fewer to this reader, or
    they came under another Message-ID."""
    return sum(
        max(0, max(copies.values()) - 1 - listed.get(recipient, 0)) + sum(copies.values()) - max(copies.values())
        for recipient, copies in taken.items()
    )


if __name__ == "__main__":
    main()
