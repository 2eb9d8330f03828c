"""Several workers on one PostgreSQL: they share the work, nobody is mailed twice, and the dead are taken over once."""

import asyncio
import contextlib
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession
from sqlmodel import Session, col, select

from mailer.app import App, assemble
from mailer.database import Database
from mailer.delivery import launch, ledger, workers
from mailer.delivery.ledger import Answer, Claim, LeaseLost
from mailer.delivery.reply import ACTIONS, Reply, Stage, meaning
from mailer.delivery.states import AttemptOutcome
from mailer.issues.states import IssueStatus
from mailer.tables import Attempt, Delivery, Issue, Message, Publication, UncertainPolicy, Worker
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay
from tests.test_worker import add_and_schedule, start_worker, status_of, until

GoingOut = Callable[[], int]

ACCEPTED = Reply(Stage.DOT, 250, "2.0.0 Ok")


def readers(count: int) -> list[str]:
    return [f"r{number}@example.org" for number in range(count)]


def claim(session: Session, worker_id: int, clock: HandedClock, limit: int = 100) -> list[Claim]:
    return ledger.claim(session, worker_id=worker_id, relay="relay", limit=limit, now=clock())


def accept(session: Session, claims: list[Claim], clock: HandedClock) -> None:
    action = ACTIONS[meaning(ACCEPTED)]
    answers = [Answer(claim=each, reply=ACCEPTED, action=action, relay="relay", at=clock()) for each in claims]
    ledger.record(session, answers)


def register(database: Database, clock: HandedClock) -> int:
    with database.write() as session:
        return workers.register(session, clock(), alone=False)


def statuses(database: Database) -> Counter[str]:
    with database.read() as session:
        return Counter(str(status) for status in session.exec(select(Delivery.status)))


# The ledger, by two transactions at once


@pytest.mark.postgresql
def test_two_transactions_claim_different_deliveries_and_neither_waits(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(10))
    going_out()
    first_worker, second_worker = register(database, clock), register(database, clock)
    with database.write() as first, database.write() as second:
        mine = {each.delivery_id for each in claim(first, first_worker, clock, 4)}
        others = {each.delivery_id for each in claim(second, second_worker, clock)}
    assert (len(mine), len(others)) == (4, 6)
    assert not mine & others
    assert statuses(database) == {"sending": 10}


@pytest.mark.postgresql
def test_three_workers_at_once_claim_everything_once(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(120))
    going_out()
    taken, start = list[int](), threading.Barrier(3)

    def work() -> None:
        worker_id = register(database, clock)
        start.wait()
        while True:
            with database.write() as session:
                claims = claim(session, worker_id, clock, 7)
                accept(session, claims, clock)
            if not claims:
                return
            taken.extend(each.delivery_id for each in claims)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 120
    assert statuses(database) == {"accepted": 120}


@pytest.mark.postgresql
def test_a_dead_worker_is_taken_over_by_one_of_two(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(5))
    going_out()
    dead = register(database, clock)
    with database.write() as session:
        claim(session, dead, clock, 3)
    clock.pass_(seconds=61)
    with database.write() as first, database.write() as second:
        assert workers.take_over(first, clock()) == 3
        assert workers.take_over(second, clock()) == 0
    assert statuses(database) == {"queued": 5}
    with database.read() as session:
        outcomes = session.exec(select(Attempt.outcome)).all()
    assert outcomes == [AttemptOutcome.UNCERTAIN] * 3


@pytest.mark.postgresql
def test_a_worker_that_is_claiming_is_not_dead(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(3))
    going_out()
    late, other = register(database, clock), register(database, clock)
    clock.pass_(seconds=61)
    with database.write() as session:
        assert workers.renew(session, other, clock())
    with database.write() as claiming, database.write() as looking:
        assert len(claim(claiming, late, clock)) == 3
        assert workers.take_over(looking, clock()) == 0
    with database.write() as session:
        assert workers.take_over(session, clock()) == 3


