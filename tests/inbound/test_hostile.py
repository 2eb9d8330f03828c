"""Octets from strangers: no exception, bounded work, nothing said of whom nobody named."""

import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.inbound import mime
from mailer.inbound.incoming import Incoming, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, complaint, failed, letter, report

GONE = failed("550 5.1.1 user unknown")
SEEDS = [
    report(GONE, GONE.replace(READER, "b@far.example")),
    report(GONE, kind="message/global-delivery-status"),
    complaint("Feedback-Type: abuse", f"Original-Rcpt-To: {READER}"),
    letter(f"The following address(es) failed:\n\n  {READER}\n    550 5.1.1 unknown\n\n--- Original message ---\n"),
    letter("away", sender=READER, subject="=?utf-8?B?QXV0b21hdGljIHJlcGx5?=", auto_submitted="auto-replied"),
    letter("", content_type="text/plain; charset=koi8-r", content_transfer_encoding="base64") + b"0L3QtdGC",
]
PIECES = [
    b"\0",
    b"\r",
    b"\n\n",
    b"--b\n",
    b"--b--\n",
    b"\xff\xfe",
    b"\x1b$B",
    b"=?utf-8?b?///?=",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: multipart/mixed; boundary=b\n\n",
    b"Final-Recipient: rfc822; c@far.example\n",
    b"550 5.1.1 <d@far.example>... User unknown\n",
]


def sound(incoming: Incoming) -> bool:
    repr(incoming).encode()
    return incoming.kind is Kind.BOUNCE or not any(each.permanent for each in incoming.recipients)


@given(st.binary(max_size=2000))
def test_any_octets_mean_something(octets: bytes) -> None:
    assert sound(read(octets))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_mutated_reports_mean_something(data: st.DataObject) -> None:
    octets = data.draw(st.sampled_from(SEEDS))
    for _ in range(data.draw(st.integers(1, 6))):
        begin = data.draw(st.integers(0, len(octets)))
        end = data.draw(st.integers(begin, min(len(octets), begin + 80)))
        octets = octets[:begin] + data.draw(st.sampled_from(PIECES) | st.binary(max_size=8)) + octets[end:]
    assert sound(read(octets))


HEAD = b"From: mailer-daemon@b.example\nSubject: Undeliverable\nContent-Type: "
NESTED = b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (at, at + 1) for at in range(10_000))

EXPENSIVE = {
    "50 MB": HEAD + b"text/plain\n\nfailed: " + b"a@b.example " * 4_000_000,
    "50 MB of nothing": b"\0" * 50_000_000,
    "10,000 parts": HEAD + b"multipart/report; boundary=x\n\n" + b"--x\n\nx\n" * 10_000,
    "10,000 levels": HEAD + b"multipart/report; boundary=b0\n\n" + NESTED,
    "100,000 recipients": report(*[GONE] * 100_000),
    "100,000 header fields": b"".join(b"X-%d: y\n" % at for at in range(100_000)),
    "a header field of 5 MB": b"Subject: " + b" x\n" * 1_700_000,
    "a line of 5 MB": HEAD + b"text/plain\n\nThe following address failed: " + b"user " * 1_000_000,
    "addresses without end": HEAD + b"text/plain\n\nThe following address failed:\n" + b"a@a." * 1_000_000,
    "open tags": HEAD + b"text/html\n\n" + b"<p" * 2_000_000,
    "bare CR": HEAD.replace(b"\n", b"\r") + b"text/plain\r\r" + b"\r" * 1_000_000,
}


@pytest.mark.parametrize("what", EXPENSIVE)
def test_what_is_expensive_is_bounded(what: str) -> None:
    octets = EXPENSIVE[what]
    began = time.process_time()
    assert sound(read(octets))
    assert time.process_time() - began < 2
    tracemalloc.start()
    try:
        read(octets[: 4 * mime.READ_OCTETS])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_what_was_not_looked_at_is_told() -> None:
    assert not read(report(GONE)).truncated
    assert read(report(GONE) + b"x" * mime.READ_OCTETS).truncated
    assert read(EXPENSIVE["10,000 parts"]).truncated
    assert read(EXPENSIVE["10,000 levels"]).truncated


def test_a_large_report_is_read_at_its_beginning() -> None:
    incoming = read(report(GONE) + b"x" * 50_000_000)
    assert [(each.address, each.permanent) for each in incoming.recipients] == [(READER, True)]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r", b"\n"])
def test_line_ends_do_not_change_what_a_report_means(line_end: bytes) -> None:
    assert read(report(GONE).replace(b"\n", line_end)) == read(report(GONE))


def test_a_boundary_that_never_comes_leaves_the_text() -> None:
    octets = letter(
        f"The following address failed:\n\n  {READER}\n    550 5.1.1 unknown\n",
        content_type="multipart/mixed; boundary=z",
    )
    assert [each.address for each in read(octets).recipients] == [READER]
