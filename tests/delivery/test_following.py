"""A reader goes on at another address, or back, at the moment at which the issue is on its way to the former one."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from mailer.database import Database
from mailer.delivery import ledger
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.delivery.states import DeliveryStatus
from mailer.inbound.incoming import Effect, Kind
from mailer.subscribers import moving
from mailer.subscribers.address import hash, parse
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Arrival, Attempt, Delivery, Subscription
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.test_workers import wait_for_a_waiting_transaction

OLD, NEW = "anna@example.org", "anna@example.net"
IN_VAIN = Reply(Stage.CONNECT, None, "no connection")

Move = Callable[[Session], None]


@pytest.fixture
def move(subscribe: Subscribe, going_out: Callable[[], int]) -> Move:
    """An issue waits for OLD. move(session): its reader goes on at NEW."""
    (old,) = subscribe(OLD)
    going_out()
    (new,) = subscribe(NEW)

    def act(session: Session) -> None:
        left = session.get_one(Subscription, old)
        left.status, left.moved_to_id = SubscriptionStatus.UNSUBSCRIBED, new
        session.flush()
        ledger.follow(session, [(old, new)], "example.net")

    return act


def claimed(database: Database, worker_id: int, clock: HandedClock) -> list[Claim]:
    with database.write() as session:
        return ledger.claim(session, worker_id=worker_id, relay="relay", limit=5, now=clock())


def answered(database: Database, claims: list[Claim], reply: Reply, consequence: Consequence, at: HandedClock) -> None:
    with database.write() as session:
        ledger.record(session, [Answer(each, reply, Action(consequence), "relay", at()) for each in claims])


@pytest.mark.postgresql
def test_a_reader_who_moves_while_the_claim_looks_gets_the_issue_at_the_new_address(
    database: Database, move: Move, worker_id: int, clock: HandedClock
) -> None:
    claims = list[Claim]()
    claiming = threading.Thread(target=lambda: claims.extend(claimed(database, worker_id, clock)))
    with database.engine.begin() as connection:
        connection.exec_driver_sql(_PAUSES)
    with database.engine.connect() as gate:
        gate.exec_driver_sql("SELECT pg_advisory_lock(7)")
        claiming.start()
        wait_for_a_waiting_transaction(
            database, claiming
        )  # it knows what stood there, and has not come to the delivery
        with database.write() as session:
            session.connection().exec_driver_sql("SET LOCAL mailer.goes_on = 'yes'")
            move(session)
        gate.exec_driver_sql("SELECT pg_advisory_unlock(7)")
        claiming.join()
    assert [(each.address, each.destination) for each in claims] == [(NEW, "example.net")]


_PAUSES = """
    CREATE FUNCTION pause() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('mailer.goes_on', true) IS DISTINCT FROM 'yes' THEN
            PERFORM pg_advisory_lock_shared(7);
            PERFORM pg_advisory_unlock_shared(7);
        END IF;
        RETURN true;
    END $$;
    ALTER TABLE edition RENAME TO every_edition;
    CREATE VIEW edition AS SELECT * FROM every_edition WHERE pause();
