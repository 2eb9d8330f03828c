"""Does the time of an answer tell who reads us? The form is sent for addresses of each standing, in turn, over HTTP.

For each standing: the median and the 99th percentile, and how often its answer took longer than one to an unknown
address (0.5 tells nothing; at 1.0 or 0.0 one question is enough). First with answers that leave when they are made,
then as they leave.
"""

import argparse
import contextlib
import json
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import uvicorn
from sqlmodel import select

from mailer import publications
from mailer.app import App, assemble
from mailer.resources import example
from mailer.settings import Settings
from mailer.subscribers import address, optin, subscription, suppression
from mailer.tables import Edition, SuppressionReason
from mailer.web import asking
from mailer.web.site import create_app

STANDINGS = ("unknown", "pending", "confirmed", "left", "suppressed")
MANY = "1000000"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=100, help="questions of each standing")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    even, found = asking.EVEN_SECONDS, {}
    for name, seconds in (("as made", 1e-6), ("as sent", even)):
        asking.EVEN_SECONDS = seconds
        with tempfile.TemporaryDirectory() as folder:
            found[name] = _summary(_measured(_app(Path(folder)), given.rounds))
        for standing, figures in found[name].items():
            print(f"{name:8} {standing:10} " + "  ".join(f"{what} {value:7.3f}" for what, value in figures.items()))
    if given.json:
        print(json.dumps(found))


def _app(folder: Path) -> App:
    app = assemble(
        Settings(
            _env_file=None,
            database_url=f"sqlite:///{folder / 'mailer.db'}",
            secret_key=secrets.token_urlsafe(32),
            address_key=secrets.token_urlsafe(32),
            link_hosts=["https://news.example.org"],
            mail_domain="bounces.example.org",
            relay_host="127.0.0.1",
            requests_expected=MANY,
            requests_per_network=MANY,
            requests_per_domain=MANY,
        )
    )
    app.database.migrate()
    with app.database.write() as session:
        publications.apply(session, publications.read(example("publication.example.toml")), app.clock())
    return app


def _measured(app: App, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the question to the whole answer, of each standing."""
    took = defaultdict[str, list[float]](list)
    with app.database.read() as session:
        edition = session.exec(select(Edition)).first()
    assert edition is not None
    for number in range(rounds):
        for standing in STANDINGS:
            _prepare(app, edition, f"{standing}{number}@example.org", standing)
    form = {"publication": "belarus", "edition": edition.code, "stamp": _old_stamp(app)}
    with _served(app) as origin, httpx.Client(base_url=origin) as client:
        for number in range(-10, rounds):  # the first ones warm up
            for standing in STANDINGS:
                fields = {**form, "address": f"{standing}{number}@example.org"}
                began = time.perf_counter()
                answer = client.post("/subscribe", data=fields)
                took[standing].append(1000 * (time.perf_counter() - began))
                if answer.status_code != 200 or "data-working" in answer.text:
                    sys.exit(f"the form was refused: {answer.status_code}")
    return {standing: times[10:] for standing, times in took.items()}


def _old_stamp(app: App) -> str:
    return asking.stamp(app, app.clock() - timedelta(minutes=1))


def _prepare(app: App, edition: Edition, text: str, standing: str) -> None:
    """Gives the address its standing, two days ago."""
    if standing == "unknown":
        return
    reader, then = address.parse(text), app.clock() - timedelta(days=2)
    hashed = address.hash(reader, app.settings.address_key.get_secret_value())
    record = {"wording": "", "source": "bench", "network": "", "now": then}
    with app.database.write() as session:
        if standing == "suppressed":
            suppression.list_address(session, reader, hashed, SuppressionReason.OPERATOR, note="", by="bench", now=then)
            return
        asked = optin.request(
            session,
            edition=edition,
            address=reader,
            address_hash=hashed,
            language="en",
            window=timedelta(minutes=15),
            **record,  # type: ignore[arg-type]
        )
        assert asked.owed is not None
        if standing in ("confirmed", "left"):
            optin.confirm(session, asked.owed.consent_id, **record)  # type: ignore[arg-type]
        if standing == "left":
            subscription_id = asked.owed.subscription_id
            assert subscription_id is not None
            subscription.leave(session, subscription_id, source="bench", network="", now=then)


@contextlib.contextmanager
def _served(app: App) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(app), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


def _summary(took: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        standing: {
            "median ms": sorted(times)[len(times) // 2],
            "p99 ms": sorted(times)[int(len(times) * 0.99)],
            "longer than unknown": _longer(times, took["unknown"]),
        }
        for standing, times in took.items()
    }


def _longer(these: list[float], those: list[float]) -> float:
    """The probability that one of `these` is longer than one of `those` (Mann and Whitney's U, as a share)."""
    return sum(one > other for one in these for other in those) / (len(these) * len(those))


if __name__ == "__main__":
    main()
