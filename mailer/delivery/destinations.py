"""Receiving domains that want to be spared: those the operator names, and those that say so while we send.

A destination that throttles us (421, 4.7.x: Meaning.REPUTATION) is left alone for a minute, twice as long each time
it says so again, then gets half of what it got before, and a quarter more every minute that it is content. Its
deliveries are not tried in vain meanwhile: each gets the moment of its departure in the ledger, and the others go on.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from mailer.delivery.reply import Meaning, Reply, asked_to_wait, meaning

log = logging.getLogger(__name__)

HORIZON = timedelta(minutes=5)
"""No departure is fixed further ahead: the rate may have recovered by then."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_SPAN = timedelta(seconds=60)
_SLOWEST = 0.1  # messages a second
_RECOVERED = 4.0  # times the rate at which it was still content: nothing is left of the slow-down


class _Pace:
    """One destination. `rate` in messages a second; None: as many as there are."""

    def __init__(self, limit: float | None, now: datetime) -> None:
        self.limit = self.rate = limit
        self.next_at = now
        self.pause: timedelta | None = None
        self.throttled_at = now
        self.recovers_at = now
        self.content_rate = 0.0
        self.since, self.departed = now, 0

    def departure(self, now: datetime) -> datetime:
        """When the next mail may leave; it is given that moment."""
        self._recover(now)
        if now - self.since > _SPAN:
            self.since, self.departed = now, 0
        at = max(self.next_at, now)
        if at - now <= HORIZON and self.rate:
            self.next_at = at + timedelta(seconds=1 / self.rate)
        if at <= now:
            self.departed += 1
        return min(at, now + HORIZON)

    def throttled(self, asked: timedelta | None, now: datetime) -> bool:
        """It said that we are too fast. Returns whether that was news: mails that were under way hear it too."""
        if now < self.next_at and self.pause and now - self.throttled_at < self.pause:
            return False
        seconds = max((now - self.since).total_seconds(), 1.0)
        self.content_rate = self.rate or max(self.departed / seconds, _SLOWEST)
        self.rate = max(self.content_rate / 2, _SLOWEST)
        self.pause = min(max(asked or timedelta(), self.pause * 2 if self.pause else _FIRST_PAUSE), _LONGEST_PAUSE)
        self.throttled_at, self.next_at = now, now + self.pause
        self.recovers_at = self.next_at + _SPAN
        return True

    def _recover(self, now: datetime) -> None:
        while self.pause and self.rate and now >= self.recovers_at:
            self.rate *= 1.25
            self.recovers_at += _SPAN
            if self.rate >= (self.limit or self.content_rate * _RECOVERED):
                self.rate, self.pause = self.limit, None


class Destinations:
    """The pace of every receiving domain that has one. Belongs to one sender; used in its ledger thread only."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._paces = dict[str, _Pace]()

    def departure(self, destination: str, now: datetime) -> datetime | None:
        """When this mail may leave; None: now."""
        pace = self._paces.get(destination)
        if pace is None:
            limit = self._limits.get(destination)
            if limit is None:
                return None
            pace = self._paces[destination] = _Pace(limit, now)
        at = pace.departure(now)
        return at if at > now else None

    def heard(self, destination: str, reply: Reply, now: datetime) -> None:
        """Looks at an answer for a wish to be spared."""
        if meaning(reply) is not Meaning.REPUTATION:
            return
        pace = self._paces.setdefault(destination, _Pace(self._limits.get(destination), now))
        if pace.throttled(asked_to_wait(reply), now):
            log.warning(
                "%s throttles us (%s %s): nothing for it until %s, then at most %.1f messages a second",
                destination,
                reply.code,
                reply.enhanced or "",
                f"{pace.next_at:%H:%M:%S} UTC",
                pace.rate,
                extra={"action": "destination-slowed"},
            )
