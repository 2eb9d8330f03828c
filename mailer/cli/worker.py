"""mailer worker: sends, and loads nothing of the pages."""

import os
import signal
import threading
from datetime import timedelta
from typing import Annotated

import typer

from mailer.cli.shared import installation, on_signals, run_loop, start_logging
from mailer.worker import Worker

OF_BEFORE = timedelta(seconds=30)
"""How long it waits for the worker of pages that were killed, which sends what it has in hand."""


def worker(
    beside_pages: Annotated[bool, typer.Option("--beside-pages", hidden=True)] = False,  # what mailer serve starts
) -> None:
    """Send what is due, without web pages, until Ctrl-C or SIGTERM."""
    if beside_pages:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    app = installation()
    start_logging(app.settings.log_level)
    run_loop(_work(Worker(app), OF_BEFORE if beside_pages else timedelta()))


def _end_with_parent() -> None:
    """A parent that was killed cannot say so, but its end of our input closes."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


async def _work(worker: Worker, patience: timedelta) -> None:
    on_signals(worker.stop)
    await worker.run(patience)
