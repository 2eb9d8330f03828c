"""The weekly slot, on both sides of daylight saving and by the weekday numbers of cron(5)."""

import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.issues.calendar import SlotError, next_slot

MINSK, WARSAW = "Europe/Minsk", "Europe/Warsaw"


def local(time_zone: str, *when: int) -> datetime:
    return datetime(*when, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)  # type: ignore[arg-type, misc]


def test_the_next_monday_at_nine_in_minsk() -> None:
    now = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    assert next_slot("0 9 * * mon", MINSK, now) == datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def test_the_slot_is_strictly_after_now() -> None:
    slot = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
    assert next_slot("0 9 * * mon", MINSK, slot) == slot + timedelta(weeks=1)
    assert next_slot("0 9 * * mon", MINSK, slot - timedelta(microseconds=1)) == slot


def test_minsk_keeps_its_hour_all_year() -> None:
    for month in (3, 4, 10, 11):
        assert next_slot("0 9 * * mon", MINSK, datetime(2026, month, 20, tzinfo=UTC)).hour == 6


def test_warsaw_keeps_its_wall_clock_through_both_changes() -> None:
    before, after = datetime(2026, 3, 23, 12, tzinfo=UTC), datetime(2026, 10, 19, 12, tzinfo=UTC)
    assert next_slot("0 9 * * 1", WARSAW, before) == datetime(2026, 3, 30, 7, 0, tzinfo=UTC)
    assert next_slot("0 9 * * 1", WARSAW, after) == datetime(2026, 10, 26, 8, 0, tzinfo=UTC)
    assert next_slot("0 9 * * 1", WARSAW, before - timedelta(weeks=1)).hour == 8


def test_a_time_that_the_clock_skips_comes_right_after_the_gap() -> None:
    in_the_night = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)
    slot = next_slot("30 2 * * sun", WARSAW, in_the_night)  # 02:30 does not exist on 2026-03-29
    assert slot == local(WARSAW, 2026, 3, 29, 3, 30)
    assert next_slot("30 2 * * sun", WARSAW, slot - timedelta(minutes=20)) == slot
    assert next_slot("30 2 * * sun", WARSAW, slot) == local(WARSAW, 2026, 4, 5, 2, 30)


def test_a_time_that_the_clock_shows_twice_counts_once() -> None:
    slot = next_slot("30 2 * * sun", WARSAW, datetime(2026, 10, 24, 22, 0, tzinfo=UTC))
    assert slot == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # the first 02:30, still in summer time
    assert next_slot("30 2 * * sun", WARSAW, slot) == datetime(2026, 11, 1, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", ["Sun"]),
        ("7", ["Sun"]),
        ("1", ["Mon"]),
        ("6", ["Sat"]),
        ("1-5", ["Mon", "Tue", "Wed", "Thu", "Fri"]),
        ("5-7", ["Fri", "Sat", "Sun"]),
        ("fri-sun", ["Fri", "Sat", "Sun"]),
        ("0,3", ["Sun", "Wed"]),
        ("*/2", ["Sun", "Tue", "Thu", "Sat"]),
        ("1-5/2", ["Mon", "Wed", "Fri"]),
        ("MON", ["Mon"]),
        ("*", ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
    ],
)
def test_weekday_numbers_mean_what_cron_means(field: str, days: list[str]) -> None:
    now, found = datetime(2026, 11, 22, 23, 0, tzinfo=UTC), list[str]()  # a Sunday night
    while (now := next_slot(f"0 9 * * {field}", "UTC", now)) < datetime(2026, 11, 30, tzinfo=UTC):
        found.append(f"{now:%a}")
    assert sorted(found) == sorted(days)


@pytest.mark.parametrize(
    "cron",
    ["", "0 9 * *", "61 9 * * 1", "0 9 * * 8", "0 9 * * someday", "0 9 * * 5-2", "0 9 * * */0", "a b c d e"],
)
def test_a_senseless_rule_is_named(cron: str) -> None:
    with pytest.raises(SlotError) as caught:
        next_slot(cron, MINSK, datetime(2026, 11, 20, tzinfo=UTC))
    assert repr(cron) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_day_that_never_comes_is_named() -> None:
    with pytest.raises(SlotError, match="30 2"):
        next_slot("0 0 30 2 *", MINSK, datetime(2026, 11, 20, tzinfo=UTC))


def test_a_rule_with_days_and_weekdays_is_refused_because_cron_would_take_either() -> None:
    with pytest.raises(SlotError, match="both"):
        next_slot("0 9 1 * 1", MINSK, datetime(2026, 11, 20, tzinfo=UTC))


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "Europe", "a\x00b"])
def test_an_unknown_time_zone_is_named(zone: str) -> None:
    with pytest.raises(SlotError, match="time zone"):
        next_slot("0 9 * * mon", zone, datetime(2026, 11, 20, tzinfo=UTC))


@given(st.text(max_size=30), st.text(max_size=20))
def test_no_text_brings_a_traceback(cron: str, zone: str) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    for rule, place in ((cron, MINSK), ("0 9 * * mon", zone), (f"0 9 * * {cron}", MINSK)):
        with contextlib.suppress(SlotError):
            assert next_slot(rule, place, now) > now


@given(
    st.integers(0, 10 * 366 * 24 * 60).map(
        lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.sampled_from([MINSK, WARSAW, "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(0, 7),
)
def test_the_slot_comes_within_a_week_and_reads_as_it_was_asked_for(
    now: datetime, zone: str, minute: int, hour: int, day: int
) -> None:
    slot = next_slot(f"{minute} {hour} * * {day}", zone, now)
    wall = slot.astimezone(ZoneInfo(zone))
    assert now < slot <= now + timedelta(days=7, hours=2)
    assert wall.isoweekday() % 7 == day % 7
    # In a gap the clock shows later than was asked for, by what is skipped; everywhere else exactly that.
    assert (
        timedelta(0)
        <= wall.replace(tzinfo=None) - wall.replace(hour=hour, minute=minute, tzinfo=None)
        <= timedelta(hours=1)
    )
