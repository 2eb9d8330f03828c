"""Counting who asks how often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlmodel import select

from mailer.database import Database
from mailer.subscribers import limits
from mailer.subscribers.limits import Measure
from mailer.tables import Counted

NOW = datetime(2026, 11, 20, 9, 40, tzinfo=UTC)
MEASURED = {Measure.NETWORK: "203.0.113.0/24", Measure.DOMAIN: "example.org", Measure.ADDRESS: "a hash"}
KEY = "the key of the hashes"


def count(database: Database, measured: dict[Measure, str] = MEASURED, now: datetime = NOW) -> dict[Measure, int]:
    with database.write() as session:
        return limits.count(session, measured, KEY, now)


def test_several_at_once_are_each_counted_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as threads:
        counted = list(threads.map(lambda _: count(database), range(24)))
    for measure in MEASURED:
        assert sorted(each[measure] for each in counted) == list(range(1, 25))


def test_what_was_not_counted_was_seen_never(database: Database) -> None:
    count(database)
    with database.read() as session:
        seen = limits.seen(session, {**MEASURED, Measure.EVERYBODY: ""}, KEY, NOW)
    assert seen == {Measure.NETWORK: 1, Measure.DOMAIN: 1, Measure.ADDRESS: 1, Measure.EVERYBODY: 0}


def test_an_hour_begins_again_and_a_day_goes_on(database: Database) -> None:
    count(database)
    assert limits.window_end(Measure.NETWORK, NOW) == NOW + timedelta(minutes=20)
    later = count(database, now=NOW + timedelta(minutes=20))
    assert later == {Measure.NETWORK: 1, Measure.DOMAIN: 1, Measure.ADDRESS: 2}


def test_the_same_value_of_two_measures_is_counted_apart(database: Database) -> None:
    count(database, {Measure.NETWORK: "x"})
    assert count(database, {Measure.DOMAIN: "x"}) == {Measure.DOMAIN: 1}


def test_a_proof_is_counted_across_every_window(database: Database) -> None:
    proof = {Measure.PROOF: "a nonce"}
    assert [count(database, proof, NOW + timedelta(hours=hours))[Measure.PROOF] for hours in range(3)] == [1, 2, 3]


def test_a_count_without_what_is_counted_writes_nothing(database: Database) -> None:
    assert count(database, {}) == {}
    with database.read() as session:
        assert session.exec(select(Counted)).all() == []
