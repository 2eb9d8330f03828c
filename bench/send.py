"""How fast mail leaves: mailer beside others, the same sink, one run, rounds in turn (A B C A B C …).

    python bench/send.py --json                                   everything, about half an hour
    python bench/send.py --only loopback --rounds 3 --seconds 5   one part of it
    python bench/send.py --markdown                               the tables of docs/performance.md, from the last run

A contestant's time runs at the sink, from the moment a sixth of its mails have come to the moment all have: programs
starting, connections opening and just-in-time compilers warming up are nobody's. How many mails that takes is found
out first, so that each timed part lasts --seconds. What the sink counted must be what was claimed, or the run is
invalid. Every run is kept in bench/results/.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import contestants, receivers, report, ways
from bench.contestants import Contestant, Load
from bench.installation import Templates, setting
from bench.processes import ROOT, Failed, end_on_sigterm, until
from bench.receivers import Absent, Receiver
from bench.ways import Way
from mailer.clock import system_clock
from mailer.rendering.dkim import DkimKey

RESULTS = ROOT / "bench" / "results"
PARTS = ("loopback", "dkim", "tls", "relays", "delay")
CONNECTIONS = 10
WARM = 1 / 6
"""The share of the mails that comes before the clock runs."""

LIMIT_SECONDS = 300
"""Longer than this no run may take."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One comparison: everything that is the same for all who take part in it."""

    part: str  #: what --only names
    size: int
    rtt_ms: float = 0
    receiver: str = "fast"  #: fast (own where there is none), own, smtp-sink, postfix
    chunking: bool = True
    tls: bool = False
    dkim: bool = False
    who: tuple[str, ...] = ("ours", "smtp-source", "nodemailer", "nodemailer, composing", "aiosmtplib", "mailman")

    def __str__(self) -> str:
        words = [self.part, f"{self.size // 1000} KB", f"{self.rtt_ms:g} ms", f"sink {self.receiver}"]
        words += [word for word, on in (("TLS", self.tls), ("DKIM", self.dkim)) if on]
        words += [] if self.chunking else ["without CHUNKING"]
        return ", ".join(words)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one contestant did in one round."""

    round: int
    messages: int
    received: int
    claimed: int
    seconds: float  #: of the timed part
    timed: int  #: mails in it
    octets_each: int | None
    peak_mb: list[float]
    sink_peak_mb: float

    @property
    def rate(self) -> float:
        return self.timed / self.seconds

    @property
    def is_valid(self) -> bool:
        return self.received == self.claimed == self.messages


def scenes(wanted: argparse.Namespace) -> list[Scene]:
    every = [
        *(Scene(part="loopback", size=size) for size in (30_000, 3_000)),
        *(
            Scene(part="delay", size=size, rtt_ms=rtt, chunking=chunking, who=_FAR)
            for rtt in (80, 20)
            for size in (30_000, 3_000)
            for chunking in (True, False)
        ),
        Scene(part="dkim", size=30_000, dkim=True, who=("ours", "ours, two workers", "nodemailer")),
        *(Scene(part="tls", size=30_000, receiver="own", tls=tls, who=("ours", "nodemailer")) for tls in (False, True)),
        *(Scene(part="relays", size=30_000, receiver=each, who=_POSTFIX) for each in ("smtp-sink", "postfix")),
    ]
    parts = set(wanted.only) & set(PARTS)
    return [
        scene
        for scene in every
        if (not parts or scene.part in parts)
        and (not wanted.rtt or scene.rtt_ms in wanted.rtt)
        and (not wanted.size or scene.size in wanted.size)
    ]


_POSTFIX = ("ours", "smtp-source", "nodemailer")
_FAR = ("ours", "nodemailer", "aiosmtplib", "smtp-source")


def main() -> None:
    wanted = arguments()
    if wanted.markdown is not None:
        print(report.markdown(json.loads(_results_file(wanted.markdown).read_text())))
        return
    if not scenes(wanted):
        sys.exit("Nothing is like that. Leave out --only, --rtt or --size; python bench/send.py --help lists them.")
    end_on_sigterm()
    path = wanted.results or RESULTS / f"send-{system_clock():%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mailer-bench-") as folder, Bench(wanted, Path(folder)) as bench:
        for result in bench.run():
            path.write_text(json.dumps(result, indent=1))
    say(f"kept in {path}")
    print(json.dumps(report.summary(result) | {"results": str(path)}) if wanted.json else report.markdown(result))
    if report.invalid(result):
        sys.exit("some runs are invalid: what the sink counted is not what was claimed")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object last: medians and ratios")
    add("--markdown", nargs="?", const="", metavar="FILE", help="print the tables of a kept run, and do nothing else")
    add("--only", action="append", default=[], metavar="WORD", help=f"a part ({', '.join(PARTS)}) or a contestant")
    add("--rounds", type=int, default=3)
    add("--seconds", type=float, default=5, help="of each timed part")
    add("--rtt", type=float, action="append", default=[], metavar="MS", help="only this round trip: 0, 20 or 80")
    add("--size", type=int, action="append", default=[], metavar="OCTETS", help="only this size: 3000 or 30000")
    add("--sink-source", type=Path, metavar="FILE.c", help="a fast sink to compile, in place of bench/sink.py")
    add("--delay-source", type=Path, metavar="FILE.c", help="a delay between TAP devices, in place of bench/delay.py")
    add(
        "--setting",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of mailer's, without MAILER_",
    )
    add("--results", type=Path, metavar="FILE", help="where to keep the runs; a new file in bench/results otherwise")
    return parser.parse_args()


def _results_file(name: str) -> Path:
    kept = sorted(RESULTS.glob("send-*.json"))
    if not name and not kept:
        sys.exit("There are no results yet. Type: python bench/send.py --json")
    if name and not Path(name).is_file():
        sys.exit(f"There is no {name}.")
    return Path(name) if name else kept[-1]


class Bench:
    """One run of everything that is wanted."""

    def __init__(self, wanted: argparse.Namespace, folder: Path) -> None:
        self._wanted, self._folder = wanted, folder
        self._templates = Templates(folder)
        self._runs = 0
        self._skipped = dict[str, str]()
        self._dkim = DkimKey.new("bench", "example.org").save(folder / "dkim")
        self._programs = dict[Path, Path]()
        settings = dict(wanted.setting)
        everybody = [
            contestants.ours("ours", self._templates, "sqlite", 1, settings),
            contestants.ours("ours, two workers", self._templates, "postgresql", 2, settings),
            contestants.smtp_source(),
            contestants.nodemailer(),
            contestants.nodemailer(composing=True),
            contestants.aiosmtplib(),
            contestants.mailman(),
        ]
        names = set(wanted.only) - set(PARTS) or {each.name for each in everybody}
        self._contestants = {each.name: each for each in everybody if each.name in names and self._takes_part(each)}

    def __enter__(self) -> "Bench":
        self._templates.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._templates.__exit__()

    def _takes_part(self, contestant: Contestant) -> bool:
        try:
            contestant.missing()
        except Absent as reason:
            self._skip(contestant.name, reason)
            return False
        return True

    def _skip(self, what: str, reason: Exception) -> None:
        say(f"skipped: {what}: {reason}")
        self._skipped[what] = str(reason)

    def run(self) -> Iterator[dict[str, Any]]:
        """Everything so far, after each scene."""
        at, made = system_clock().isoformat(), []
        for scene in scenes(self._wanted):
            say(f"== {scene}")
            try:
                with self._receiver(scene) as receiver, self._way.to(receiver) as address:
                    made.append({"scene": asdict(scene), "runs": self._rounds(scene, receiver, address)})
            except (Absent, Failed) as reason:
                self._skip(str(scene), reason)
            yield self._result(at, made)

    def _result(self, at: str, made: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "at": at,
            "machine": {
                "cpus": os.cpu_count(),
                "load": os.getloadavg(),
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "rounds": self._wanted.rounds,
            "seconds": self._wanted.seconds,
            "connections": CONNECTIONS,
            "sink": "C" if self._wanted.sink_source else "bench/sink.py",
            "delay": "namespace" if self._wanted.delay_source else "bench/delay.py",
            "settings": self._wanted.setting,
            "skipped": self._skipped,
            "scenes": made,
        }

    # Rounds

    def _rounds(self, scene: Scene, receiver: Receiver, address: tuple[str, int]) -> dict[str, list[dict[str, object]]]:
        runs: dict[str, list[dict[str, object]]] = {}
        messages = dict[str, int]()
        for name in scene.who:
            if name not in self._contestants:
                continue
            try:
                messages[name] = self._enough(scene, name, receiver, address)
                runs[name] = []
            except (Absent, Failed) as reason:
                self._skip(f"{name} in {scene}", reason)
        for round_ in range(1, self._wanted.rounds + 1):
            for name in list(runs):
                try:
                    run = self._run(scene, name, receiver, address, messages[name], round_)
                except Failed as reason:
                    self._skip(f"{name} in {scene}, round {round_}", reason)
                    continue
                runs[name].append(asdict(run) | {"rate": round(run.rate, 1), "valid": run.is_valid})
                say(f"   {round_} {name:18} {run.rate:9.1f} messages/s{'' if run.is_valid else ' INVALID'}")
                if run.seconds < 0.8 * self._wanted.seconds:
                    messages[name] = self._messages(run.rate)
        return runs

    def _enough(self, scene: Scene, name: str, receiver: Receiver, address: tuple[str, int]) -> int:
        """How many mails take --seconds: found out by shorter runs, each longer than the one before."""
        messages = 60 if scene.rtt_ms else 1_000
        while True:
            run = self._run(scene, name, receiver, address, messages, 0)
            if run.seconds >= min(1, self._wanted.seconds / 2):
                return self._messages(run.rate)
            messages = max(2 * messages, min(20 * messages, round(run.rate * 1.5)))

    def _messages(self, rate: float) -> int:
        return max(60, round(rate * float(self._wanted.seconds) / (1 - WARM)))

    def _run(
        self, scene: Scene, name: str, receiver: Receiver, address: tuple[str, int], messages: int, round_: int
    ) -> Run:
        self._runs += 1
        folder = self._folder / f"run{self._runs}"
        folder.mkdir()
        load = Load(
            host=address[0],
            port=address[1],
            messages=messages,
            size=scene.size,
            connections=CONNECTIONS,
            folder=folder,
            tls=scene.tls,
            dkim=self._dkim if scene.dkim else None,
        )
        before, octets = receiver.counted()
        with self._contestants[name].start(load) as sending:
            began, first = 0.0, 0
            for _ in until(LIMIT_SECONDS, 0.02):
                lives = any(
                    process.lives for process in sending.processes
                )  # asked before: the last mail may be its last
                count, now = receiver.counted()[0] - before, time.perf_counter()
                peaks = [process.peak_mb for process in sending.processes]
                if not began and count >= messages * WARM:
                    began, first = now, count
                if count >= messages:
                    break
                if not lives:
                    raise Failed(f"{count} of {messages} mails came. {sending.processes[0].complaint()}")
            ended = now
            claimed = sending.claimed()
        taken, octets_after = receiver.counted()
        return Run(
            round=round_,
            messages=messages,
            received=taken - before,
            claimed=claimed,
            seconds=round(max(ended - began, 0.001), 3),
            timed=max(count - first, 1),
            octets_each=round((octets_after - octets) / messages) if octets_after and octets is not None else None,
            peak_mb=peaks,
            sink_peak_mb=receiver.peak_mb(),
        )

    # Where it goes

    @contextlib.contextmanager
    def _receiver(self, scene: Scene) -> Iterator[Receiver]:
        with contextlib.ExitStack() as stack:
            self._way = self._made_way(scene, stack)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailer-sink-")))
            yield stack.enter_context(self._made_receiver(scene, self._way, folder))

    def _made_way(self, scene: Scene, stack: contextlib.ExitStack) -> Way:
        if not scene.rtt_ms:
            return Way()
        if self._wanted.delay_source:
            try:
                return stack.enter_context(ways.namespace(self._compiled(self._wanted.delay_source), scene.rtt_ms))
            except Absent as reason:
                self._skip("delay between namespaces", reason)
        return Way(rtt_ms=scene.rtt_ms)

    def _made_receiver(self, scene: Scene, way: Way, folder: Path) -> contextlib.AbstractContextManager[Receiver]:
        match scene.receiver:
            case "smtp-sink":
                return receivers.smtp_sink(way.host)
            case "postfix":
                return receivers.postfix(way.host, folder)
            case "fast" if self._wanted.sink_source:
                program = self._compiled(self._wanted.sink_source)
                return receivers.fast(program, way.host, before=way.before, chunking=scene.chunking)
        options: list[str | Path] = [] if scene.chunking else ["--without", "CHUNKING"]
        if scene.tls:
            options += ["--tls", *receivers.certificate(folder)]
        return receivers.own(way.host, before=way.before, options=options)

    def _compiled(self, source: Path) -> Path:
        if source not in self._programs:
            self._programs[source] = receivers.compiled(source, self._folder)
        return self._programs[source]


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
