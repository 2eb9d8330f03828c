"""Reads mutated reports for some minutes: no exception, nothing above 2 seconds or 200 MB.

    python bench/fuzz_reports.py DIR [--minutes 10] [--seed 1]

DIR holds message files. First come messages made to be expensive (50 MB, 10,000 parts, 10,000 levels, one line of
10 MB, …), then mutations of the files, each made from the seed and its number alone: `--only N` makes one again. The
first failure is written to ./fuzz-failure.eml and ends the run with status 1.
"""

import argparse
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from mailer.inbound.incoming import Incoming, Kind
from mailer.inbound.reading import read

SECONDS = 2.0  #: of processor time
MEGABYTES = 200
LARGEST = 50_000_000

Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]


def main() -> None:
    wanted = arguments()
    corpus = [path.read_bytes() for path in sorted(wanted.dir.iterdir()) if path.is_file()] or [b"Subject: x\n\nx\n"]
    if wanted.only is not None:
        check("mutation", wanted.only, mutated(wanted.seed, wanted.only, corpus))
        return
    for number, octets in enumerate(expensive()):
        check("expensive", number, octets)
    until = time.monotonic() + 60 * wanted.minutes
    slowest, number = 0.0, 0
    while time.monotonic() < until:
        slowest = max(slowest, check("mutation", number, mutated(wanted.seed, number, corpus)))
        number += 1
    print(f"{number} mutations, slowest {slowest:.2f} s, {peak_megabytes():.0f} MB at most, no failure")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one mutation by its number")
    return parser.parse_args()


def check(kind: str, number: int, octets: bytes) -> float:
    """Reads one message; ends the run where a bound is broken. Returns the seconds of processor time it took."""
    before, began = peak_megabytes(), time.process_time()
    try:
        incoming = read(octets)
        problem = "" if sound(incoming) else f"the result is not sound: {incoming}"
    except Exception:
        problem = traceback.format_exc()
    took = time.process_time() - began
    if took > SECONDS:
        problem = f"it took {took:.1f} s"
    elif peak_megabytes() - before > MEGABYTES:
        problem = f"it took {peak_megabytes() - before:.0f} MB"
    if problem:
        Path("fuzz-failure.eml").write_bytes(octets)
        print(f"{kind} {number} ({len(octets)} octets, written to fuzz-failure.eml): {problem}")
        sys.exit(1)
    return took


def sound(incoming: Incoming) -> bool:
    """Only a bounce makes an address permanent, and what is said can be written down."""
    for recipient in incoming.recipients:
        f"{recipient}".encode()
        if recipient.permanent and incoming.kind is not Kind.BOUNCE:
            return False
    return True


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Messages that are expensive to read for whoever is careless