def test_a_worker_that_was_taken_over_claims_and_records_nothing(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(4))
    going_out()
    late = register(database, clock)
    with database.write() as session:
        held = claim(session, late, clock, 2)
    clock.pass_(seconds=61)
    register(database, clock)
    with pytest.raises(LeaseLost, match="lapsed and was taken over"), database.write() as session:
        accept(session, held, clock)
    with pytest.raises(LeaseLost), database.write() as session:
        claim(session, late, clock)
    assert statuses(database) == {"queued": 4}


@pytest.mark.postgresql
def test_an_answer_that_comes_during_the_taking_over_counts(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(3))
    going_out()
    late = register(database, clock)
    with database.write() as session:
        held = claim(session, late, clock)
    clock.pass_(seconds=61)
    taken = list[int]()

    def take_over() -> None:
        with database.write() as session:
            taken.append(workers.take_over(session, clock()))

    other = threading.Thread(target=take_over)
    with database.write() as session:
        accept(session, held[:2], clock)
        other.start()
        wait_for_a_waiting_transaction(database)
    other.join()
    assert taken == [1]
    assert statuses(database) == {"accepted": 2, "queued": 1}


def wait_for_a_waiting_transaction(database: Database, of: threading.Thread | None = None) -> None:
    """Until a transaction waits for another one, or the thread has ended without waiting."""
    with database.engine.connect() as connection:
        while (of is None or of.is_alive()) and not connection.exec_driver_sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).first():
            connection.rollback()


@pytest.mark.parametrize(("policy", "after"), [(UncertainPolicy.RESEND, "queued"), (UncertainPolicy.HOLD, "uncertain")])
def test_what_a_lapsed_worker_had_on_the_wire_goes_by_the_publications_policy(
    database: Database,
    publication: Publication,
    subscribe: Subscribe,
    going_out: GoingOut,
    clock: HandedClock,
    policy: UncertainPolicy,
    after: str,
) -> None:
    with database.write() as session:
        session.get_one(Publication, publication.id).uncertain_policy = policy
    subscribe(*readers(5))
    going_out()
    lapsed = register(database, clock)
    with database.write() as session:
        held = claim(session, lapsed, clock, 3)
        accept(session, held[:1], clock)
    clock.pass_(seconds=61)
    register(database, clock)
    assert statuses(database) == Counter({"accepted": 1, "queued": 2}) + Counter({after: 2})
    with database.read() as session:
        lost = session.exec(select(Attempt.delivery_id).where(Attempt.outcome == AttemptOutcome.UNCERTAIN)).all()
    assert sorted(lost) == [each.delivery_id for each in held[1:]]


@pytest.mark.postgresql
def test_an_issue_that_one_worker_begins_is_not_due_for_another(
    app: App, publication: Publication, clock: HandedClock
) -> None:
    issue_id = add_and_schedule(app, publication, clock())
    with app.database.write() as first, app.database.read() as second:
        assert launch.due_issues(second, clock()) == [issue_id]
        second.rollback()
        launch.begin(first, issue_id, app.settings, clock())
        assert launch.due_issues(second, clock()) == []


@pytest.mark.postgresql
def test_two_workers_that_saw_the_same_due_issue_begin_it_once(
    app: App, publication: Publication, subscribe: Subscribe, clock: HandedClock
) -> None:
    subscribe(*readers(30))
    issue_id = add_and_schedule(app, publication, clock())
    with app.database.write() as first, app.database.write() as second:
        assert launch.begin(first, issue_id, app.settings, clock()) == ("2026-11-16", 30)
        assert launch.begin(second, issue_id, app.settings, clock()) is None
    with app.database.write() as late:
        assert launch.begin(late, issue_id, app.settings, clock()) is None
    assert statuses(app.database) == {"queued": 30}
    with app.database.read() as session:
        assert len(session.exec(select(Message.id)).all()) == 3


