"""How often a password may be guessed."""

import threading
from datetime import datetime, timedelta

TRIES = 5
TRIES_WITHIN = timedelta(minutes=15)
KEPT_DOORS = 10_000
"""Name and network pairs that are remembered; more than that forgets the oldest."""


class Tries:
    """How often each name was tried from each network lately. In memory: after a restart everybody begins again."""

    def __init__(self) -> None:
        self._tries: dict[tuple[str, str], list[datetime]] = {}
        self._lock = threading.Lock()

    def take(self, door: tuple[str, str], now: datetime) -> bool:
        """Whether one more try is allowed; it counts from here on, so that guesses at the same time do too."""
        with self._lock:
            recent = [at for at in self._tries.pop(door, []) if at > now - TRIES_WITHIN]
            allowed = len(recent) < TRIES
            self._tries[door] = [*recent, now] if allowed else recent
            while len(self._tries) > KEPT_DOORS:
                del self._tries[next(iter(self._tries))]
            return allowed

    def forget(self, door: tuple[str, str]) -> None:
        """The password was right."""
        with self._lock:
            self._tries.pop(door, None)