def expensive() -> Iterator[bytes]:
    report = b"From: mailer-daemon@b.example\nSubject: Undeliverable\nContent-Type: "
    fields = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; b.example\n\n"
    one = b"Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n"
    yield b"\0" * LARGEST
    yield b"A" * LARGEST
    yield b"\r" * LARGEST
    yield report + b"text/plain\n\n" + b"a@b.example " * (LARGEST // 12)
    yield report + b"text/plain\n\n" + b"a@b.example\n" * (LARGEST // 12)
    yield report + b"multipart/report; boundary=x\n\n" + b"--x\n\ntext\n" * 10_000
    yield report + b"multipart/report; boundary=x\n\n" + (b"--x\n" + fields + one) * 10_000
    yield report + b"multipart/report; boundary=x\n\n--x\n" + fields + one * 100_000
    yield report + b"multipart/report; boundary=x\n\n" + b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 10_000
    nested = b"".join(
        b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (level, level + 1) for level in range(10_000)
    )
    yield report + b"multipart/report; boundary=b0\n\n" + nested
    yield report + b"multipart/mixed; boundary=x\n\n" + b"--x\nContent-Type: message/rfc822\n\n" * 10_000
    yield b"".join(b"X-%d: y\n" % number for number in range(1_000_000))
    yield b"Subject: " + b"=?utf-8?q?=41?= " * 1_000_000
    yield b"Subject: " + b" x\n" * 3_000_000
    yield report + b"text/html\n\n" + b"<" * 10_000_000
    yield report + b"text/html\n\n" + b"<style" * 2_000_000
    yield report + b"text/plain; charset=punycode\n\n" + b"-a" * 1_000_000
    yield report + b"text/plain; charset=utf-7\n\n" + b"+" * 10_000_000
    for word in (
        b" ",
        b"a",
        b"a.",
        b"@",
        b"<",
        b"5.",
        b"550 ",
        b"user ",
        b"-",
        b": ",
        b"host not ",
        b"a@a.",
        b"\\",
        b"(said: ",
    ):
        yield report + b"text/plain\n\nThe following address failed:\n\n <a@b.example>: " + word * 2_000_000
        yield (
            report
            + b"multipart/report; boundary=x\n\n--x\n"
            + fields
            + one.strip()
            + b"\nDiagnostic-Code: smtp; "
            + word * 1_000_000
        )


# Mutations


def mutated(seed: int, number: int, corpus: list[bytes]) -> bytes:
    chance = random.Random(f"{seed}/{number}")
    octets = chance.choice(corpus)
    for _ in range(chance.randint(1, 8)):
        octets = chance.choice(MUTATIONS)(chance, octets, corpus)[: 2 * (1 << 20)]
    return octets


def _span(chance: random.Random, octets: bytes) -> tuple[int, int]:
    begin = chance.randint(0, len(octets))
    return begin, min(len(octets), begin + int(chance.expovariate(1 / 60)))


def _flip(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    changed = bytearray(octets)
    for _each in range(chance.randint(1, 20)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _drop(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    begin, end = _span(chance, octets)
    return octets[:begin] + octets[end:]


def _repeat(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    begin, end = _span(chance, octets)
    return octets[:end] + octets[begin:end] * int(chance.choice((1, 10, 1000, 100_000))) + octets[end:]


def _cut_off(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    return octets[: chance.randint(0, len(octets))]


def _splice(chance: random.Random, octets: bytes, corpus: list[bytes]) -> bytes:
    other = chance.choice(corpus)
    return octets[: chance.randint(0, len(octets))] + other[chance.randint(0, len(other)) :]


def _swap_lines(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    lines = octets.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _line_ends(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    return octets.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", b"\n\n", b"\0\n")))


def _insert(chance: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    at = chance.randint(0, len(octets))
    return octets[:at] + chance.choice(TOKENS) * chance.choice((1, 1, 1, 50, 5000)) + octets[at:]


def _nest(chance: random.Random, octets: bytes, corpus: list[bytes]) -> bytes:
    kind = chance.choice((b"message/rfc822", b"multipart/mixed; boundary=n", b"text/plain", b"message/delivery-status"))
    head = b"From: a@b.example\nSubject: x\nContent-Type: multipart/report; boundary=n\n\n--n\nContent-Type: " + kind
    return head + b"\n\n" + octets + b"\n--n\n" + chance.choice(corpus)


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _drop,
    _repeat,
    _cut_off,
    _splice,
    _swap_lines,
    _line_ends,
    _insert,
    _nest,
)

TOKENS = (
    b"\0",
    b"\r",
    b"\n",
    b"\n\n",
    b"--",
    b"<",
    b"@",
    b"=?utf-8?b?////?=",
    b"=?x?q?=FF?=",
    b"\x1b$B",
    b"\xff\xfe",
    b"Content-Type: message/delivery-status\n",
    b'Content-Type: multipart/mixed; boundary=""\n',
    b"Content-Type: text/plain; charset=idna\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Final-Recipient: rfc822; a@b.example\n",
    b"Action: failed\n",
    b"Status: 5.1.1\n",
    b"Diagnostic-Code: smtp; 550 5.1.1 no such user\n",
    b"550 5.1.1 <a@b.example>... User unknown\n",
    b"Feedback-Type: abuse\n",
    b"999999999999999999999999.1.1",
    "é\N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}".encode(),
)


if __name__ == "__main__":
    main()
