"""Subscribing, confirming, leaving: over HTTP, as a reader or a program does it."""

from starlette.testclient import TestClient

from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import DeliveryKind
from tests.web.conftest import Ledger, form


def test_a_reader_subscribes_confirms_and_leaves(client: TestClient, ledger: Ledger) -> None:
    asked = client.post("/subscribe", data=form())
    assert asked.status_code == 200
    assert "Проверьте почту" in asked.text
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION]

    question = client.get(ledger.confirm_path())
    assert question.status_code == 200
    assert ledger.subscriptions()[0].status is SubscriptionStatus.PENDING
    answer = client.post(ledger.confirm_path())
    assert "Вы успешно подписались" in answer.text, answer.text
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME]

    assert "<button" in client.get(ledger.leave_path()).text
    left = client.post(ledger.leave_path(), data={"from": "page"})
    assert left.status_code == 200
    assert "Вы отписались" in left.text
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED
