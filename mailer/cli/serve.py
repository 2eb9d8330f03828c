"""mailer serve: the pages, and the worker beside them."""

import asyncio
import contextlib
from collections.abc import Generator
from typing import Annotated

import typer
import uvicorn

from mailer.app import App
from mailer.cli.shared import installation, on_signals, run_loop, start_logging
from mailer.errors import MailerError
from mailer.web.site import create_app
from mailer.worker import Worker


def serve(
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Pages only; run mailer worker beside it.")] = False,
) -> None:
    """Serve the web pages and send what is due, until Ctrl-C or SIGTERM."""
    app = installation()
    start_logging(app.settings.log_level)
    run_loop(_serve(app, None if no_worker else Worker(app)))


async def _serve(app: App, worker: Worker | None) -> None:
    server = web_server(app)

    def stop() -> None:
        server.should_exit = True
        if worker:
            worker.stop()

    on_signals(stop)
    tasks = [asyncio.create_task(serve_pages(server, app.settings.listen))]
    if worker:
        tasks.append(asyncio.create_task(worker.run()))
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    stop()  # one part has ended: so does the other
    if rest:
        await asyncio.wait(rest)
    for task in (*done, *rest):
        task.result()


def web_server(app: App) -> uvicorn.Server:
    """uvicorn with the pages, without signal handlers of its own and without a log of who reads what."""
    host, _, port = app.settings.listen.rpartition(":")
    config = uvicorn.Config(
        create_app(app),
        host=host.strip("[]"),
        port=int(port),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    return PageServer(config)


class PageServer(uvicorn.Server):
    """uvicorn, but signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve_pages(server: uvicorn.Server, listen: str) -> None:
    """Runs the server. Raises MailerError where the address is taken."""
    try:
        await server.serve()
    except SystemExit:
        raise MailerError(
            f"MAILER_LISTEN: {listen} cannot be used. Is another mailer running? Stop it, or choose another port."
        ) from None
