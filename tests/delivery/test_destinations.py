"""A receiving domain that wants to be spared is spared, and gets its pace back slowly."""

from datetime import UTC, datetime, timedelta

from mailer.delivery.destinations import HORIZON, Destinations
from mailer.delivery.reply import Reply, Stage

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
THROTTLED = Reply(Stage.RCPT, 421, "4.7.28 Unusual rate of mail")
SECOND = timedelta(seconds=1)


def leave(destinations: Destinations, now: datetime, mails: int) -> list[float]:
    """Seconds from now at which so many mails may leave."""
    moments = [destinations.departure("big.example", now) or now for _ in range(mails)]
    return [(at - now).total_seconds() for at in moments]


def test_who_says_nothing_is_not_held_up() -> None:
    destinations = Destinations({})
    destinations.heard("big.example", Reply(Stage.RCPT, 550, "5.1.1 Unknown"), NOW)
    assert leave(destinations, NOW, 1000) == [0] * 1000


def test_a_limit_is_kept_from_the_start() -> None:
    assert leave(Destinations({"big.example": 2}), NOW, 5) == [0, 0.5, 1, 1.5, 2]


def test_who_asks_again_when_told_to_leaves_at_the_rate_that_is_allowed() -> None:
    """As the ledger does it: each comes back at its moment, in whole seconds, and nobody starves."""
    destinations, waiting, left = Destinations({"big.example": 2}), [NOW] * 100, list[datetime]()
    for second in range(120):
        now = NOW + second * SECOND
        due, waiting = [at for at in waiting if at <= now], [at for at in waiting if at > now]
        for _ in due:
            at = destinations.departure("big.example", now)
            if at:
                waiting.append(at.replace(microsecond=0) + SECOND)
            else:
                left.append(now)
    assert len(left) == 100
    assert max(left) <= NOW + 60 * SECOND
    assert all(left.count(moment) <= 3 for moment in left)


def test_a_domain_that_throttles_us_is_left_alone_and_then_gets_half() -> None:
    destinations = Destinations({"big.example": 10})
    leave(destinations, NOW, 10)
    destinations.heard("big.example", THROTTLED, NOW + SECOND)
    assert leave(destinations, NOW + SECOND, 3) == [60.2, 60.4, 60.6]
    assert destinations.departure("other.example", NOW + SECOND) is None
    at_the_end = NOW + 121 * SECOND
    assert sum(destinations.departure("big.example", at_the_end) is None for _ in range(100)) == 6  # a second's worth


def test_one_without_a_limit_gets_half_of_what_it_got() -> None:
    destinations = Destinations({})
    leave(destinations, NOW, 600)
    destinations.heard("big.example", THROTTLED, NOW + 60 * SECOND)
    after = NOW + 120 * SECOND
    assert leave(destinations, after, 3) == [0, 0.2, 0.4]  # 10 a second before


def test_it_is_left_alone_for_as_long_as_it_asks() -> None:
    destinations = Destinations({})
    destinations.heard("big.example", Reply(Stage.RCPT, 451, "4.7.500 Try again in 4 minutes"), NOW)
    assert all(240 <= seconds <= 250 for seconds in leave(destinations, NOW, 1))


def test_mails_that_were_under_way_do_not_make_it_worse() -> None:
    once, often = Destinations({"big.example": 10}), Destinations({"big.example": 10})
    once.heard("big.example", THROTTLED, NOW)
    for _ in range(16):
        often.heard("big.example", THROTTLED, NOW)
    assert leave(once, NOW, 3) == leave(often, NOW, 3)


def test_said_again_later_it_is_left_alone_twice_as_long() -> None:
    destinations = Destinations({"big.example": 10})
    destinations.heard("big.example", THROTTLED, NOW)
    destinations.heard("big.example", THROTTLED, NOW + 61 * SECOND)
    assert leave(destinations, NOW + 61 * SECOND, 2) == [120.4, 120.8]


def test_it_recovers_slowly_until_nothing_is_left_of_it() -> None:
    destinations = Destinations({"big.example": 10})
    destinations.heard("big.example", THROTTLED, NOW)
    three_minutes = NOW + timedelta(minutes=2)
    at_once = [destinations.departure("big.example", three_minutes) for _ in range(20)].count(None)
    assert at_once == 6  # 5 a second and a quarter more: a second's worth
    later = NOW + timedelta(minutes=30)
    assert [destinations.departure("big.example", later) for _ in range(20)].count(None) == 10


def test_without_a_limit_it_ends_unlimited_again() -> None:
    destinations = Destinations({})
    destinations.heard("big.example", THROTTLED, NOW)
    assert leave(destinations, NOW + timedelta(hours=1), 100) == [0] * 100


def test_no_departure_is_fixed_beyond_the_horizon() -> None:
    moments = leave(Destinations({"big.example": 1}), NOW, 1000)
    assert max(moments) == HORIZON.total_seconds()
