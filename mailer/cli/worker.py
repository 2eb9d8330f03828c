"""mailer worker: sends, and loads nothing of the pages."""

from mailer.cli.shared import installation, on_signals, run_loop, start_logging
from mailer.worker import Worker


def worker() -> None:
    """Send what is due, without web pages, until Ctrl-C or SIGTERM."""
    app = installation()
    start_logging(app.settings.log_level)
    run_loop(_work(Worker(app)))


async def _work(worker: Worker) -> None:
    on_signals(worker.stop)
    await worker.run()
