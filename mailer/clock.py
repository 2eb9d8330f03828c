"""The one place that asks what time it is. Everything else is handed a `Clock` or a `now`."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current moment, aware, in UTC."""


def system_clock() -> datetime:
    return datetime.now(UTC)
