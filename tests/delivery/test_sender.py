"""The one road out, against a real server: nobody is lost, nobody is mailed twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import ledger, workers
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import Answer, returning
from mailer.delivery.ledger.returning import StillSending
from mailer.delivery.relays import Ways
from mailer.delivery.reply import Reply, Stage, action
from mailer.delivery.sender import Sender
from mailer.delivery.session import Relay
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.inbound import reports
from mailer.inbound.incoming import Incoming, Kind
from mailer.issues.states import IssueStatus
from mailer.rendering.decoded import parse
from mailer.settings import TlsPolicy
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Attempt, Delivery, Issue, Subscription, Suppression
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay
from tests.delivery.test_workers import wait_for_a_waiting_transaction

GoingOut = Callable[[], int]


def relay_at(port: int, **changes: object) -> Relay:
    fields: dict[str, object] = {"name": "relay", "host": "127.0.0.1", "port": port, "tls": TlsPolicy.OFF}
    return Relay(**(fields | {"timeout_seconds": 5, "connections": 4} | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def sending(app: App, ways: Relay | Ways) -> AsyncIterator[Sender]:
    """A worker's sender at work; stopped and drained at the end."""
    with app.database.write() as session:
        worker_id = workers.register(session, app.clock(), alone=True)
    sender = Sender(
        database=app.database,
        composer=Composer(app.settings, app.tokens),
        ways=ways if isinstance(ways, Ways) else Ways((ways,)),
        clock=app.clock,
        worker_id=worker_id,
    )
    running = asyncio.create_task(sender.run())
    try:
        yield sender
    finally:
        sender.stop()
        await asyncio.wait_for(running, 20)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for what the other task is about to do; a generous bound instead of a guess."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def later(clock: HandedClock, *, seconds: float) -> bool:
    """Time passes: three refusals in a row look like the relay's trouble, for a moment."""
    clock.pass_(seconds=seconds)
    return False


def count(app: App, status: DeliveryStatus) -> int:
    with app.database.read() as session:
        return len(session.exec(select(Delivery.id).where(Delivery.status == status)).all())


async def test_every_reader_gets_the_issue_of_the_edition_once(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    english = [f"r{number}@example.org" for number in range(30)]
    both = [f"b{number}@example.net" for number in range(20)]
    subscribe(*english)
    subscribe(*both, edition="be-ru")
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 50)
    assert {address: len(mails) for address, mails in scripted.taken.items()} == dict.fromkeys(english + both, 1)
    assert {parse(scripted.taken[each][0])["Subject"] for each in english} == {"Issue en"}
    assert {parse(scripted.taken[each][0])["Subject"] for each in both} == {"Issue be-ru"}
    assert scripted.connections <= 4


async def test_each_mail_carries_its_own_tokens_and_return_path(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscription, _ = subscribe("a@example.org", "b@example.org")
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 2)
    mail, other = parse(scripted.taken["a@example.org"][0]), parse(scripted.taken["b@example.org"][0])
    token = str(mail["List-Unsubscribe"]).strip("<>").rpartition("/")[2]
    assert app.tokens.read(Purpose.UNSUBSCRIBE, token, now=app.clock()) == subscription
    assert token in str(mail.get_body(("plain",)))
    assert mail["Message-ID"] != other["Message-ID"]
    returned = {sender.partition("@")[0].partition("+")[2] for sender in scripted.senders}
    named = {app.tokens.read(Purpose.RETURN_PATH, each, now=app.clock()) for each in returned}
    with app.database.read() as session:
        assert named == set(session.exec(select(Delivery.id)))
    assert all(len(sender.partition("@")[0]) <= 64 for sender in scripted.senders)


async def test_a_domain_in_its_own_script_goes_out_in_ascii(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe("anna@пошта.бел")
    scripted.options = {"enable_SMTPUTF8": False}
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 1)
    ((recipient, (mail,)),) = scripted.taken.items()
    assert recipient == parse(mail)["To"] == "anna@xn--80a1acn3a.xn--90ais"


