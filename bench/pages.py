"""How the pages answer while an issue is going out from the same SQLite file: so many requests a second.

    python bench/pages.py --json
    python bench/pages.py --rate 200 --seconds 30 --readers 500000

The real `mailer serve` answers, and its worker sends. Requests leave at their moments whether or not the earlier ones
have been answered, so that a server which stalls is not asked less; every second one subscribes a new address, every
other one confirms an address that asked two seconds before. What is counted is the time from the moment at which a
request was due to its whole answer. Answers to the form leave at multiples of 50 ms (mailer/web/asking.py), so that is
their least. An error is every answer that is not 200, and none.
"""

import argparse
import asyncio
import contextlib
import json
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx

from bench import receivers
from bench.installation import Installation, fill, opened
from bench.processes import Failed, Process, end_on_sigterm, until
from mailer.app import App
from mailer.subscribers import address
from mailer.tokens import Purpose
from mailer.web.asking import SOONEST

SIZE = 30_000
BEHIND = 2.0
"""Seconds between asking and confirming."""

KEPT = 3.0
"""Seconds for which a connection is kept that has nothing to do: less than the server keeps it."""

MANY = str(10**9)


@dataclass
class Found:
    """What came of the requests, by kind."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


def main() -> None:
    wanted = arguments()
    end_on_sigterm()
    results = {}
    for name, readers in (("nothing goes out", 0), ("an issue goes out", wanted.readers)):
        print(name, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="mailer-pages-", dir=wanted.folder) as folder:
            results[name] = measured(Path(folder), readers, wanted.rate, wanted.seconds)
    if wanted.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(f"{name:18} " + "  ".join(f"{what} {value}" for what, value in result.items()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rate", type=int, default=200, help="requests a second")
    add("--seconds", type=int, default=20)
    add("--readers", type=int, default=300_000, help="of the issue that is going out: enough to last")
    add("--folder", help="where the database is made; by default the system's")
    add("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def measured(folder: Path, readers: int, rate: int, seconds: int) -> dict[str, object]:
    """Figures of one server. Raises Failed."""
    url, port = f"sqlite:///{folder / 'mailer.db'}", receivers.free_port()
    fill(url, readers or 1, SIZE)
    with receivers.own("127.0.0.1") as sink:
        settings = {"relay_host": sink.host, "relay_port": str(sink.port), "relay_tls": "off"}
        settings |= {f"requests_{name}": MANY for name in ("expected", "per_network", "per_domain", "per_address")}
        installation = Installation(folder, url, settings | {"listen": f"127.0.0.1:{port}"})
        app = installation.app()
        command = [sys.executable, "-m", "mailer", "serve"]
        with contextlib.ExitStack() as running:
            running.enter_context(opened(app))
            server = running.enter_context(
                Process(command, environment=installation.environment, folder=folder, asked=True)
            )
            _until_it_answers(server, port)
            if readers:
                for _ in until(60):
                    if sink.counted()[0] > readers // 100:
                        break
            sent, began, cpu = sink.counted()[0], time.monotonic(), server.cpu_seconds
            found = asyncio.run(_asked(app, port, rate, seconds))
            per_second = (sink.counted()[0] - sent) / (time.monotonic() - began)
            if readers and sink.counted()[0] >= readers:
                raise Failed("the issue was out before the time was: give it more --readers")
            cpu, peak_mb = server.cpu_seconds - cpu, server.peak_mb
    every = [each for times in found.seconds.values() for each in times]
    return {
        "requests": len(every) + len(found.errors),
        "errors": len(found.errors),
        **({"first_error": found.errors[0]} if found.errors else {}),
        **_quantiles("all", every),
        **{
            key: value
            for name, times in sorted(found.seconds.items())
            for key, value in _quantiles(name, times).items()
        },
        "mails_per_second": round(per_second),
        "processor_seconds": round(cpu, 1),
        "peak_mb": peak_mb,
    }


def _quantiles(name: str, times: list[float]) -> dict[str, float]:
    if len(times) < 2:
        return {}
    cuts = statistics.quantiles(times, n=100)
    return {
        f"{name}_median_ms": round(cuts[49] * 1000, 1),
        f"{name}_p99_ms": round(cuts[98] * 1000, 1),
        f"{name}_worst_ms": round(max(times) * 1000, 1),
    }


def _until_it_answers(server: Process, port: int) -> None:
    for _ in until(30, 0.05):
        if not server.lives:
            raise Failed(server.complaint())
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        except httpx.HTTPError:
            continue


async def _asked(app: App, port: int, rate: int, seconds: int) -> Found:
    found, loop = Found(), asyncio.get_running_loop()
    async with httpx.AsyncClient() as client:
        front = await client.get(f"http://127.0.0.1:{port}/bench/en")
    stamp = re.search(r'name="stamp" value="([^"]+)"', front.text)
    assert stamp is not None
    form = {"publication": "bench", "edition": "en", "language": "en", "stamp": stamp[1]}
    await asyncio.sleep(SOONEST.total_seconds() + 0.5)
    connections = Connections(port)

    async def send(kind: str, path: str, data: dict[str, str], due: float) -> None:
        try:
            status = await connections.post(path, data)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            found.errors.append(f"{kind}: {type(error).__name__}")
            return
        if status == 200:
            found.seconds[kind].append(loop.time() - due)
        else:
            found.errors.append(f"{kind}: {status}")

    began, tasks, behind = loop.time() + 0.1, set[asyncio.Task[None]](), int(BEHIND * rate / 2)
    with contextlib.closing(sqlite3.connect(app.database.url.database or "")) as database:
        for number in range(rate * seconds // 2):
            due = began + number * 2 / rate
            await asyncio.sleep(max(due - loop.time(), 0))
            data = form | {"address": _address(number)}
            tasks.add(asyncio.create_task(send("subscribe", "/subscribe", data, due)))
            due += 1 / rate
            await asyncio.sleep(max(due - loop.time(), 0))
            if number < behind:
                continue
            if path := _confirm_path(app, database, number - behind):
                tasks.add(asyncio.create_task(send("confirm", path, {}, due)))
            else:
                found.errors.append("confirm: nothing was asked for two seconds before")
        await asyncio.gather(*tasks)
    connections.close()
    return found


class Connections:
    """HTTP/1.1 with so little to it that the measuring leaves the machine to what is measured."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle = list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]]()

    async def post(self, path: str, data: dict[str, str]) -> int:
        """The status of the answer, all of which was read."""
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0][0] < now - KEPT:
            self._idle.pop(0)[2].close()
        if self._idle:
            _, reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = urlencode(data).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self._idle.append((asyncio.get_running_loop().time(), reader, writer))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        for _, _, writer in self._idle:
            writer.close()


def _address(number: int) -> str:
    return f"new-{number}@d{number % 500}.example"


def _confirm_path(app: App, database: sqlite3.Connection, number: int) -> str | None:
    """The link in the confirmation that this reader gets."""
    asked = (
        "SELECT consent.id, consent.at FROM consent JOIN subscription ON subscription.id = consent.subscription_id"
        " JOIN subscriber ON subscriber.id = subscription.subscriber_id WHERE subscriber.address_hash = ?"
    )
    row = database.execute(asked, (_hash(app, _address(number)),)).fetchone()
    if row is None:
        return None
    expires = datetime.fromisoformat(row[1]).replace(tzinfo=UTC) + timedelta(hours=app.settings.confirmation_hours)
    return f"/c/{app.tokens.make(Purpose.CONFIRM, row[0], expires=expires)}"


def _hash(app: App, text: str) -> str:
    return address.hash(address.parse(text), app.settings.address_key.get_secret_value())


if __name__ == "__main__":
    main()
