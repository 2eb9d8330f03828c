"""The weekly slot: a cron rule in the publication's time zone, and the next moment it names."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from mailer.errors import MailerError

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY_PART = re.compile(r"(?:(\*)|(\d|[a-z]{3})(?:-(\d|[a-z]{3}))?)(?:/(\d+))?")


class SlotError(MailerError):
    """The cron rule or the time zone is senseless; the message names it."""


def next_slot(cron: str, time_zone: str, now: datetime) -> datetime:
    """The first moment strictly after `now` that the rule names, in UTC. Raises SlotError.

    The rule is read on the wall clock of `time_zone`. A time that the clock skips is moved to after the gap, by as much
    as is skipped; one that it shows twice counts once, the first time.
    """
    zone, trigger = _zone(time_zone), _trigger(cron)
    # On a clock without gaps, from well before any of them, because a skipped time comes later than it reads.
    wall = now.astimezone(zone).replace(tzinfo=UTC) - timedelta(days=1)
    while True:
        found: datetime | None = trigger.get_next_fire_time(None, wall)
        if found is None:
            raise SlotError(
                f"The cron rule {cron!r} names no day that ever comes. Weekly on Monday at nine: 0 9 * * mon"
            )
        moment = found.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment > now:
            return moment
        wall = found + timedelta(minutes=1)


def _zone(time_zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SlotError(f"There is no time zone {time_zone!r}. Write it as in Europe/Minsk.") from None


@lru_cache
def _trigger(cron: str) -> CronTrigger:
    fields = cron.lower().split()
    mend = "Write five fields, minute hour day month weekday, such as 0 9 * * mon"
    if len(fields) != 5:
        raise SlotError(f"The cron rule {cron!r} has {len(fields)} fields. {mend}")
    if fields[2] != "*" and fields[4] != "*":
        raise SlotError(f"The cron rule {cron!r} names both days and weekdays; cron would take either. Keep one.")
    try:
        return CronTrigger.from_crontab(" ".join([*fields[:4], _weekdays(fields[4])]), timezone=UTC)
    except (ValueError, OverflowError) as error:
        raise SlotError(f"The cron rule {cron!r} is not valid: {error}. {mend}") from None


def _weekdays(field: str) -> str:
    """The field with weekdays by name. cron(5) counts from Sunday as 0 or 7, APScheduler from Monday as 0."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        found = _DAY_PART.fullmatch(part)
        if not found:
            raise ValueError(f"{part!r} is not a weekday")
        star, first, last, step = found.groups()
        start = 0 if star else _weekday(first)
        end = 6 if star else _weekday(last, at_end=True) if last else (6 if step else start)
        if start > end or step == "0":
            raise ValueError(f"{part!r} is empty")
        days.update(day % 7 for day in range(start, end + 1, int(step or 1)))
    return ",".join(_DAYS[day] for day in sorted(days))


def _weekday(word: str, *, at_end: bool = False) -> int:
    if word.isdigit():
        if int(word) > 7:
            raise ValueError(f"there is no weekday {word}")
        return int(word)
    if word not in _DAYS:
        raise ValueError(f"there is no weekday {word!r}")
    return 7 if at_end and word == "sun" else _DAYS.index(word)
