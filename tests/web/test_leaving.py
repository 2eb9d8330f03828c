"""Leaving: by the page's button, and by the mail program's (RFC 8058)."""

import pytest
from starlette.testclient import TestClient

from mailer.app import App
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, Subscriber, Subscription
from tests.conftest import HandedClock
from tests.web.conftest import Ledger

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart"])
def test_one_click_unsubscribes_without_cookie_question_or_redirect(
    client: TestClient, ledger: Ledger, confirmed: Subscription, encoding: str
) -> None:
    path = ledger.leave_path(confirmed)
    answer = (
        client.post(path, data=ONE_CLICK)
        if encoding == "urlencoded"
        else client.post(path, files={name: (None, value) for name, value in ONE_CLICK.items()})
    )
    assert answer.status_code == 200
    assert not answer.cookies
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED
    last = ledger.consents()[-1]
    assert (last.event, last.source) == (ConsentEvent.LEFT, "one-click")


def test_the_pages_button_is_recorded_as_the_link(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    client.post(ledger.leave_path(confirmed), data={"from": "page"})
    assert ledger.consents()[-1].source == "link"


@pytest.mark.parametrize("body", [b"", b"%%%&&&==", b"--x\r\nbroken", b"x" * 100_000])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_a_broken_body_does_not_keep_a_reader_in(
    client: TestClient, ledger: Ledger, confirmed: Subscription, body: bytes, kind: str
) -> None:
    answer = client.post(ledger.leave_path(confirmed), content=body, headers={"content-type": kind})
    assert answer.status_code == 200
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED


def test_another_sites_origin_does_not_matter(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    headers = {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post(ledger.leave_path(confirmed), data=ONE_CLICK, headers=headers).status_code == 200


def test_the_link_of_a_very_old_mail_works_and_works_again(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    clock.pass_(days=3650)
    assert client.post(ledger.leave_path(confirmed), data=ONE_CLICK).status_code == 200
    before = ledger.everything()
    assert client.post(ledger.leave_path(confirmed), data=ONE_CLICK).status_code == 200
    assert ledger.everything() == before


def test_who_has_left_sees_no_button(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    client.post(ledger.leave_path(confirmed))
    page = client.get(ledger.leave_path(confirmed)).text
    assert "Вы отписались" in page
    assert "<button" not in page
    assert 'href="/belarus/ru"' in page


def test_who_was_erased_has_left(client: TestClient, app: App, ledger: Ledger, confirmed: Subscription) -> None:
    path = ledger.leave_path(confirmed)
    with app.database.write() as session:
        session.delete(session.get_one(Subscriber, confirmed.subscriber_id))
    for answer in (client.get(path), client.post(path, data=ONE_CLICK)):
        assert answer.status_code == 200
        assert "You have been unsubscribed" in answer.text
