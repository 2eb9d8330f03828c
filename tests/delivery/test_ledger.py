"""One row decides: what is due is claimed once, what is answered is recorded once, what is not known is not guessed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from mailer.database import Database
from mailer.delivery import automatic, ledger, workers
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.reply import ACTIONS, Reply, Stage, meaning
from mailer.delivery.states import AttemptOutcome, DeliveryStatus, IllegalTransition
from mailer.issues.states import IssueStatus
from mailer.subscribers.optin import Owed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Attempt,
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Issue,
    Publication,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
    UncertainPolicy,
)
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe

ACCEPTED = Reply(Stage.DOT, 250, "2.0.0 Ok")
LATER = Reply(Stage.RCPT, 450, "4.3.0 Later")
UNKNOWN_USER = Reply(Stage.RCPT, 550, "5.1.1 User unknown")
SILENCE = Reply(Stage.DOT, None, "Connection lost")
RELAY_DOWN = Reply(Stage.MAIL, None, "Connection lost")


@pytest.fixture
def claim(database: Database, clock: HandedClock, worker_id: int) -> Callable[..., list[Claim]]:
    def act(limit: int = 100) -> list[Claim]:
        with database.write() as session:
            return ledger.claim(session, worker_id=worker_id, relay="relay", limit=limit, now=clock())

    return act


@pytest.fixture
def answer(database: Database, clock: HandedClock) -> Callable[..., None]:
    def act(reply: Reply, *claims: Claim) -> None:
        with database.write() as session:
            answers = [
                Answer(claim=each, reply=reply, action=ACTIONS[meaning(reply)], relay="relay", at=clock())
                for each in claims
            ]
            ledger.record(session, answers)

    return act


def statuses(database: Database) -> list[str]:
    with database.read() as session:
        return [str(status) for status in session.exec(select(Delivery.status).order_by(col(Delivery.id)))]


def attempts(database: Database) -> list[tuple[int, AttemptOutcome | None]]:
    with database.read() as session:
        return [(row.number, row.outcome) for row in session.exec(select(Attempt).order_by(col(Attempt.id)))]


Claiming = Callable[..., list[Claim]]
Answering = Callable[..., None]
GoingOut = Callable[[], int]


def test_every_confirmed_subscription_gets_one_delivery_in_its_edition(
    database: Database, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe("a@example.org", "b@example.net")
    subscribe("c@example.org", edition="be-ru")
    subscribe("d@example.org", status=SubscriptionStatus.PENDING)
    subscribe("e@example.org", status=SubscriptionStatus.UNSUBSCRIBED)
    going_out()
    with database.read() as session:
        rows = session.exec(select(Delivery).order_by(col(Delivery.id))).all()
    assert [row.destination for row in rows] == ["example.org", "example.net", "example.org"]
    assert len({row.message_id for row in rows}) == 2
    assert {row.status for row in rows} == {DeliveryStatus.QUEUED}


def test_enqueuing_again_adds_nobody_twice(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe("a@example.org")
    issue_id = going_out()
    subscribe("late@example.org")
    with database.write() as session:
        issue = session.get_one(Issue, issue_id)
        messages = {row.edition_id: row.message_id or 0 for row in session.exec(select(Delivery)) if row.message_id}
        assert ledger.enqueue_issue(session, issue, messages, clock()) == 1
        assert ledger.enqueue_issue(session, issue, messages, clock()) == 0
    assert len(statuses(database)) == 2


def test_a_claim_is_an_attempt_on_disk_and_is_given_once(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming
) -> None:
    subscribe("a@example.org", "b@example.org", "c@example.org")
    going_out()
    first, second, third = claim(2), claim(2), claim(2)
    assert [len(first), len(second), len(third)] == [2, 1, 0]
    assert {each.address for each in first + second} == {"a@example.org", "b@example.org", "c@example.org"}
    assert attempts(database) == [(1, None)] * 3
    assert statuses(database) == ["sending"] * 3


def test_who_left_a_second_ago_gets_nothing(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming
) -> None:
    left, stays = subscribe("left@example.org", "stays@example.org")
    going_out()
    with database.write() as session:
        session.get_one(Subscription, left).status = SubscriptionStatus.UNSUBSCRIBED
    assert [each.subscription_id for each in claim()] == [stays]
    assert statuses(database) == ["withdrawn", "sending"]


def test_a_paused_reader_gets_nothing_and_nothing_later(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, clock: HandedClock
) -> None:
    pauses, back = subscribe("pauses@example.org", "back@example.org")
    with database.write() as session:
        session.get_one(Subscription, pauses).paused_until = clock() + timedelta(seconds=1)
        session.get_one(Subscription, back).paused_until = clock()  # over at this very moment
    going_out()
    clock.pass_(days=1)
    assert [each.subscription_id for each in claim()] == [back]
    assert statuses(database) == ["sending"]


@pytest.mark.parametrize(("seconds", "gets_it"), [(1, False), (0, True), (-1, True)])
def test_a_pause_that_began_a_second_ago_counts_and_one_that_is_over_does_not(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    clock: HandedClock,
    seconds: int,
    gets_it: bool,
) -> None:
    (reader,) = subscribe("a@example.org")
    going_out()
    with database.write() as session:
        session.get_one(Subscription, reader).paused_until = clock() + timedelta(seconds=seconds)
    assert bool(claim()) is gets_it
    assert statuses(database) == ["sending" if gets_it else "withdrawn"]


def test_letters_that_answer_a_reader_come_in_a_pause_too(
    database: Database, subscribe: Subscribe, claim: Claiming, clock: HandedClock
) -> None:
    (reader,) = subscribe("a@example.org")
    with database.write() as session:
        subscription = session.get_one(Subscription, reader)
        subscription.paused_until = clock() + timedelta(days=1)
        consent = Consent(
            subscription_id=reader,
            event=ConsentEvent.CONFIRMED,
            at=clock(),
            wording="",
            language="en",
            source="test",
            network="",
        )
        session.add(consent)
        session.flush()
        assert consent.id is not None
        subscriber = session.get_one(Subscriber, subscription.subscriber_id)
        assert subscription.id is not None
        kind = DeliveryKind.WELCOME
        owed = Owed(kind, subscription.id, subscription.edition_id, subscriber.domain, consent.id)
        automatic.queue(session, owed, clock())
    assert len(claim()) == 1


def test_what_may_have_arrived_does_not_follow_a_reader_to_another_address(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, answer: Answering
) -> None:
    old, deferred, waiting = subscribe("a@example.org", "b@example.org", "c@example.org")
    issue = going_out()
    first, second = claim(2)
    answer(SILENCE, first)
    answer(LATER, second)
    new, other, third = subscribe("a@example.net", "b@example.net", "c@example.net")
    with database.write() as session:
        ledger.follow(session, [(old, new), (deferred, other), (waiting, third)], "example.net")
    with database.read() as session:
        rows = session.exec(select(Delivery).where(Delivery.issue_id == issue).order_by(col(Delivery.id))).all()
    assert [(row.subscription_id, row.destination) for row in rows] == [
        (old, "example.org"),
        (other, "example.net"),
        (third, "example.net"),
    ]


def test_who_was_suppressed_meanwhile_gets_nothing(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, clock: HandedClock
) -> None:
    subscribe("a@example.org")
    going_out()
    with database.write() as session:
        session.add(
            Suppression(
                address_hash="hash of a@example.org",
                reason=SuppressionReason.OPERATOR,
                added_at=clock(),
                added_by="operator",
            )
        )
    assert claim() == []
    assert statuses(database) == ["withdrawn"]


def test_who_was_erased_meanwhile_gets_nothing_and_the_row_stays(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming
) -> None:
    subscribe("a@example.org")
    going_out()
    with database.write() as session:
        session.delete(session.exec(select(Subscriber)).one())
    assert claim() == []
    assert statuses(database) == ["withdrawn"]


def test_a_suppressed_address_is_not_enqueued(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock, publication: Publication
) -> None:
    subscribe("everywhere@example.org", "here@example.org", "lifted@example.org")
    with database.write() as session:
        for address, publication_id, lifted_at in (
            ("everywhere@example.org", None, None),
            ("here@example.org", publication.id, None),
            ("lifted@example.org", None, clock()),
        ):
            session.add(
                Suppression(
                    address_hash=f"hash of {address}",
                    publication_id=publication_id,
                    reason=SuppressionReason.COMPLAINT,
                    added_at=clock(),
                    added_by="x",
                    lifted_at=lifted_at,
                )
            )
    going_out()
    assert len(statuses(database)) == 1


def test_a_paused_issue_is_not_claimed(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming
) -> None:
    subscribe("a@example.org")
    issue_id = going_out()
    with database.write() as session:
        session.get_one(Issue, issue_id).status = IssueStatus.PAUSED
    assert claim() == []
    assert statuses(database) == ["queued"]


def test_automatic_mail_goes_before_the_issue(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, clock: HandedClock
) -> None:
    subscribe("a@example.org", "b@example.org")
    going_out()
    clock.pass_(seconds=1)
    (waiting,) = subscribe("new@example.org", status=SubscriptionStatus.PENDING)
    with database.write() as session:
        consent = Consent(
            subscription_id=waiting,
            event=ConsentEvent.REQUESTED,
            at=clock(),
            wording="w",
            language="en",
            source="form",
            network="",
        )
        session.add(consent)
        session.flush()
        subscription = session.get_one(Subscription, waiting)
        assert consent.id is not None
        subscriber = session.get_one(Subscriber, subscription.subscriber_id)
        kind = DeliveryKind.CONFIRMATION
        owed = Owed(kind, waiting, subscription.edition_id, subscriber.domain, consent.id)
        automatic.queue(session, owed, clock())
    (first,) = claim(1)
    assert (first.kind, first.address, first.message_id) == (DeliveryKind.CONFIRMATION, "new@example.org", None)


def test_answers_move_deliveries_and_close_attempts(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, answer: Answering
) -> None:
    subscribe("a@example.org", "b@example.org", "c@example.org")
    going_out()
    first, second, third = claim()
    answer(ACCEPTED, first)
    answer(UNKNOWN_USER, second)
    answer(LATER, third)
    assert statuses(database) == ["accepted", "refused", "deferred"]
    with database.read() as session:
        row = session.exec(select(Attempt).where(Attempt.delivery_id == second.delivery_id)).one()
    assert (row.code, row.enhanced, row.reply, row.stage) == (550, "5.1.1", "5.1.1 User unknown", "rcpt")


def test_a_deferred_delivery_is_due_again_later(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org")
    going_out()
    answer(LATER, *claim())
    assert claim() == []
    clock.pass_(minutes=6)
    (again,) = claim()
    assert again.number == 2


def test_a_delivery_that_is_refused_for_now_for_days_is_refused(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org")
    going_out()
    tries = 0
    while statuses(database) != ["refused"]:
        clock.pass_(hours=10)
        answer(LATER, *claim())
        tries += 1
    assert 5 <= tries <= 10


def test_an_issue_that_waited_for_days_has_its_full_patience(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org")
    going_out()
    clock.pass_(days=4)  # paused, or the relay was away
    answer(LATER, *claim())
    assert statuses(database) == ["deferred"]


@pytest.mark.parametrize(("again", "after"), [(True, "queued"), (False, "refused")])
def test_the_operator_settles_what_is_held(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    publication: Publication,
    clock: HandedClock,
    again: bool,
    after: str,
) -> None:
    with database.write() as session:
        session.get_one(Publication, publication.id).uncertain_policy = UncertainPolicy.HOLD
    subscribe("a@example.org")
    issue_id = going_out()
    answer(SILENCE, *claim())
    with database.write() as session:
        assert ledger.withdraw_issue(session, issue_id, clock()) == 0  # what may have arrived is not called withdrawn
        assert ledger.settle_uncertain(session, issue_id, clock(), again=again) == 1
    assert statuses(database) == [after]


def test_what_the_relay_turned_away_unsent_goes_back_at_once_and_is_no_fault_of_the_reader(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, answer: Answering
) -> None:
    subscribe("a@example.org")
    going_out()
    answer(RELAY_DOWN, *claim())
    assert statuses(database) == ["queued"]
    (again,) = claim()
    assert again.number == 2
    assert attempts(database) == [(1, AttemptOutcome.UNSENT), (2, None)]


def test_silence_after_the_last_octet_is_uncertain_and_goes_out_again(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org")
    going_out()
    answer(SILENCE, *claim())
    assert statuses(database) == ["queued"]
    assert attempts(database) == [(1, AttemptOutcome.UNCERTAIN)]
    clock.pass_(minutes=2)
    answer(ACCEPTED, *claim())
    assert statuses(database) == ["accepted"]


def test_a_publication_can_hold_what_is_uncertain(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    publication: Publication,
) -> None:
    with database.write() as session:
        session.get_one(Publication, publication.id).uncertain_policy = UncertainPolicy.HOLD
    subscribe("a@example.org")
    going_out()
    answer(SILENCE, *claim())
    assert statuses(database) == ["uncertain"]
    assert claim() == []


def test_a_relay_that_never_answers_does_not_get_the_same_mail_for_ever(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org")
    going_out()
    for _ in range(ledger.MAY_RESEND):
        answer(SILENCE, *claim())
        clock.pass_(minutes=2)
    assert statuses(database) == ["uncertain"]
    assert claim() == []


def test_exactly_what_a_dead_worker_left_open_becomes_uncertain(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(10)))
    going_out()
    answer(ACCEPTED, *claim(4))
    open_ones = claim(3)
    with database.write() as session:
        workers.register(session, clock(), alone=True)
    with database.read() as session:
        uncertain = session.exec(select(Attempt.delivery_id).where(Attempt.outcome == AttemptOutcome.UNCERTAIN)).all()
    assert sorted(uncertain) == sorted(each.delivery_id for each in open_ones)
    assert sorted(statuses(database)) == ["accepted"] * 4 + ["queued"] * 6


def test_a_living_worker_keeps_what_it_holds(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, clock: HandedClock, worker_id: int
) -> None:
    subscribe("a@example.org")
    going_out()
    claim()
    with database.write() as session:
        assert workers.take_over(session, clock()) == 0
    clock.pass_(seconds=50)
    with database.write() as session:
        assert workers.renew(session, worker_id, clock())
    clock.pass_(seconds=50)
    with database.write() as session:
        assert workers.take_over(session, clock()) == 0
    clock.pass_(seconds=61)
    with database.write() as session:
        assert workers.take_over(session, clock()) == 1
        assert not workers.renew(session, worker_id, clock())


@pytest.mark.parametrize("reply", [ACCEPTED, LATER, UNKNOWN_USER, SILENCE])
def test_an_answer_to_what_was_not_claimed_raises_and_changes_nothing(
    database: Database, subscribe: Subscribe, going_out: GoingOut, claim: Claiming, answer: Answering, reply: Reply
) -> None:
    subscribe("a@example.org", "b@example.org")
    going_out()
    first, second = claim()
    answer(ACCEPTED, first)
    before = statuses(database), attempts(database)
    with pytest.raises(IllegalTransition):
        answer(reply, second, first)
    assert (statuses(database), attempts(database)) == before


def test_a_cancelled_issue_withdraws_what_has_not_started(
    database: Database,
    subscribe: Subscribe,
    going_out: GoingOut,
    claim: Claiming,
    answer: Answering,
    clock: HandedClock,
) -> None:
    subscribe("a@example.org", "b@example.org", "c@example.org")
    issue_id = going_out()
    first, second = claim(2)
    answer(ACCEPTED, first)
    with database.write() as session:
        assert ledger.withdraw_issue(session, issue_id, clock()) == 1
    answer(ACCEPTED, second)  # it was on the wire
    assert statuses(database) == ["accepted", "accepted", "withdrawn"]
    with database.read() as session:
        assert ledger.is_finished(session, issue_id)


@pytest.mark.postgresql
def test_postgresql_knows_at_once_how_many_are_due(
    database: Database, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(20)))
    going_out()
    with database.read() as session:
        known = "SELECT reltuples FROM pg_class WHERE relname = 'delivery'"
        assert session.connection().exec_driver_sql(known).scalar() == 20


@pytest.mark.sqlite
def test_a_claim_walks_an_index_and_not_the_table(
    database: Database, clock: HandedClock, worker_id: int, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe("a@example.org")
    going_out()
    said = list[str]()
    with database.write() as session:
        connection = session.connection()
        driver: Any = connection.connection.driver_connection
        driver.set_trace_callback(said.append)
        ledger.claim(session, worker_id=worker_id, relay="relay", limit=5, now=clock())
        driver.set_trace_callback(None)
        selecting = [sql for sql in said if sql.startswith("SELECT delivery.id, delivery.attempts")]
        plans = [
            "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")) for sql in selecting
        ]
    assert len(plans) >= 2
    for plan in plans:
        assert "ix_delivery_issue_id_due_at" in plan
        assert "SCAN delivery" not in plan
