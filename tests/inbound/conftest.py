"""Deliveries that left, and what takes the mail that comes back about them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import automatic, ledger
from mailer.delivery.ledger import Answer
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.inbound.effects import Effects, Taken
from mailer.inbound.letter import Letter
from mailer.subscribers import optin
from mailer.subscribers.address import parse
from mailer.tables import (
    Arrival,
    Delivery,
    DeliveryKind,
    Edition,
    Issue,
    Publication,
    Quarantine,
    Subscriber,
    Subscription,
    Suppression,
)
from mailer.tokens import Purpose
from tests.delivery.readers import Subscribe
from tests.inbound.letters import READER
from tests.inbound.mailboxes import folder, pop3_wire, server, wire  # noqa: F401  fixtures

DOMAIN = "bounces.example.org"


@dataclass
class Inbound:
    """take() is what both ways in call; the rest is looking at what it did."""

    app: App

    @property
    def effects(self) -> Effects:
        app = self.app
        return Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)

    def take(self, octets: bytes, to: str | None, sender: str | None = "") -> Taken:
        return self.effects.take(Letter(octets=octets, road="receiver", recipient=to, sender=sender))

    def bounce_address(self, delivery_id: int) -> str:
        return f"bounce+{self.app.tokens.make(Purpose.RETURN_PATH, delivery_id)}@{DOMAIN}"

    def leave_address(self, subscription_id: int) -> str:
        return f"leave+{self.app.tokens.make(Purpose.UNSUBSCRIBE, subscription_id)}@{DOMAIN}"

    def delivery(self, delivery_id: int) -> Delivery:
        with self.app.database.read() as session:
            return session.get_one(Delivery, delivery_id)

    def reader(self, subscription_id: int) -> Subscription:
        with self.app.database.read() as session:
            return session.get_one(Subscription, subscription_id)

    @property
    def suppressions(self) -> list[Suppression]:
        with self.app.database.read() as session:
            return list(session.exec(select(Suppression)))

    @property
    def arrivals(self) -> list[Arrival]:
        with self.app.database.read() as session:
            return list(session.exec(select(Arrival).order_by(col(Arrival.id))))

    @property
    def warnings(self) -> list[int]:
        """The deliveries that ask a reader whether our mails are read."""
        with self.app.database.read() as session:
            asked = select(Delivery.id).where(Delivery.kind == DeliveryKind.WARNING).order_by(col(Delivery.id))
            return [each for each in session.exec(asked) if each is not None]

    def kept(self, arrival_id: int) -> bytes:
        """The octets of a mail in the quarantine."""
        with self.app.database.read() as session:
            return session.get_one(Quarantine, arrival_id).octets


@pytest.fixture
def inbound(app: App) -> Inbound:
    return Inbound(app)


Sent = Callable[..., list[int]]


@pytest.fixture
def sent(app: App, subscribe: Subscribe, going_out: Callable[[], int], worker_id: int) -> Sent:
    """sent("a@far.example", …) -> ids of deliveries that the relay accepted; again for the same readers, of another
    issue."""
    known = set[str]()

    def act(*addresses: str, consequence: Consequence = Consequence.ACCEPT) -> list[int]:
        subscribe(*(each for each in addresses if each not in known))
        known.update(addresses)
        with app.database.write() as session:
            for issue in session.exec(select(Issue)):
                issue.slug = f"before-{issue.id}"
        issue_id = going_out()
        with app.database.write() as session:
            claims = ledger.claim(session, worker_id=worker_id, relay="relay", limit=1000, now=app.clock())
            reply = Reply(Stage.DOT, 250, "2.0.0 Ok")
            ledger.record(session, [Answer(each, reply, Action(consequence), "relay", app.clock()) for each in claims])
            found = session.exec(
                select(Delivery.id, Subscriber.address)
                .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
                .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
                .where(Delivery.issue_id == issue_id)
            ).all()
        ids = {address: delivery_id for delivery_id, address in found}
        return [ids[each] for each in addresses if ids.get(each) is not None]  # type: ignore[misc]

    return act


@pytest.fixture
def app_confirmation(app: App, publication: Publication, worker_id: int) -> int:
    """The id of the delivery of a confirmation that was sent to an address that was only typed into the form."""
    with app.database.write() as session:
        edition = session.exec(select(Edition).where(Edition.code == "en")).one()
        requested = optin.request(
            session,
            edition=edition,
            address=parse(READER),
            address_hash="a hash",
            language="en",
            wording="",
            source="form",
            network="",
            window=timedelta(),
            now=app.clock(),
        )
        assert requested.owed is not None
        owed = requested.owed
        automatic.queue(session, owed, app.clock())
    with app.database.write() as session:
        (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=10, now=app.clock())
        reply = Reply(Stage.DOT, 250, "2.0.0 Ok")
        ledger.record(session, [Answer(claim, reply, Action(Consequence.ACCEPT), "relay", app.clock())])
    return claim.delivery_id


@pytest.fixture
def claimed(app: App, subscribe: Subscribe, going_out: Callable[[], int], worker_id: int) -> int:
    """The id of a delivery that is on the wire: its answer is not recorded yet."""
    subscribe(READER)
    going_out()
    with app.database.write() as session:
        (claim,) = ledger.claim(session, worker_id=worker_id, relay="relay", limit=10, now=app.clock())
    return claim.delivery_id
