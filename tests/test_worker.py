"""The worker: due issues begin, everybody gets theirs. One that is killed: tests/test_kill.py."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from sqlmodel import Session, select

from mailer import tables
from mailer.app import App, assemble
from mailer.database import Database, DatabaseError
from mailer.delivery import launch, workers
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.issues.states import IssueEvent, IssueStatus
from mailer.rendering.decoded import parse, part
from mailer.resources import resource
from mailer.settings import Settings
from mailer.subscribers import chain
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, ConsentEvent, Issue, Message, Publication, Subscription, Translation
from mailer.worker import Worker
from tests.conftest import HandedClock, PostgreSQL
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay

EXAMPLE = resource("templates") / "example" / "2026-11-16"


def on_disk(settings: Settings, relay: ScriptedRelay, **changes: object) -> Settings:
    return settings.model_copy(update={"relay_port": relay.port, "relay_connections": 4, **changes})


@contextlib.asynccontextmanager
async def working(app: App):  # type: ignore[no-untyped-def]
    worker = Worker(app)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(running, 30)


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def add_and_schedule(app: App, publication: Publication, at: datetime) -> int:
    with app.database.write() as session:
        issue, _ = issues.add(session, publication, read_folder(EXAMPLE), app.clock())
        issues.check(session, publication, issue)
        issues.schedule(session, issue, at)
        assert issue.id is not None
        return issue.id


def status_of(app: App, issue_id: int) -> IssueStatus:
    with app.database.read() as session:
        return session.get_one(Issue, issue_id).status


async def test_a_due_issue_reaches_every_reader_in_their_edition(
    app: App, publication: Publication, clock: HandedClock, scripted: ScriptedRelay, subscribe: Subscribe
) -> None:
    subscribe("en@example.org")
    subscribe("ru@example.org", edition="ru")
    subscribe("both@example.org", edition="be-ru")
    app = assemble(on_disk(app.settings, scripted), clock)
    issue_id = add_and_schedule(app, publication, clock() + timedelta(minutes=5))
    async with working(app):
        await asyncio.sleep(1.2)  # a tick passes, and it is not due yet
        assert scripted.taken == {}
        clock.pass_(minutes=6)
        await until(lambda: status_of(app, issue_id) is IssueStatus.SENT)
    assert {address: len(mails) for address, mails in scripted.taken.items()} == {
        "en@example.org": 1,
        "ru@example.org": 1,
        "both@example.org": 1,
    }
    languages = {address: parse(mails[0])["Content-Language"] for address, mails in scripted.taken.items()}
    assert languages == {"en@example.org": "en", "ru@example.org": "ru", "both@example.org": "be, ru"}
    html = part(parse(scripted.taken["both@example.org"][0]), "html")
    assert 'lang="be"' in html
    assert 'lang="ru"' in html


async def test_an_issue_is_rendered_once_an_edition(
    app: App, publication: Publication, clock: HandedClock, scripted: ScriptedRelay, subscribe: Subscribe
) -> None:
    subscribe(*(f"r{number}@example.org" for number in range(25)))
    app = assemble(on_disk(app.settings, scripted), clock)
    issue_id = add_and_schedule(app, publication, clock())
    async with working(app):
        await until(lambda: status_of(app, issue_id) is IssueStatus.SENT)
    with app.database.read() as session:
        assert len(session.exec(select(Message)).all()) == 3
    assert len(scripted.taken) == 25


def test_an_edition_with_readers_is_never_passed_over(
    app: App, publication: Publication, clock: HandedClock, subscribe: Subscribe
) -> None:
    subscribe("ru@example.org", edition="ru")
    issue_id = add_and_schedule(app, publication, clock())
    with app.database.write() as session:
        session.delete(session.get_one(Translation, (issue_id, "ru")))
    refusal = pytest.raises(issues.IssueError, match=r"lacks ru\.md, and the edition ru has 1 readers")
    with refusal, app.database.write() as session:
        launch.begin(session, issue_id, app.settings, clock())
    assert status_of(app, issue_id) is IssueStatus.SCHEDULED


def test_an_issue_cancelled_half_way_keeps_its_name(
    app: App, publication: Publication, clock: HandedClock, subscribe: Subscribe
) -> None:
    subscribe("a@example.org")
    issue_id = add_and_schedule(app, publication, clock())
    with app.database.write() as session:
        launch.begin(session, issue_id, app.settings, clock())
        issues.apply(session, session.get_one(Issue, issue_id), IssueEvent.CANCEL)
    with pytest.raises(issues.IssueError, match="another name, such as 2026-11-16-2"):
        add_and_schedule(app, publication, clock())


@pytest.mark.sqlite
async def test_a_second_worker_on_the_same_file_is_refused(
    app: App, clock: HandedClock, scripted: ScriptedRelay
) -> None:
    app = assemble(on_disk(app.settings, scripted), clock)
    async with working(app):
        await until(lambda: _is_held(app.database))
        with pytest.raises(workers.SecondWorker, match=r"Another worker .* is sending"):
            await Worker(assemble(app.settings, clock)).run()


@pytest.mark.sqlite
async def test_the_worker_of_pages_waits_for_one_that_has_mails_in_hand(
    app: App, clock: HandedClock, scripted: ScriptedRelay, caplog: pytest.LogCaptureFixture
) -> None:
    app = assemble(on_disk(app.settings, scripted), clock)
    worker = Worker(app)
    with workers.sole_use(app.database):
        running = asyncio.create_task(worker.run(patience=timedelta(seconds=30)))
        await until(lambda: "Waiting for it to end." in caplog.text)
    await until(lambda: _is_held(app.database))
    worker.stop()
    await asyncio.wait_for(running, 30)


@pytest.mark.postgresql
async def test_a_worker_whose_lease_was_taken_over_begins_anew(
    app: App, publication: Publication, clock: HandedClock, scripted: ScriptedRelay, subscribe: Subscribe
) -> None:
    subscribe("a@example.org")
    app = assemble(on_disk(app.settings, scripted), clock)
    async with working(app):
        await until(lambda: _workers(app) == 1)
        with app.database.write() as session:
            workers.take_over(session, clock() + workers.LEASE * 2)
        issue_id = add_and_schedule(app, publication, clock())
        await until(lambda: status_of(app, issue_id) is IssueStatus.SENT)
    assert _workers(app) == 2
    assert len(scripted.taken["a@example.org"]) == 1


@pytest.mark.postgresql
async def test_a_worker_that_lost_its_lease_waits_for_a_database_that_is_away(
    app: App,
    publication: Publication,
    clock: HandedClock,
    scripted: ScriptedRelay,
    subscribe: Subscribe,
    postgresql: PostgreSQL,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe("a@example.org")
    app = assemble(on_disk(app.settings, scripted), clock)
    register, tried = workers.register, list[bool]()

    def away_at_first(session: Session, now: datetime, *, alone: bool) -> int:
        tried.append(True)
        if len(tried) == 1:
            ours = session.connection().exec_driver_sql("SELECT pg_backend_pid()").scalar()
            postgresql.execute(f"SELECT pg_terminate_backend({ours}, 5000)")
        return register(session, now, alone=alone)

    async with working(app):
        await until(lambda: _workers(app) == 1)
        monkeypatch.setattr(workers, "register", away_at_first)
        with app.database.write() as session:
            workers.take_over(session, clock() + workers.LEASE * 2)
        issue_id = add_and_schedule(app, publication, clock())  # it notices when it claims
        await until(lambda: status_of(app, issue_id) is IssueStatus.SENT)
    assert len(tried) == 2
    assert len(scripted.taken["a@example.org"]) == 1


@pytest.mark.postgresql
async def test_a_worker_that_waits_for_its_database_can_be_stopped(
    app: App,
    publication: Publication,
    clock: HandedClock,
    scripted: ScriptedRelay,
    subscribe: Subscribe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe("a@example.org")
    app = assemble(on_disk(app.settings, scripted), clock)
    tried = list[bool]()

    def away(*_: Any, **__: Any) -> int:
        tried.append(True)
        raise DatabaseError("the server is shutting down")

    async with working(app):
        await until(lambda: _workers(app) == 1)
        monkeypatch.setattr(workers, "register", away)
        with app.database.write() as session:
            workers.take_over(session, clock() + workers.LEASE * 2)
        add_and_schedule(app, publication, clock())
        await until(lambda: bool(tried))
    assert scripted.taken == {}


def _workers(app: App) -> int:
    with app.database.read() as session:
        return len(session.exec(select(tables.Worker)).all())


async def test_the_worker_takes_mail_while_it_runs_and_only_then(
    app: App, publication: Publication, clock: HandedClock, scripted: ScriptedRelay
) -> None:
    """A reader asks by mail, and the confirmation, which says that a reply confirms, leaves at once."""
    app = assemble(on_disk(app.settings, scripted, inbound_listen="127.0.0.1:0"), clock)
    async with working(app) as worker:
        await until(lambda: worker.receiver is not None and worker.receiver.is_listening)
        port = worker.receiver.port
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            asking = b"From: reader@far.example\r\nSubject: \r\n\r\n"
            await client.sendmail("reader@far.example", ["belarus+subscribe-en@bounces.example.org"], asking)
        await until(lambda: len(scripted.taken["reader@far.example"]) == 1)
        confirmation = parse(scripted.taken["reader@far.example"][0])
        assert "simply reply to this letter" in part(confirmation, "plain")
        (address,) = confirmation["Reply-To"].addresses
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            answer = b"From: reader@far.example\r\nSubject: Re: Confirm\r\n\r\nYes\r\n"
            await client.sendmail("reader@far.example", [address.addr_spec], answer)
        await until(lambda: len(scripted.taken["reader@far.example"]) == 2)
    welcome = parse(scripted.taken["reader@far.example"][1])
    assert welcome["Subject"] == "You are subscribed: Situation in Belarus"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def _is_held(database: Database) -> bool:
    try:
        with workers.sole_use(database):
            return False
    except workers.SecondWorker:
        return True


async def start_worker(settings: Settings, relay: ScriptedRelay, folder: Path) -> asyncio.subprocess.Process:
    environment = {
        **os.environ,
        "MAILER_DATABASE_URL": settings.database_url,
        "MAILER_SECRET_KEY": settings.secret_key.get_secret_value(),
        "MAILER_ADDRESS_KEY": settings.address_key.get_secret_value(),
        "MAILER_LINK_HOSTS": "https://news.example.org",
        "MAILER_MAIL_DOMAIN": settings.mail_domain,
        "MAILER_RELAY_HOST": "127.0.0.1",
        "MAILER_RELAY_PORT": str(relay.port),
        "MAILER_RELAY_CONNECTIONS": "4",
    }
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "mailer", "worker", cwd=folder, env=environment)


async def test_the_worker_seals_consents_and_lets_go_what_is_old(
    app: App, publication: Publication, clock: HandedClock, subscribe: Subscribe
) -> None:
    (asked,) = subscribe("anna@example.org", status=SubscriptionStatus.PENDING)
    words: Any = {"wording": "Yes.", "language": "en", "source": "form", "network": ""}
    with app.database.write() as session:
        session.add(Consent(subscription_id=asked, event=ConsentEvent.REQUESTED, at=clock(), **words))
    worker = Worker(app)
    worker.seal(clock())
    with app.database.read() as session:
        assert not chain.waits(session)
        assert chain.verify(session).consents == 1
    clock.pass_(days=31)
    worker.clean(clock())
    worker.seal(clock())
    with app.database.read() as session:
        assert session.exec(select(Subscription)).all() == []
        assert chain.verify(session).removed == {"unconfirmed": 1}
