"""From a claim to a mail on the wire."""

import email
import email.policy
import re

import pytest
from sqlmodel import select

from mailer.app import App
from mailer.delivery import automatic
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import claim
from mailer.delivery.session import Envelope
from mailer.rendering.automatic import render_automatic
from mailer.rendering.letters import LETTERS
from mailer.subscribers.optin import Owed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, ConsentEvent, DeliveryKind, Publication, Subscriber, Subscription
from mailer.tokens import Purpose
from tests.delivery.readers import Subscribe

NOT_LETTERS = {DeliveryKind.ISSUE, DeliveryKind.FORWARD, DeliveryKind.TEST}


def test_every_kind_of_automatic_mail_has_a_letter() -> None:
    assert set(LETTERS) == {str(kind) for kind in DeliveryKind if kind not in NOT_LETTERS}


def queue_welcome(app: App, address: str, subscribe: Subscribe) -> None:
    (subscription_id,) = subscribe(address)
    queue(app, DeliveryKind.WELCOME, subscription_id)


def queue(app: App, kind: DeliveryKind, subscription_id: int) -> None:
    with app.database.write() as session:
        subscription = session.get_one(Subscription, subscription_id)
        consent = Consent(
            subscription_id=subscription_id,
            event=ConsentEvent.CONFIRMED,
            at=app.clock(),
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
        owed = Owed(kind, subscription.id, subscription.edition_id, subscriber.domain, consent.id)
        automatic.queue(session, owed, app.clock())


def made(app: App, composer: Composer, worker_id: int) -> tuple[bytes, bool]:
    """The next mail, and whether making it took long."""
    with app.database.write() as session:
        ready = composer.load(session, claim(session, worker_id=worker_id, relay="r", limit=1, now=app.clock()))
    takes_long = composer.takes_long(ready)
    ((_, envelope),) = composer.envelopes(ready)
    assert isinstance(envelope, Envelope)
    return b"".join(envelope.content), takes_long


@pytest.mark.sqlite
def test_automatic_mail_is_rendered_once_and_anew_when_the_publication_changes(
    app: App, worker_id: int, subscribe: Subscribe, publication: Publication
) -> None:
    composer = Composer(app.settings, app.tokens)
    for name in "abc":
        queue_welcome(app, f"{name}@example.org", subscribe)
    first, first_took_long = made(app, composer, worker_id)
    second, second_took_long = made(app, composer, worker_id)
    with app.database.write() as session:
        session.exec(select(Publication)).one().contact_address = "others@example.org"
    third, third_took_long = made(app, composer, worker_id)
    assert (first_took_long, second_took_long, third_took_long) == (True, False, True)
    assert b"editors@example.org" in second
    assert b"others@example.org" in third
    assert first != second  # another reader's tokens


@pytest.mark.sqlite
def test_each_letter_has_the_links_of_its_kind_and_no_others(
    app: App, worker_id: int, subscribe: Subscribe, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rendered in this process: a process of its own is another test's matter, and half a second.
    monkeypatch.setattr("mailer.delivery.composer.apart", lambda work, *values: render_automatic(*values))
    composer = Composer(app.settings, app.tokens)
    (reader,) = subscribe("a@example.org")
    paths = {
        DeliveryKind.CONFIRMATION: ({Purpose.CONFIRM}, SubscriptionStatus.PENDING),
        DeliveryKind.WELCOME: ({Purpose.PREFERENCES, Purpose.UNSUBSCRIBE}, SubscriptionStatus.CONFIRMED),
        DeliveryKind.GOODBYE: ({Purpose.UNSUBSCRIBE}, SubscriptionStatus.CONFIRMED),
        DeliveryKind.WARNING: ({Purpose.CONFIRM, Purpose.UNSUBSCRIBE}, SubscriptionStatus.CONFIRMED),
        DeliveryKind.NEW_ADDRESS: ({Purpose.MOVE}, SubscriptionStatus.PENDING),
        DeliveryKind.OLD_ADDRESS: ({Purpose.MOVE_BACK}, SubscriptionStatus.UNSUBSCRIBED),
        DeliveryKind.MY_DATA: ({Purpose.MY_DATA}, SubscriptionStatus.UNSUBSCRIBED),
        DeliveryKind.PREFERENCES: ({Purpose.PREFERENCES}, SubscriptionStatus.CONFIRMED),
    }
    assert {*paths, DeliveryKind.MY_DATA_FILE} == set(LETTERS)
    for kind, (purposes, status) in paths.items():
        with app.database.write() as session:
            session.get_one(Subscription, reader).status = status
        queue(app, kind, reader)
        content, _ = made(app, composer, worker_id)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
        assert found(app, text) == found(app, html) == purposes
        assert ("List-Unsubscribe" in mail) is (Purpose.UNSUBSCRIBE in purposes)
        assert Purpose.PREFERENCES not in found(app, str(mail["List-Unsubscribe"]))
        assert "a@example.org" not in text + html


_OF_PATH = {
    "c": Purpose.CONFIRM,
    "u": Purpose.UNSUBSCRIBE,
    "p": Purpose.PREFERENCES,
    "m": Purpose.MOVE,
    "b": Purpose.MOVE_BACK,
    "d": Purpose.MY_DATA,
}


def found(app: App, text: str) -> set[Purpose]:
    """What the links in `text` are for; their tokens are valid."""
    links = re.findall(r"https://news\.example\.org/([a-z])/([0-9a-f]{32})", text)
    for path, token in links:
        assert app.tokens.read(_OF_PATH[path], token, now=app.clock()) > 0
    return {_OF_PATH[path] for path, _ in links}
