"""A real Postfix takes an issue, writes its own reports and hands them to our receiver."""

import os
from collections.abc import Callable
from email.message import EmailMessage

import aiosmtplib
import pytest
from sqlmodel import col, select

from mailer.app import App, assemble
from mailer.delivery.states import DeliveryStatus
from mailer.inbound.incoming import Category, Effect
from mailer.rendering.decoded import parse
from mailer.tables import Arrival, Delivery, Publication, Quarantine, Subscriber, Subscription, Suppression
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay
from tests.inbound import postfix
from tests.test_worker import until, working

pytestmark = pytest.mark.sqlite  # what differs by database is tested without Postfix

REPLIES = {
    "full@far.example": "552 5.2.2 The mailbox is full",
    "late@far.example": "450 4.2.0 Come back later",
    "spam@far.example": "554 5.7.1 This message looks like spam",
}


@pytest.fixture
def ports() -> tuple[int, int]:
    """Of Postfix and of our receiver."""
    why_not = postfix.why_not()
    if why_not:
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    return postfix.free_port(), postfix.free_port()


async def test_postfix_reports_who_bounced_and_the_ledger_says_why(
    ports: tuple[int, int],
    app: App,
    clock: HandedClock,
    scripted: ScriptedRelay,
    subscribe: Subscribe,
    going_out: Callable[[], int],
) -> None:
    port, receiver = ports
    scripted.at_rcpt = REPLIES.get
    subscribe("here@near.example", "gone@near.example", *REPLIES)
    going_out()
    settings = app.settings.model_copy(
        update={"relay_port": port, "relay_connections": 2, "inbound_listen": f"127.0.0.1:{receiver}"}
    )
    with postfix.running(port=port, receiver=receiver, far=scripted.port) as folder:
        async with working(assemble(settings, clock)):
            await until(lambda: len(arrivals(app)) >= 4, seconds=60)
        assert len(list((folder / "mail" / "here" / "new").iterdir())) == 1
    assert statuses(app) == {
        "here@near.example": DeliveryStatus.ACCEPTED,
        "gone@near.example": DeliveryStatus.BOUNCED,
        "full@far.example": DeliveryStatus.BOUNCED,
        "late@far.example": DeliveryStatus.ACCEPTED,
        "spam@far.example": DeliveryStatus.BOUNCED,
    }
    told = {address: (each.effect, each.category) for address, each in arrivals(app).items()}
    assert told == {
        "gone@near.example": (Effect.SUPPRESSED, Category.UNKNOWN_USER),
        "full@far.example": (Effect.BOUNCED, Category.MAILBOX_FULL),
        "late@far.example": (Effect.NOTHING, Category.TEMPORARY),
        "spam@far.example": (Effect.ALARM, Category.SPAM),
    }
    full = arrivals(app)["full@far.example"]
    assert (full.status, full.reporter) == ("5.2.2", "relay.example")
    assert full.diagnostic is not None
    assert "The mailbox is full" in full.diagnostic
    with app.database.read() as session:
        assert session.exec(select(Suppression.address)).all() == ["gone@near.example"]


async def test_what_a_person_writes_reaches_the_editors_mailbox_octet_for_octet(
    ports: tuple[int, int], app: App, clock: HandedClock, publication: Publication
) -> None:
    port, receiver = ports
    with app.database.write() as session:
        session.get_one(Publication, publication.id).contact_address = "here@near.example"
    settings = app.settings.model_copy(update={"relay_port": port, "inbound_listen": f"127.0.0.1:{receiver}"})
    words = "Дарагая рэдакцыя!\r\n.\r\n..\r\nFrom here \t\r\n\r\n-- \r\nА"
    header = "From: Reader <reader@far.example>\r\nSubject: =?utf-8?b?0J/RgNC40LLQtdGC?=\r\nX-Odd:   as it is \t\r\n"
    octets = f"{header}\r\n{words}\r\n".encode()
    with postfix.running(port=port, receiver=receiver, far=1) as folder:
        new = folder / "mail" / "here" / "new"
        async with working(assemble(settings, clock)):
            async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as person:
                await person.sendmail("reader@far.example", ["belarus@bounces.example.org"], octets)
            await until(lambda: new.is_dir() and len(list(new.iterdir())) == 1, seconds=60)
        (mail,) = [parse(path.read_bytes()) for path in new.iterdir()]
    with app.database.read() as session:
        kept = session.exec(select(Quarantine.octets)).one()
    (original,) = mail.iter_attachments()
    assert isinstance(original, EmailMessage)
    assert original.get_content() == kept
    assert kept.endswith(f"\r\n\r\n{words}\r\n".encode())
    assert b"X-Odd:   as it is" in kept
    assert (mail["From"].addresses[0].addr_spec, mail["Reply-To"]) == ("editors@example.org", "reader@far.example")


def arrivals(app: App) -> dict[str, Arrival]:
    """The latest about each reader."""
    with app.database.read() as session:
        rows = session.exec(
            select(Subscriber.address, Arrival)
            .join(Subscription, col(Subscription.subscriber_id) == col(Subscriber.id))
            .join(Delivery, col(Delivery.subscription_id) == col(Subscription.id))
            .join(Arrival, col(Arrival.delivery_id) == col(Delivery.id))
        )
        return dict(rows.all())


def statuses(app: App) -> dict[str, str]:
    with app.database.read() as session:
        rows = session.exec(
            select(Subscriber.address, Delivery.status)
            .join(Subscription, col(Subscription.subscriber_id) == col(Subscriber.id))
            .join(Delivery, col(Delivery.subscription_id) == col(Subscription.id))
        )
        return dict(rows.all())
