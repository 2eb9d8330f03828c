"""Troubles that come from between the parts: each of these once lost, doubled or stopped something."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session as DatabaseSession
from sqlmodel import col, select

from mailer.app import App
from mailer.database import Database
from mailer.delivery import ledger, pipeline, workers
from mailer.delivery.composer import Composer, Ready
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.pipeline import Envelope
from mailer.delivery.relays import Ways
from mailer.delivery.reply import Reply, Stage, action
from mailer.delivery.sender import Sender
from mailer.delivery.session import Session
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.errors import MailerError
from mailer.settings import Pipelining
from mailer.tables import Attempt, Delivery
from tests.conftest import HandedClock
from tests.delivery.literal import HANG, LiteralRelay
from tests.delivery.readers import Subscribe
from tests.delivery.test_sender import GoingOut, count, relay_at, sending, until

ACCEPTED = DeliveryStatus.ACCEPTED


def readers(number: int) -> list[str]:
    return [f"r{each}@example.org" for each in range(number)]


def outcomes(app: App) -> Counter[AttemptOutcome | None]:
    with app.database.read() as session:
        return Counter(attempt.outcome for attempt in session.exec(select(Attempt)))


@pytest.mark.parametrize("mode", list(Pipelining))
async def test_a_relay_that_turns_each_connection_away_after_some_mail_gets_all_of_it(
    app: App, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock, mode: Pipelining
) -> None:
    subscribe(*readers(60))
    going_out()
    async with LiteralRelay() as relay:
        relay.says = lambda verb, _: b"421 4.7.0 Enough\r\n" if verb == "MAIL" and len(relay.taken) % 7 == 6 else None

        def done() -> bool:
            clock.pass_(seconds=20)
            if len(relay.taken) % 7 == 6:
                relay.taken.append(("", b""))  # the next connection finds it willing
            return count(app, ACCEPTED) == 60

        async with sending(app, relay_at(relay.port, pipelining=mode, window=4)):
            await until(done)
    assert sorted(recipient for recipient, _ in relay.taken if recipient) == sorted(readers(60))
    assert outcomes(app)[AttemptOutcome.UNCERTAIN] == 0


async def test_421_without_closing_leaves_what_was_written_uncertain(
    app: App, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_LINGER_SECONDS", 0.1)
    subscribe(*readers(10))
    going_out()
    async with LiteralRelay() as relay:
        relay.closes_after_421 = False
        once = iter([b"421 4.7.0 Later\r\n"])
        relay.says = lambda verb, recipient: (
            next(once, None)
            if verb == "RCPT" and recipient[:3] == "r1@"
            else HANG
            if verb == "BDAT" and recipient[:3] == "r4@" and relay.connections == 1
            else None
        )
        async with sending(app, relay_at(relay.port, connections=1)):
            await until(lambda: len(relay.taken) >= 3 and count(app, DeliveryStatus.SENDING) == 0)
            clock.pass_(minutes=30)
            await until(lambda: count(app, ACCEPTED) == 10)
    copies = Counter(recipient for recipient, _ in relay.taken)
    assert len(copies) == 10
    assert sum(copies.values()) - 10 <= outcomes(app)[AttemptOutcome.UNCERTAIN]


@pytest.mark.parametrize("greeting", [b"Hello there\r\n", b"220 " + b"a" * 100_000 + b"\r\n", b"\x00\xff\r\n"])
async def test_a_greeting_that_is_no_smtp_is_a_failure_like_any_other(
    app: App, subscribe: Subscribe, going_out: GoingOut, greeting: bytes
) -> None:
    subscribe(*readers(5))
    going_out()
    async with LiteralRelay() as relay:
        relay.greeting = greeting
        async with sending(app, relay_at(relay.port)) as sender:
            await until(lambda: sender.is_resting)
        assert relay.connections <= 4
    assert count(app, DeliveryStatus.QUEUED) == 5


async def test_an_answer_is_recorded_while_others_hang(app: App, subscribe: Subscribe, going_out: GoingOut) -> None:
    subscribe(*readers(4), "аня@example.org")
    going_out()
    async with LiteralRelay(offers=["PIPELINING", "CHUNKING"]) as relay:  # no SMTPUTF8
        relay.says = lambda verb, recipient: HANG if verb == "BDAT" and recipient[:2] in ("r1", "r2") else None
        async with sending(app, relay_at(relay.port, connections=1)) as sender:
            await until(lambda: count(app, DeliveryStatus.REFUSED) == 1 and count(app, ACCEPTED) == 1)
            sender.stop()
            relay.hang_up()


async def test_one_connection_too_many_is_not_the_relays_failure(
    app: App, subscribe: Subscribe, going_out: GoingOut, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(*readers(500))
    going_out()
    async with LiteralRelay() as relay:
        relay.most_connections = 1
        async with sending(app, relay_at(relay.port, connections=4, window=4)) as sender:
            await until(lambda: count(app, ACCEPTED) == 500)
            assert not sender.is_resting
    assert "takes no more than 1 connections" in caplog.text


async def test_relays_get_what_their_weights_say(app: App, subscribe: Subscribe, going_out: GoingOut) -> None:
    subscribe(*readers(2000))
    going_out()
    async with LiteralRelay() as heavy, LiteralRelay() as light:
        ways = Ways((relay_at(heavy.port, name="heavy", weight=9), relay_at(light.port, name="light", weight=1)))
        async with sending(app, ways):
            await until(lambda: count(app, ACCEPTED) == 2000, 40)
    assert 150 <= len(light.taken) <= 250


def test_only_what_reached_the_relay_makes_the_wait_longer(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock, worker_id: int
) -> None:
    subscribe("a@example.org")
    going_out()

    def turn(reply: Reply) -> None:
        with database.write() as session:
            (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=1, now=clock())
            ledger.record(session, [Answer(claim, reply, action(reply), "relay", clock())])

    for _ in range(4):
        turn(Reply(Stage.MAIL, None, "the relay rests"))
    turn(Reply(Stage.RCPT, 450, "4.2.0 Greylisted"))
    with database.read() as session:
        due_at = session.exec(select(Delivery.due_at)).one()
    assert due_at is not None
    assert 300 <= (due_at - clock()).total_seconds() <= 360


def test_what_is_ours_to_mend_is_never_given_up(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock, worker_id: int
) -> None:
    subscribe("a@example.org")
    going_out()
    for _ in range(20):
        with database.write() as session:
            (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=1, now=clock())
            reply = Reply(Stage.RCPT, 530, "5.7.0 Authentication required")
            ledger.record(session, [Answer(claim, reply, action(reply), "relay", clock())])
        clock.pass_(hours=12)
    with database.read() as session:
        assert session.exec(select(Delivery.status)).one() is DeliveryStatus.DEFERRED


async def test_a_commit_that_was_kept_though_it_failed_strands_nobody(
    app: App, subscribe: Subscribe, going_out: GoingOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server dies after writing and before answering."""
    subscribe(*readers(100))
    going_out()
    commit, failures = DatabaseSession.commit, [0]

    def commits_and_fails_at_times(session: DatabaseSession) -> None:
        commit(session)
        with app.database.read() as reading:
            begun = len(reading.exec(select(Attempt.id)).all())
        if begun and failures[0] < 3:
            failures[0] += 1
            raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(DatabaseSession, "commit", commits_and_fails_at_times)
    async with LiteralRelay() as relay, sending(app, relay_at(relay.port, connections=2)):
        await until(lambda: count(app, ACCEPTED) == 100)
    assert sorted(recipient for recipient, _ in relay.taken) == sorted(readers(100))
    assert failures[0] == 3


