"""mailer serve: the pages, and a worker in a process of its own beside them, so that neither waits for the other."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Generator
from typing import Annotated, Any

import typer
import uvicorn

from mailer.app import App
from mailer.cli.shared import installation, on_signals, run_loop, start_logging
from mailer.errors import MailerError
from mailer.program import like_ours
from mailer.web.http import BoundedHttp
from mailer.web.site import create_app


def serve(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Pages only; run mailer worker beside it.")] = False,
) -> None:
    """Serve the web pages and send what is due, until Ctrl-C or SIGTERM."""
    app = installation()
    start_logging(app.settings.log_level)
    if status := run_loop(_serve(app, with_worker=not no_worker)):
        raise typer.Exit(status)


async def _serve(app: App, *, with_worker: bool) -> int:
    """Returns the worker's exit status; what was wrong it has said itself."""
    server = web_server(app)
    worker = await _start_worker() if with_worker else None

    def stop() -> None:
        server.should_exit = True
        if worker and worker.returncode is None:
            worker.terminate()

    on_signals(stop)
    pages = asyncio.create_task(serve_pages(server, app.settings.listen))
    parts: list[asyncio.Task[Any]] = [pages]
    if worker:
        parts.append(asyncio.create_task(worker.wait()))
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    stop()  # one part has ended: so does the other
    await asyncio.wait(parts)
    pages.result()
    status = (worker.returncode or 0) if worker else 0
    if status < 0 and -status != signal.SIGTERM:
        raise MailerError(
            f"The worker was ended by {signal.Signals(-status).name}. What it held is sent by the next one: start"
            " mailer again. If nobody did that, look whether the machine is out of memory."
        )
    return max(status, 0)


async def _start_worker() -> asyncio.subprocess.Process:
    """Out of the terminal's group: Ctrl-C is for us, who let it end."""
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "mailer", "worker", "--beside-pages"),
            stdin=asyncio.subprocess.PIPE,
            env=like_ours(),
            start_new_session=True,
        )
    except OSError as error:
        raise MailerError(f"The worker could not be started: {error}.") from None


def web_server(app: App) -> uvicorn.Server:
    """uvicorn with the pages, without signal handlers of its own and without a log of who reads what."""
    host, _, port = app.settings.listen.rpartition(":")
    config = uvicorn.Config(
        create_app(app),
        host=host.strip("[]"),
        port=int(port),
        http=BoundedHttp,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    return PageServer(config)


SWITCH_SECONDS = 0.0005
"""A tenth of Python's own: a thread that has the write lock of the database gets the interpreter back sooner."""


class PageServer(uvicorn.Server):
    """uvicorn, but signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_pages(server: uvicorn.Server, listen: str) -> None:
    """Runs the server. Raises MailerError where the address is taken."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what is loaded by now stays
    try:
        await server.serve()
    except SystemExit:
        raise MailerError(
            f"MAILER_LISTEN: {listen} cannot be used. Is another mailer running? Stop it, or choose another port."
        ) from None
