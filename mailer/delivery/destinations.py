"""Receiving domains that want to be spared: those the operator names, and those that say so while we send.

A destination that throttles us (421, 4.7.x: Meaning.REPUTATION) is left alone for a minute, twice as long each time
it says so again, then gets half of what it got before, and a quarter more every minute that it is content. Its
deliveries are not tried in vain meanwhile: each gets a moment in the ledger at which to ask again, and the others go
on. Whoever asks when there is room leaves, so nobody's turn is lost by asking.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from mailer.delivery.reply import Meaning, Reply, asked_to_wait, meaning

log = logging.getLogger(__name__)

HORIZON = timedelta(minutes=5)
"""Nobody is put off further: the rate may have recovered by then."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_SPAN = timedelta(minutes=1)
_SLOWEST = 0.1  # messages a second
_RECOVERED = 4.0  # times the rate at which it throttled us: nothing is left of the slow-down


class _Pace:
    """One destination. `rate` in messages a second; None: as many as there are."""

    def __init__(self, limit: float | None, now: datetime) -> None:
        self.limit = self.rate = limit
        self.room = 1.0  # mails that may leave now
        self.filled_at = now
        self.closed_until = now
        self.next_at = now  # when the next that is put off asks again
        self.pause: timedelta | None = None
        self.recovers_at = now
        self.throttled_rate = 0.0

    def departure(self, now: datetime) -> datetime:
        """Now, if there is room; else when to ask again."""
        self._recover(now)
        if self.rate is None and now >= self.closed_until:
            return now
        rate = self.rate or _SLOWEST
        if now >= self.closed_until:
            passed = max((now - max(self.filled_at, self.closed_until)).total_seconds(), 0.0)
            self.room = min(self.room + passed * rate, max(rate, 1.0))
            self.filled_at = now
            if self.room >= 1:
                self.room -= 1
                return now
        self.next_at = max(self.next_at, self.closed_until, now) + timedelta(seconds=1 / rate)
        return min(self.next_at, max(now, self.closed_until) + HORIZON)

    def throttled(self, rate: float, asked: timedelta | None, now: datetime) -> bool:
        """It said that we are too fast at this rate. Returns whether that was news: mails under way hear it too."""
        if now < self.closed_until:
            return False
        self.throttled_rate = max(rate, _SLOWEST)
        self.rate = max(self.throttled_rate / 2, _SLOWEST)
        self.pause = min(max(asked or timedelta(), self.pause * 2 if self.pause else _FIRST_PAUSE), _LONGEST_PAUSE)
        self.closed_until = now + self.pause
        self.recovers_at = self.closed_until + _SPAN
        self.room = 1.0
        return True

    def _recover(self, now: datetime) -> None:
        while self.pause and self.rate and now >= self.recovers_at:
            self.rate *= 1.25
            self.recovers_at += _SPAN
            if self.rate >= (self.limit or self.throttled_rate * _RECOVERED):
                self.rate, self.pause = self.limit, None


class Destinations:
    """The pace of every receiving domain that has one. Belongs to one sender; used in its ledger thread only."""

    def __init__(self, limits: Mapping[str, float]) -> None:
        self._limits = limits
        self._paces = dict[str, _Pace]()
        self._departed, self._before = Counter[str](), Counter[str]()  # in this span, and in the one before
        self._span_began: datetime | None = None

    def departure(self, destination: str, now: datetime) -> datetime | None:
        """When this mail may leave, or ask again; None: now."""
        pace = self._paces.get(destination)
        if pace is None and destination in self._limits:
            pace = self._paces[destination] = _Pace(self._limits[destination], now)
        at = pace.departure(now) if pace else now
        if at > now:
            return at
        self._count(destination, now)
        return None

    def heard(self, destination: str, reply: Reply, now: datetime) -> None:
        """Looks at an answer for a wish to be spared."""
        if meaning(reply) is not Meaning.REPUTATION:
            return
        pace = self._paces.get(destination)
        if pace is None:
            pace = self._paces[destination] = _Pace(self._limits.get(destination), now)
        if pace.throttled(pace.rate or self._rate(destination, now), asked_to_wait(reply), now):
            log.warning(
                "%s throttles us (%s %s): nothing for it until %s UTC, then at most %.1f messages a second",
                *(destination, reply.code, reply.enhanced or "", f"{pace.closed_until:%H:%M:%S}", pace.rate),
                extra={"action": "destination-slowed"},
            )

    # How fast each went, of late

    def _count(self, destination: str, now: datetime) -> None:
        if self._span_began is None or now - self._span_began >= _SPAN:
            self._before, self._departed, self._span_began = self._departed, Counter(), now
        self._departed[destination] += 1

    def _rate(self, destination: str, now: datetime) -> float:
        if self._span_began is None:
            return 0.0
        seconds = max((now - self._span_began).total_seconds(), 1.0)
        current = self._departed[destination] / seconds
        return max(current, self._before[destination] / _SPAN.total_seconds())