"""
"""Whoever reads an edition waits at the gate, in the midst of the statement."""


@pytest.mark.parametrize(
    ("reply", "consequence"),
    [
        (Reply(Stage.RCPT, 450, "4.2.0 greylisted <anna@example.org>"), Consequence.DEFER),
        (IN_VAIN, Consequence.RETURN),
    ],
)
def test_a_reader_who_moves_while_the_mail_is_on_its_way_in_vain_gets_it_at_the_new_address(
    database: Database, move: Move, worker_id: int, clock: HandedClock, reply: Reply, consequence: Consequence
) -> None:
    (first,) = claimed(database, worker_id, clock)
    assert first.address == OLD
    with database.write() as session:
        move(session)
        session.add(
            Arrival(
                digest="1",
                arrived_at=clock(),
                road="mailbox",
                recipient=None,
                kind=Kind.BOUNCE,
                effect=Effect.NOTHING,
                reason="",
                delivery_id=first.delivery_id,
                diagnostic=f"no {OLD}",
                reporter=f"mx.{OLD.partition('@')[2]}",
            )
        )
    answered(database, [first], reply, consequence, clock)
    clock.pass_(hours=2)
    (second,) = claimed(database, worker_id, clock)
    assert (second.delivery_id, second.address, second.destination) == (first.delivery_id, NEW, "example.net")
    with database.read() as session:
        assert session.exec(select(Attempt.reply).where(Attempt.number == 1)).one() is None, "it may name the old one"
        assert session.exec(select(Arrival.diagnostic, Arrival.reporter)).one() == (None, None)


def test_what_may_have_arrived_at_the_old_address_does_not_go_to_the_new_one_too(
    database: Database, move: Move, worker_id: int, clock: HandedClock
) -> None:
    claims = claimed(database, worker_id, clock)
    with database.write() as session:
        move(session)
    answered(database, claims, Reply(Stage.DOT, None, "connection lost"), Consequence.LOSE_TRACK, clock)
    clock.pass_(hours=2)
    assert claimed(database, worker_id, clock) == []
    with database.read() as session:
        assert session.exec(select(Delivery.status)).one() is DeliveryStatus.WITHDRAWN


def test_who_has_the_issue_at_the_new_address_gets_no_second_one(
    database: Database, subscribe: Subscribe, going_out: Callable[[], int], worker_id: int, clock: HandedClock
) -> None:
    old, new = subscribe(OLD, NEW)
    going_out()
    with database.write() as session:
        left = session.get_one(Subscription, old)
        left.status, left.moved_to_id = SubscriptionStatus.UNSUBSCRIBED, new
    assert [each.address for each in claimed(database, worker_id, clock)] == [NEW]
    with database.read() as session:
        withdrawn = select(Delivery.subscription_id).where(Delivery.status == DeliveryStatus.WITHDRAWN)
        assert session.exec(withdrawn).all() == [old]


@pytest.mark.parametrize(("changes", "taken_back"), [(1, [0]), (2, [0]), (2, [1, 0])])
def test_a_change_taken_back_while_the_mail_is_on_its_way_in_vain_loses_no_issue(
    database: Database,
    subscribe: Subscribe,
    going_out: Callable[[], int],
    worker_id: int,
    clock: HandedClock,
    changes: int,
    taken_back: list[int],
) -> None:
    (old,) = subscribe(OLD)
    going_out()
    reading, back = old, list[int]()
    for number in range(changes):
        with database.write() as session:
            reading, left = changed(session, reading, f"anna@new-{number}.example", clock)
        back.append(left)
        clock.pass_(hours=1)
    (first,) = claimed(database, worker_id, clock)
    assert first.subscription_id == reading != old
    for number in taken_back:
        clock.pass_(minutes=1)
        with database.write() as session:
            taken = moving.take_back(session, back[number], wording="", network="", now=clock())
            assert taken.outcome is moving.Move.DONE
            ledger.follow(session, taken.pairs, taken.domain)
    answered(database, [first], IN_VAIN, Consequence.RETURN, clock)
    clock.pass_(hours=2)
    (second,) = claimed(database, worker_id, clock)
    assert (second.delivery_id, second.subscription_id, second.address) == (first.delivery_id, old, OLD)
    assert second.destination == "example.org"


def test_who_moves_twice_while_the_mail_is_on_its_way_in_vain_gets_it_at_the_last_address(
    database: Database, subscribe: Subscribe, going_out: Callable[[], int], worker_id: int, clock: HandedClock
) -> None:
    (reading,) = subscribe(OLD)
    going_out()
    (first,) = claimed(database, worker_id, clock)
    for number in range(2):
        with database.write() as session:
            reading, _ = changed(session, reading, f"anna@new-{number}.example", clock)
        clock.pass_(hours=1)
    answered(database, [first], IN_VAIN, Consequence.RETURN, clock)
    clock.pass_(hours=2)
    (second,) = claimed(database, worker_id, clock)
    assert (second.delivery_id, second.address) == (first.delivery_id, "anna@new-1.example")


def test_a_change_taken_back_says_nothing_of_another_reader_who_moves_to_the_same_address(
    database: Database, subscribe: Subscribe, going_out: Callable[[], int], worker_id: int, clock: HandedClock
) -> None:
    first_reader, second_reader = subscribe("one@example.org", "two@example.org")
    with database.write() as session:
        shared, left = changed(session, first_reader, NEW, clock)
    clock.pass_(hours=1)
    with database.write() as session:
        moving.take_back(session, left, wording="", network="", now=clock())
        session.get_one(Subscription, first_reader).paused_until = clock() + timedelta(days=30)
    clock.pass_(hours=1)
    going_out()
    with database.write() as session:
        again, left = changed(session, second_reader, NEW, clock)
    assert again == shared
    (sent,) = claimed(database, worker_id, clock)
    assert sent.address == NEW
    with database.write() as session:
        taken = moving.take_back(session, left, wording="", network="", now=clock())
        ledger.follow(session, taken.pairs, taken.domain)
    answered(database, [sent], IN_VAIN, Consequence.RETURN, clock)
    clock.pass_(hours=2)
    (back,) = claimed(database, worker_id, clock)
    assert (back.delivery_id, back.address) == (sent.delivery_id, "two@example.org")


def changed(session: Session, subscription: int, to: str, clock: HandedClock) -> tuple[int, int]:
    """The reader goes on at `to`. Returns the subscription there, and what takes it back."""
    said: dict[str, Any] = {"wording": "", "network": "", "now": clock()}
    address = parse(to)
    asked = moving.ask(session, subscription, address, hash(address, "key"), window=timedelta(minutes=15), **said)
    assert asked.owed is not None
    assert asked.owed.consent_id is not None
    moved = moving.confirm(session, asked.owed.consent_id, language="en", **said)
    assert moved.owed is not None
    assert moved.owed.consent_id is not None
    ledger.follow(session, moved.pairs, moved.domain)
    return asked.owed.subscription_id, moved.owed.consent_id