async def test_a_commit_that_was_kept_though_it_failed_and_claimed_again_what_had_come_back(
    app: App, subscribe: Subscribe, going_out: GoingOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction records that an attempt did not begin and claims the next one of the same delivery."""
    subscribe(*readers(60))
    going_out()
    commit, failures = DatabaseSession.commit, [0]

    def again(session: DatabaseSession) -> int:
        claimed_again = select(Attempt.id).where(Attempt.number > 1, col(Attempt.outcome).is_(None))
        return len(session.exec(claimed_again).all())

    def commits_and_fails_at_times(session: DatabaseSession) -> None:
        commit(session)
        with app.database.read() as reading:
            if not failures[0] and again(reading):
                failures[0] += 1
                raise OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(DatabaseSession, "commit", commits_and_fails_at_times)
    async with LiteralRelay() as broken, LiteralRelay() as relay:
        broken.says = lambda verb, _: b"421 4.7.0 Enough\r\n" if verb == "MAIL" else None
        ways = Ways((relay_at(broken.port, name="broken", connections=1), relay_at(relay.port, name="whole")))
        async with sending(app, ways):
            await until(lambda: count(app, ACCEPTED) == 60, seconds=20)
    assert sorted(recipient for recipient, _ in relay.taken) == sorted(readers(60))
    assert failures[0] == 1


@pytest.mark.parametrize("mode", list(Pipelining))
async def test_a_relay_that_answers_early_and_reads_no_more_is_not_waited_for(mode: Pipelining) -> None:
    settled = list[Reply]()
    big = [b"Subject: S\r\n\r\n", *[b"a" * 998 + b"\r\n"] * 30_000]

    serving = list[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(cast("asyncio.Task[None]", asyncio.current_task()))
        writer.write(b"220 relay.test\r\n")
        await reader.readline()
        writer.write(b"250-relay.test\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        words = 3
        for answer in [b"250 Ok\r\n"] * words if mode is Pipelining.CHUNKING else [b"250 Ok\r\n"] * 2 + [b"354 Go\r\n"]:
            await reader.readline()
            writer.write(answer)
        await reader.readline()
        await asyncio.sleep(0.3)  # slower than an answer to a word may be, as an answer to content may be
        writer.write(b"552 5.3.4 Too big\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = await Session.open(relay_at(port, timeout_seconds=0.2, pipelining=mode))
    session.submit([(Envelope("s@example.org", "a@example.org", big), settled.append)])
    await until(lambda: len(settled) == 1)
    session.submit([(Envelope("s@example.org", "b@example.org", [b"Subject: S\r\n\r\n"]), settled.append)])
    await until(lambda: len(settled) == 2)
    assert settled[0].code == 552
    assert settled[1].code is None
    assert not session.usable
    server.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving)


async def test_no_readers_address_reaches_the_general_log(
    app: App, subscribe: Subscribe, going_out: GoingOut, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe("secret.reader@example.org")
    going_out()
    async with LiteralRelay() as relay:
        relay.says = lambda verb, _: b"421 4.7.0 <secret.reader@example.org>: no\r\n" if verb == "RCPT" else None
        async with sending(app, relay_at(relay.port)):
            await until(lambda: count(app, DeliveryStatus.DEFERRED) == 1)
    assert caplog.records
    assert "secret.reader" not in caplog.text


async def test_an_issue_that_has_to_stop_stops_when_the_database_can_again(
    app: App, subscribe: Subscribe, going_out: GoingOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(*readers(60))
    going_out()
    from mailer.database import DatabaseError
    from mailer.delivery import launch

    stop, tried = launch.stop, [0]

    def fails_first(session: DatabaseSession, message_id: int) -> str | None:
        tried[0] += 1
        if tried[0] == 1:
            raise DatabaseError("locked")
        return stop(session, message_id)

    monkeypatch.setattr(launch, "stop", fails_first)
    async with LiteralRelay() as relay:
        relay.says = lambda verb, _: b"554 5.7.1 Spam\r\n" if verb == "BDAT" else None
        async with sending(app, relay_at(relay.port, connections=1, window=4)):
            await until(lambda: tried[0] >= 2)
    with app.database.read() as session:
        refused = session.exec(select(Attempt.id).where(col(Attempt.outcome) == AttemptOutcome.REFUSED)).all()
        open_ones = session.exec(select(Attempt.id).where(col(Attempt.outcome).is_(None))).all()
    assert 20 <= len(refused) < 60
    assert open_ones == []


@pytest.mark.parametrize("is_told", [False, True])
async def test_whose_lease_is_lost_sends_nothing_more_not_even_what_was_being_signed(
    app: App, subscribe: Subscribe, going_out: GoingOut, is_told: bool
) -> None:
    subscribe(*readers(20))
    signing, signed = threading.Event(), threading.Event()

    class Slow(Composer):
        def takes_long(self, ready: object) -> bool:
            return True

        def envelopes(self, ready: Sequence[Ready]) -> list[tuple[Claim, Envelope | MailerError]]:
            signing.set()
            signed.wait()
            return super().envelopes(ready)

    with app.database.write() as session:
        worker_id = workers.register(session, app.clock(), alone=True)
    async with LiteralRelay() as first, LiteralRelay() as second:
        first.says = second.says = lambda verb, _: HANG if verb == "QUIT" else None
        ways = Ways(tuple(relay_at(each.port, name=str(each.port), connections=1) for each in (first, second)))
        composer = Slow(app.settings, app.tokens)
        sender = Sender(database=app.database, composer=composer, ways=ways, clock=app.clock, worker_id=worker_id)
        running = asyncio.create_task(sender.run())
        going_out()
        await until(lambda: first.connections + second.connections == 2 and signing.is_set())
        await until(lambda: count(app, DeliveryStatus.SENDING) == 20)
        with app.database.write() as session:
            workers.end(session, worker_id, app.clock())
        if is_told:
            sender.abandon()
        await until(lambda: ("QUIT", "") in first.words + second.words)
        signed.set()
        with pytest.raises(ledger.LeaseLost):
            await asyncio.wait_for(running, 20)
    assert first.taken + second.taken == []
