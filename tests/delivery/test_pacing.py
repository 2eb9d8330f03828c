"""What a relay may be given is counted in the database, so that nothing forgets it."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mailer.database import Database
from mailer.delivery.pacing import allowance, daily, spend
from mailer.delivery.session import Limits, Relay
from mailer.settings import TlsPolicy

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def relay(name: str = "main", **limits: object) -> Relay:
    return Relay(name=name, host="h", port=25, tls=TlsPolicy.OFF, limits=Limits(**limits))  # type: ignore[arg-type]


def test_without_limits_nothing_is_counted(database: Database) -> None:
    with database.write() as session:
        spend(session, relay(), 10, NOW)
        assert allowance(session, relay(), NOW) is None
        assert allowance(session, relay(per_day=10), NOW) == 10


def test_an_hour_is_the_last_sixty_minutes(database: Database) -> None:
    limited = relay(per_hour=100)
    with database.write() as session:
        spend(session, limited, 70, NOW)
        spend(session, limited, 30, NOW + timedelta(minutes=50))
        assert allowance(session, limited, NOW + timedelta(minutes=55)) == 0
        assert allowance(session, limited, NOW + timedelta(minutes=66)) == 70
        assert allowance(session, limited, NOW + timedelta(minutes=116)) == 100


def test_what_was_given_survives_a_restart_and_is_each_relays_own(database: Database) -> None:
    limited = relay(per_hour=1000, per_day=50)
    with database.write() as session:
        spend(session, limited, 45, NOW)
    with database.write() as session:
        assert allowance(session, limited, NOW + timedelta(hours=23)) == 5
        assert allowance(session, relay("other", per_day=50), NOW) == 50


@pytest.mark.parametrize(("days", "limit"), [(-1, 200), (0, 200), (1, 400), (3, 1600), (9, 100_000), (40, 100_000)])
def test_a_new_address_gets_twice_as_much_each_day(days: int, limit: int) -> None:
    limits = Limits(per_day=100_000, warm_up_from=NOW.date())
    assert daily(limits, NOW + timedelta(days=days)) == limit


def test_a_warm_up_without_a_limit_ends() -> None:
    limits = Limits(warm_up_from=date(2026, 1, 1))
    assert daily(limits, NOW) is None