async def test_a_dead_address_is_suppressed_and_the_others_get_theirs(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    dead, alive = subscribe("dead@example.org", "alive@example.org")
    scripted.at_rcpt = lambda address: "550 5.1.1 User unknown" if address.startswith("dead") else None
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) + count(app, DeliveryStatus.REFUSED) == 2)
    with app.database.read() as session:
        assert session.get_one(Subscription, dead).status is SubscriptionStatus.SUPPRESSED
        assert session.get_one(Subscription, alive).status is SubscriptionStatus.CONFIRMED
        assert [row.note for row in session.exec(select(Suppression))] == ["5.1.1 User unknown"]


@pytest.mark.postgresql
def test_who_records_that_an_address_is_dead_and_who_takes_a_report_about_it_do_not_wait_for_each_other(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, worker_id: int
) -> None:
    (dead,) = subscribe("dead@example.org")
    going_out()
    with app.database.write() as session:
        (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=1, now=app.clock())
    refused = Reply(Stage.RCPT, 550, "5.1.1 User unknown")
    answer = Answer(claim, refused, action(refused), "relay", app.clock())
    ways, composer = Ways((relay_at(scripted.port),)), Composer(app.settings, app.tokens)
    sender = Sender(database=app.database, composer=composer, ways=ways, clock=app.clock, worker_id=worker_id)
    failures = list[Exception]()

    def record() -> None:
        try:
            sender._book([answer], [], False)
        except Exception as error:
            failures.append(error)

    recording = threading.Thread(target=record)
    report = Incoming(kind=Kind.BOUNCE)
    with app.database.write() as session:
        reports.is_about_the_reader(session, session.get_one(Delivery, claim.delivery_id), report)  # locks the reader
        recording.start()
        wait_for_a_waiting_transaction(app.database, recording)
        with pytest.raises(StillSending):
            returning.bounce(session, claim.delivery_id, app.clock())
    recording.join()
    assert failures == []
    with app.database.read() as session:
        assert session.get_one(Subscription, dead).status is SubscriptionStatus.SUPPRESSED


async def test_a_block_costs_no_subscription(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    (reader,) = subscribe("a@example.org")
    scripted.at_rcpt = lambda _: "554 5.7.1 Client host blocked using a list"
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.DEFERRED) == 1)
    with app.database.read() as session:
        assert session.get_one(Subscription, reader).status is SubscriptionStatus.CONFIRMED
        assert session.exec(select(Suppression)).all() == []


async def test_a_greylisted_reader_gets_it_later(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe("a@example.org")
    greylisting = {"a@example.org"}

    def once(address: str) -> str | None:
        if address in greylisting:
            greylisting.discard(address)
            return "450 4.7.1 Greylisted, try again in 60 seconds"
        return None

    scripted.at_rcpt = once
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.DEFERRED) == 1)
        clock.pass_(seconds=80)
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 1)
    assert len(scripted.taken["a@example.org"]) == 1


async def test_a_relay_that_is_away_loses_nobody(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(20)))
    going_out()
    port = scripted.port
    await scripted.stop()
    async with sending(app, relay_at(port)) as sender:
        await until(lambda: sender.is_resting)
        assert count(app, DeliveryStatus.QUEUED) == 20
        await scripted.start(port)
        clock.pass_(minutes=30)
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 20)
    assert {len(mails) for mails in scripted.taken.values()} == {1}


async def test_a_refused_sender_stops_the_batch_and_keeps_everybody(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(20)))
    scripted.at_mail = lambda _: "550 5.7.1 Sender address rejected"
    going_out()
    async with sending(app, relay_at(scripted.port)) as sender:
        await until(lambda: sender.is_resting)
    assert count(app, DeliveryStatus.QUEUED) == 20
    with app.database.read() as session:
        refused = session.exec(select(Attempt).where(col(Attempt.code) == 550)).all()
        assert 0 < len(refused) <= 4  # one a connection, not one a reader


async def test_who_leaves_while_the_issue_goes_out_gets_nothing(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    left, _ = subscribe("left@example.org", "stays@example.org")
    going_out()
    with app.database.write() as session:
        session.get_one(Subscription, left).status = SubscriptionStatus.UNSUBSCRIBED
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 1)
    assert set(scripted.taken) == {"stays@example.org"}


