"""mailer serve is two processes: neither outlives the other, and what is wrong is said once, by the one that knows."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mailer.database import Database
from mailer.delivery.workers import SecondWorker, sole_use
from tests.cli.conftest import Type
from tests.test_settings import ROOT
from tests.test_worker import until

Serve = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def serve(installed: Type, tmp_path: Path, port: int) -> Iterator[Serve]:
    """Starts it in the folder that `mailer init` has set up, with these settings beside those of the folder."""
    assert installed("migrate").status == 0
    (tmp_path / "queue.py").write_text("raise RuntimeError('no module of ours')")
    running = list[subprocess.Popen[str]]()

    def start(**settings: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MAILER_LISTEN": f"127.0.0.1:{port}", **settings}
        words = [sys.executable, "-P", "-m", "mailer", "serve"]
        process = subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment, start_new_session=True
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'mailer.db'}")
    yield database
    database.engine.dispose()


def works(database: Database) -> bool:
    try:
        with sole_use(database):
            return False
    except SecondWorker:
        return True


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code < 500
    except httpx.TransportError:
        return False


def worker_of(process: subprocess.Popen[str]) -> int:
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


@pytest.mark.parametrize("is_typed", [True, False])
async def test_ctrl_c_and_sigterm_end_both(serve: Serve, database: Database, port: int, is_typed: bool) -> None:
    process = serve()
    await until(lambda: answers(port) and works(database))
    if is_typed:  # a terminal tells both
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert not works(database)


async def test_who_is_killed_leaves_no_worker_behind(serve: Serve, database: Database, port: int) -> None:
    process = serve()
    await until(lambda: answers(port) and works(database))
    process.kill()
    process.wait()
    await until(lambda: not works(database))


async def test_pages_do_not_go_on_without_the_worker(serve: Serve, database: Database, port: int) -> None:
    process = serve()
    await until(lambda: answers(port) and works(database))
    os.kill(worker_of(process), signal.SIGKILL)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("mailer: The worker was ended by SIGKILL.")
    assert not answers(port)


def test_what_the_worker_cannot_use_ends_both_and_is_said_once(serve: Serve) -> None:
    process = serve(MAILER_DKIM_KEYS="s._domainkey.example.org.pem")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    told = [line for line in said.splitlines() if "mailer: " in line]
    assert len(told) == 1
    assert told[0].startswith("mailer: MAILER_DKIM_KEYS: s._domainkey.example.org.pem: cannot be read")


async def test_a_port_that_is_taken_is_said_and_nothing_is_sent(serve: Serve, database: Database, port: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        process = serve()
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith(f"mailer: MAILER_LISTEN: 127.0.0.1:{port} cannot be used.")
    assert not works(database)
