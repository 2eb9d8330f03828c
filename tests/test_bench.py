"""The parts that the measuring programs stand on: a sink that counts rightly, a delay that delays, a just report."""

import contextlib
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import receivers, report
from bench.installation import message_of, octets
from bench.kill import read
from bench.processes import ROOT, Failed, Process
from bench.receivers import Receiver
from bench.ways import Way
from mailer.tables import Publication

MAIL = b"Message-ID: <%d@x>\r\nSubject: x\r\n\r\nwords\r\n"


@contextlib.contextmanager
def talking(host: str, port: int) -> Iterator[Any]:
    with socket.create_connection((host, port), 10) as connection, connection.makefile("rwb") as file:
        yield file


def say(file: Any, octets_: bytes, replies: int) -> list[bytes]:
    file.write(octets_)
    file.flush()
    return [file.readline()[:3] for _ in range(replies)]


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Receiver]:
    with receivers.own("127.0.0.1", options=["--record", tmp_path / "taken"]) as started:
        yield started


def test_the_sink_counts_whatever_way_the_mails_come(sink: Receiver, tmp_path: Path) -> None:
    envelope = b"MAIL FROM:<a@x>\r\nRCPT TO:<%s@x>\r\n"
    with talking(sink.host, sink.port) as file:
        assert say(file, b"", 1) == [b"220"]
        plain = envelope % b"b" + b"DATA\r\n" + MAIL % 1 + b".\r\n"
        assert say(file, plain, 4) == [b"250", b"250", b"354", b"250"]
        half = len(MAIL % 2) // 2
        chunks = b"BDAT %d\r\n%b" % (half, (MAIL % 2)[:half])
        chunks += b"BDAT %d LAST\r\n%b" % (len(MAIL % 2) - half, (MAIL % 2)[half:])
        window = envelope % b"c" + chunks + envelope % b"c" + b"BDAT %d LAST\r\n" % len(MAIL % 2) + MAIL % 2
        assert say(file, window, 7) == [b"250"] * 7
        say(file, envelope % b"d" + b"DATA\r\n" + MAIL % 3, 3)  # killed before its dot
    assert sink.counted()[0] == 3
    assert read(tmp_path / "taken") == {"b@x": {"<1@x>": 1}, "c@x": {"<2@x>": 2}}


def test_the_sink_offers_only_what_it_is_asked_for() -> None:
    with receivers.own("127.0.0.1", options=["--without", "CHUNKING"]) as sink, talking(sink.host, sink.port) as file:
        say(file, b"EHLO x\r\n", 2)
        offered = {file.readline().strip()[4:].decode() for _ in range(4)}
    assert offered == {"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}


def test_the_way_through_the_proxy_takes_a_round_trip_and_keeps_the_order(sink: Receiver) -> None:
    with Way(rtt_ms=60).to(sink) as address:
        began = time.monotonic()
        with talking(*address) as file:
            assert say(file, b"", 1) == [b"220"]
            greeted = time.monotonic()
            assert greeted - began >= 0.059
            assert say(file, b"MAIL\r\nNONSENSE\r\nDATA\r\n", 3) == [b"250", b"500", b"354"]
            assert time.monotonic() - greeted >= 0.059


@pytest.mark.parametrize("size", [3_000, 30_000])
def test_the_issue_has_the_size_that_is_asked_for(publication: Publication, size: int) -> None:
    assert size * 0.99 <= octets(message_of(publication, size)) <= size


def test_a_program_that_dies_says_why() -> None:
    command = [sys.executable, str(ROOT / "bench" / "sink.py"), "127.0.0.1:no"]
    with Process(command) as process, pytest.raises(Failed, match="invalid literal"):
        process.line()


# Reports


def run(rate: float, *, valid: bool = True) -> dict[str, Any]:
    return {"rate": rate, "valid": valid, "octets_each": 30_000, "peak_mb": [50.0], "sink_peak_mb": 4.0}


def result(**runs: list[dict[str, Any]]) -> dict[str, Any]:
    scene = {"part": "delay", "size": 30_000, "rtt_ms": 80, "receiver": "fast", "chunking": True}
    return {
        "at": "2026-11-23T09:00:00+00:00",
        "machine": {"cpus": 2, "python": "3.11"},
        "rounds": 3,
        "seconds": 5,
        "connections": 10,
        "sink": "C",
        "delay": "namespace",
        "skipped": {},
        "scenes": [{"scene": {**scene, "tls": False, "dkim": False}, "runs": runs}],
    }


def reached(made: dict[str, Any]) -> dict[str, Any]:
    return {each["what"]: each for each in report.summary(made)["targets"]}


def test_a_number_is_reached_by_the_medians_of_one_table() -> None:
    ratio = "80 ms, CHUNKING, 30 KB, against nodemailer"
    trips = "80 ms, CHUNKING, 30 KB, round trips a message"
    made = reached(result(ours=[run(1_200), run(1_500), run(9_000)], nodemailer=[run(50), run(60), run(10)]))
    assert (made[ratio]["value"], made[ratio]["reached"]) == (30, True)
    assert (made[trips]["value"], made[trips]["reached"]) == (0.08, True)
    slower = reached(result(ours=[run(1_000)], nodemailer=[run(50)]))
    assert (slower[ratio]["value"], slower[ratio]["reached"]) == (20, False)
    assert (slower[trips]["value"], slower[trips]["reached"]) == (0.12, False)
    assert made["loopback, 30 KB, against smtp-source"]["reached"] is None  # not measured


def test_a_run_that_the_sink_does_not_confirm_counts_for_nothing() -> None:
    made = result(ours=[run(100), run(9_000, valid=False)], nodemailer=[run(50)])
    (medians,) = report.summary(made)["medians"]
    assert medians["ours"]["high"] == 100
    assert not report.summary(made)["valid"]
    assert "Invalid runs, not counted in: 1." in report.markdown(made)