async def test_a_lost_answer_is_resent_under_the_same_message_id_and_noted(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe("a@example.org", "b@example.org")
    scripted.drops_after_dot.add("a@example.org")
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: "a@example.org" in scripted.taken and count(app, DeliveryStatus.SENDING) == 0)
        clock.pass_(minutes=2)
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 2)
    first, second = (parse(mail) for mail in scripted.taken["a@example.org"])
    assert first["Message-ID"] == second["Message-ID"]
    assert len(scripted.taken["b@example.org"]) == 1
    with app.database.read() as session:
        outcomes = session.exec(select(Attempt.outcome).where(Attempt.delivery_id == 1).order_by(col(Attempt.number)))
        assert outcomes.all() == [AttemptOutcome.UNCERTAIN, AttemptOutcome.ACCEPTED]


async def test_a_paused_issue_stops_and_goes_on_where_it_was(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(200)))
    issue_id = going_out()

    def set_status(status: IssueStatus) -> None:
        with app.database.write() as session:
            session.get_one(Issue, issue_id).status = status

    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) >= 20)
        set_status(IssueStatus.PAUSED)
        await until(lambda: count(app, DeliveryStatus.SENDING) == 0)
        stopped_at = len(scripted.taken)
        assert stopped_at < 200
        set_status(IssueStatus.SENDING)
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 200)
    assert {len(mails) for mails in scripted.taken.values()} == {1}


async def test_stopping_waits_for_the_answers_on_their_way(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(100)))
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: len(scripted.taken) >= 10)
    assert count(app, DeliveryStatus.SENDING) == 0
    assert count(app, DeliveryStatus.ACCEPTED) == len(scripted.taken)


@pytest.mark.sqlite
async def test_nothing_leaves_while_the_database_is_held_and_no_answer_is_lost(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(400)))
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: len(scripted.taken) >= 10)
        with app.database.write() as session:
            session.connection().exec_driver_sql("UPDATE publication SET accent = '#000000'")
            open_ones = count(app, DeliveryStatus.SENDING)
            await asyncio.sleep(0.2)  # while it is held, only what was claimed before may arrive
            arrived = len(scripted.taken)
            await asyncio.sleep(0.2)
            assert len(scripted.taken) == arrived
            assert open_ones <= 4 * 16  # connections x window
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 400)
    assert {len(mails) for mails in scripted.taken.values()} == {1}


async def test_octets_that_are_no_text_in_an_answer_harm_nobody(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe("a@example.org", "b@example.org")
    scripted.at_rcpt = lambda address: b"550 5.7.1 gr\xfc\xdf dich".decode("latin-1") if address[0] == "a" else None
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 1 and count(app, DeliveryStatus.SENDING) == 0)
    assert len(scripted.taken["b@example.org"]) == 1


async def test_addresses_that_the_relay_cannot_take_do_not_hold_up_the_others(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    odd = [f"odd{number}@example.org" for number in range(4)]
    subscribe(*odd, *(f"r{number}@example.org" for number in range(20)))
    scripted.at_rcpt = lambda address: "501 5.5.2 Syntax error" if address.startswith("odd") else None
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 20 or later(clock, seconds=15))
        await until(lambda: count(app, DeliveryStatus.DEFERRED) == 4 or later(clock, seconds=15))
    assert not set(odd) & set(scripted.taken)


async def test_mail_that_cannot_be_made_waits_and_the_worker_goes_on(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe("=?broken@example.org", "b@example.org")  # such an address never passes the form
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.DEFERRED) == 1 and count(app, DeliveryStatus.ACCEPTED) == 1)
    assert set(scripted.taken) == {"b@example.org"}


async def test_more_messages_than_are_kept_in_memory_all_arrive(
    app: App,
    scripted: ScriptedRelay,
    subscribe: Subscribe,
    going_out: GoingOut,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mailer.delivery.composer.KEPT", 1)
    for number in range(30):
        subscribe(f"r{number}@example.org", edition=("en", "ru", "be-ru")[number % 3])
    going_out()
    async with sending(app, relay_at(scripted.port)):
        await until(lambda: count(app, DeliveryStatus.ACCEPTED) == 30)
    assert {len(mails) for mails in scripted.taken.values()} == {1}