@pytest.mark.postgresql
def test_an_issue_that_is_enqueued_twice_at_once_has_nobody_twice(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(3))
    issue_id = going_out()
    subscribe("late@example.org", "later@example.org")
    written, start = list[int](), threading.Barrier(2)

    def enqueue() -> None:
        start.wait()
        with database.write() as session:
            messages = {row.edition_id: row.id or 0 for row in session.exec(select(Message))}
            written.append(ledger.enqueue_issue(session, session.get_one(Issue, issue_id), messages, clock()))

    threads = [threading.Thread(target=enqueue) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [0, 2]
    assert statuses(database) == {"queued": 5}


@pytest.mark.postgresql
def test_an_issue_is_finished_by_one_of_two(
    database: Database, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    issue_id = going_out()
    with database.write() as first, database.write() as second:
        assert [issue.id for issue in launch.finish(first, clock())] == [issue_id]
        first.flush()
        assert launch.finish(second, clock()) == []


# Processes


class HeldRelay(ScriptedRelay):
    """Takes no mail to its end before it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def handle_DATA(self, server: SMTP, session: SmtpSession, envelope: Envelope) -> str:
        await self.open.wait()
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
async def relay() -> AsyncIterator[HeldRelay]:
    relay = HeldRelay()
    await relay.start()
    yield relay
    await relay.stop()


def on_the_wire(database: Database) -> dict[int, set[int]]:
    """Process id of a worker -> its deliveries that have no answer yet."""
    found = defaultdict[int, set[int]](set)
    with database.read() as session:
        rows = sa.select(col(Worker.name), col(Attempt.delivery_id)).join(Attempt, col(Attempt.worker_id) == Worker.id)
        for name, delivery_id in session.execute(rows.where(col(Attempt.outcome).is_(None))):
            found[int(name.rpartition(":")[2])].add(delivery_id)
    return found


@contextlib.asynccontextmanager
async def processes(
    app: App, relay: HeldRelay, folder: Path, count: int
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Workers in processes of their own, in real time. They end in good order, or the test fails."""
    running = [await start_worker(app.settings, relay, folder) for _ in range(count)]
    try:
        yield running
    finally:
        relay.open.set()
        living = [process for process in running if process.returncode is None]
        for process in living:
            process.send_signal(signal.SIGTERM)
        ends = [await asyncio.wait_for(process.wait(), 20) for process in living]
    assert set(ends) <= {0}


@pytest.mark.postgresql
async def test_two_processes_share_an_issue_and_nobody_is_mailed_twice(
    app: App, publication: Publication, relay: HeldRelay, subscribe: Subscribe, tmp_path: Path
) -> None:
    subscribe(*readers(200))
    now = assemble(app.settings)
    issue_id = add_and_schedule(now, publication, datetime.now(UTC))
    async with processes(now, relay, tmp_path, 2) as (one, other):
        await until(lambda: set(on_the_wire(now.database)) == {one.pid, other.pid})
        relay.open.set()
        await until(lambda: status_of(now, issue_id) is IssueStatus.SENT, 60)
    assert {address: len(mails) for address, mails in relay.taken.items()} == dict.fromkeys(readers(200), 1)
    assert statuses(now.database) == {"accepted": 200}
    with now.database.read() as session:
        assert session.exec(select(Attempt.outcome).distinct()).all() == [AttemptOutcome.ACCEPTED]


@pytest.mark.postgresql
async def test_what_a_killed_process_held_goes_on_in_the_others(
    app: App, publication: Publication, relay: HeldRelay, subscribe: Subscribe, tmp_path: Path
) -> None:
    subscribe(*readers(60))
    now = assemble(app.settings)
    issue_id = add_and_schedule(now, publication, datetime.now(UTC))
    async with processes(now, relay, tmp_path, 2) as (one, other):
        await until(lambda: set(on_the_wire(now.database)) == {one.pid, other.pid})
        one.kill()
        await one.wait()
        held = on_the_wire(now.database)[one.pid]
        with now.database.write() as session:  # its lease lapses: a minute passes for nobody else
            dead = session.exec(select(Worker).where(col(Worker.name).endswith(f":{one.pid}"))).one()
            dead.lease_until = datetime.now(UTC) - timedelta(seconds=1)
        relay.open.set()
        async with processes(now, relay, tmp_path, 1):
            await until(lambda: status_of(now, issue_id) is IssueStatus.SENT, 60)
    with now.database.read() as session:
        lost = session.exec(select(Attempt.delivery_id).where(Attempt.outcome == AttemptOutcome.UNCERTAIN)).all()
    assert set(lost) == held
    assert set(relay.taken) == set(readers(60))
    assert sum(len(mails) for mails in relay.taken.values()) - 60 <= len(held)
    assert statuses(now.database) == {"accepted": 60}
