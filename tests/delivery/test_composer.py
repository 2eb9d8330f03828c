"""From a claim to a mail on the wire."""

import pytest
from sqlmodel import select

from mailer.app import App
from mailer.delivery import automatic
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import claim
from mailer.delivery.session import Envelope
from mailer.rendering.letters import LETTERS
from mailer.tables import Consent, ConsentEvent, DeliveryKind, Publication, Subscriber, Subscription
from tests.delivery.readers import Subscribe

NOT_LETTERS = {DeliveryKind.ISSUE, DeliveryKind.FORWARD, DeliveryKind.TEST}


def test_every_kind_of_automatic_mail_has_a_letter() -> None:
    assert set(LETTERS) == {str(kind) for kind in DeliveryKind if kind not in NOT_LETTERS}


def queue_welcome(app: App, address: str, subscribe: Subscribe) -> None:
    (subscription_id,) = subscribe(address)
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
        automatic.queue(
            session,
            DeliveryKind.WELCOME,
            subscription=subscription,
            subscriber=session.get_one(Subscriber, subscription.subscriber_id),
            consent_id=consent.id,
            now=app.clock(),
        )


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
