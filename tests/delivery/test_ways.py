"""Several relays, limits, destinations and breakers, at work: what cannot leave now waits and is not lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery.relays import Ways
from mailer.delivery.session import Limits
from mailer.delivery.states import DeliveryStatus
from mailer.issues.states import IssueStatus
from mailer.tables import Attempt, Delivery, Issue, Suppression
from tests.conftest import HandedClock
from tests.delivery.literal import LiteralRelay
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay
from tests.delivery.test_sender import GoingOut, count, relay_at, sending, until

ACCEPTED = DeliveryStatus.ACCEPTED


def readers(number: int, domain: str = "example.org") -> list[str]:
    return [f"r{each}@{domain}" for each in range(number)]


async def test_relays_share_the_mail_by_their_weights(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*readers(400))
    going_out()
    async with LiteralRelay() as other:
        heavy = relay_at(scripted.port, name="heavy", weight=3, connections=1, window=4)
        light = relay_at(other.port, name="light", weight=1, connections=1, window=4)
        async with sending(app, Ways((heavy, light))):
            await until(lambda: count(app, ACCEPTED) == 400)
        everyone = [*scripted.taken, *(recipient for recipient, _ in other.taken)]
    assert sorted(everyone) == sorted(readers(400))
    assert scripted.taken
    assert other.taken  # each as fast as it can: a slow one does not hold up the other


async def test_the_others_go_on_with_what_a_broken_relay_cannot_take(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut
) -> None:
    subscribe(*readers(100))
    going_out()
    async with LiteralRelay() as broken:
        broken.says = lambda verb, _: b"550 5.7.1 Sender address rejected\r\n" if verb == "MAIL" else None
        ways = Ways((relay_at(broken.port, name="broken"), relay_at(scripted.port, name="good")))
        async with sending(app, ways):
            await until(lambda: count(app, ACCEPTED) == 100)
    assert {len(mails) for mails in scripted.taken.values()} == {1}


@pytest.mark.parametrize("main_is_there", [True, False])
async def test_the_spare_relay_is_used_only_while_no_other_can(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, main_is_there: bool
) -> None:
    subscribe(*readers(50))
    going_out()
    main_port = scripted.port
    if not main_is_there:
        await scripted.stop()
    async with LiteralRelay() as spare:
        ways = Ways((relay_at(main_port, name="main"), relay_at(spare.port, name="spare", weight=0)))
        async with sending(app, ways):
            await until(lambda: count(app, ACCEPTED) == 50)
        assert (len(scripted.taken), len(spare.taken)) == ((50, 0) if main_is_there else (0, 50))


async def test_a_days_allowance_is_kept_and_the_rest_goes_the_next_day(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(50))
    going_out()
    ways = Ways((relay_at(scripted.port, limits=Limits(per_day=20)),))
    for day in (20, 40, 50):
        async with sending(app, ways):  # a worker that starts anew knows what was given
            await until(lambda day=day: count(app, ACCEPTED) == day)  # type: ignore[misc]
            clock.pass_(hours=1)
        assert len(scripted.taken) == day
        clock.pass_(hours=24)


async def test_a_rate_is_kept(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(40))
    going_out()
    async with sending(app, Ways((relay_at(scripted.port, limits=Limits(per_second=5)),))):
        await until(lambda: count(app, ACCEPTED) == 1)  # a second's worth has not gathered yet
        for seconds in range(1, 8):
            clock.pass_(seconds=1)
            await until(lambda seconds=seconds: count(app, ACCEPTED) == 1 + 5 * seconds)  # type: ignore[misc]


async def test_a_domain_that_throttles_us_does_not_hold_up_the_others(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, clock: HandedClock
) -> None:
    subscribe(*readers(100, "big.example"), *readers(20, "small.example"))
    going_out()
    scripted.at_rcpt = lambda address: "451 4.7.28 Unusual rate" if address.endswith("big.example") else None
    async with sending(app, Ways((relay_at(scripted.port),))):
        await until(lambda: sum(address.endswith("small.example") for address in scripted.taken) == 20)
        with app.database.read() as session:
            tried = session.exec(select(Attempt.id).where(col(Attempt.code) == 451)).all()
        assert len(tried) <= 4 * 16  # those that were under way; the others were not tried in vain
        scripted.at_rcpt = lambda _: None
        while count(app, ACCEPTED) < 120:
            clock.pass_(minutes=1)
            before = count(app, ACCEPTED)
            await until(lambda before=before: count(app, ACCEPTED) > before or nothing_is_due(app, clock))  # type: ignore[misc]
    assert {len(mails) for mails in scripted.taken.values()} == {1}


def nothing_is_due(app: App, clock: HandedClock) -> bool:
    with app.database.read() as session:
        due = select(Delivery.id).where(col(Delivery.due_at) <= clock())
        return session.exec(due).first() is None and count(app, DeliveryStatus.SENDING) == 0


async def test_an_issue_that_is_taken_for_spam_pauses_and_costs_no_reader(
    app: App, scripted: ScriptedRelay, subscribe: Subscribe, going_out: GoingOut, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(*readers(200))
    issue_id = going_out()
    scripted.at_dot = lambda _: "554 5.7.1 This looks like spam"
    async with sending(app, Ways((relay_at(scripted.port, connections=1, window=2),))):
        await until(lambda: issue_status(app, issue_id) is IssueStatus.PAUSED)
    with app.database.read() as session:
        assert session.exec(select(Suppression)).all() == []
    assert 20 <= count(app, DeliveryStatus.REFUSED) < 40
    assert "mailer issue resume" in caplog.text


def issue_status(app: App, issue_id: int) -> IssueStatus:
    with app.database.read() as session:
        return session.get_one(Issue, issue_id).status


@contextmanager
def full_disk(app: App) -> Iterator[None]:
    """SQLite's own way to have no more room: the database may not grow."""
    engine = app.database.engine
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    engine.dispose()
    sa.event.listen(engine, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(engine, "connect", limit)
        engine.dispose()


@pytest.mark.sqlite
async def test_a_full_disk_stops_before_a_mail_leaves_without_its_attempt(
    app: App, subscribe: Subscribe, going_out: GoingOut, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(*readers(1000))
    going_out()
    async with LiteralRelay() as relay, sending(app, Ways((relay_at(relay.port),))):
        await until(lambda: len(relay.taken) >= 100)
        with full_disk(app):
            await until(lambda: "disk is full" in caplog.text)
            with app.database.read() as session:
                begun = len(session.exec(select(Attempt.id)).all())
            assert len(relay.taken) <= begun < 1000
        await until(lambda: count(app, ACCEPTED) == 1000)  # there is room again
    assert sorted(recipient for recipient, _ in relay.taken) == sorted(readers(1000))
