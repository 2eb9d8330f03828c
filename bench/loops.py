"""The event loop of everything here that is written in Python: the fast one, where it is installed."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None  # type: ignore[assignment]


def run(work: Coroutine[None, None, None]) -> None:
    """Runs `work` until it ends, or until SIGTERM or Ctrl-C."""

    async def until_told() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(until_told())
