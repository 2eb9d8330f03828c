"""Leaving: by the page's button, and by the mail program's (RFC 8058)."""

from datetime import date

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from mailer.app import App
from mailer.subscribers import subscription, suppression
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, Parting, PartingReason, Subscriber, Subscription, SuppressionReason
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form

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


def test_who_has_left_long_ago_is_led_to_the_form(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    client.post(ledger.leave_path(confirmed))
    clock.pass_(days=30)
    page = client.get(ledger.leave_path(confirmed)).text
    assert "Вы отписались" in page
    assert 'value="undo"' not in page
    assert 'href="/belarus/ru"' in page


def test_who_was_erased_has_left(client: TestClient, app: App, ledger: Ledger, confirmed: Subscription) -> None:
    path = ledger.leave_path(confirmed)
    with app.database.write() as session:
        session.delete(session.get_one(Subscriber, confirmed.subscriber_id))
    for answer in (client.get(path), client.post(path, data=ONE_CLICK)):
        assert answer.status_code == 200
        assert "You have been unsubscribed" in answer.text


# The way back


def press(client: TestClient, path: str, act: str, **fields: str) -> str:
    answer = client.post(path, data={"from": "page", "act": act, **fields})
    assert answer.status_code == 200
    return str(answer.text)


def test_leaving_is_taken_back_by_one_button(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    path = ledger.leave_path(confirmed)
    assert 'value="undo"' in client.post(path, data=ONE_CLICK).text
    page = press(client, path, "undo")
    assert "Вы снова подписаны" in page
    assert "/p/" not in page, "what providers see in List-Unsubscribe must not lead to the preferences"
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    last = ledger.consents()[-1]
    assert (last.event, last.source, last.wording) == (ConsentEvent.RESTORED, "link", "Вернуть мою подписку")
    before = ledger.everything()
    assert "Вы снова подписаны" in press(client, path, "undo")
    assert ledger.everything() == before, "pressed twice"


def test_after_thirty_days_only_the_form_brings_back(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    clock.pass_(days=29, hours=23)
    assert 'value="undo"' in client.get(path).text
    clock.pass_(hours=1)
    before = ledger.everything()
    assert "Вы отписались" in press(client, path, "undo")
    assert ledger.everything() == before


def test_who_leaves_again_after_an_undo_is_left_in_peace(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    press(client, path, "undo")  # somebody who was forwarded the letter, perhaps
    assert 'value="undo"' not in client.post(path, data=ONE_CLICK).text
    press(client, path, "undo")
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED


def test_who_was_never_confirmed_has_nothing_to_take_back(client: TestClient, ledger: Ledger) -> None:
    client.post("/subscribe", data=form())
    path = ledger.leave_path()
    client.post(path, data=ONE_CLICK)
    press(client, path, "undo")
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED


def test_a_suppressed_reader_cannot_undo(client: TestClient, app: App, ledger: Ledger, confirmed: Subscription) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    with app.database.write() as session:
        subscriber = session.get_one(Subscriber, confirmed.subscriber_id)
        suppression.suppress(session, subscriber, SuppressionReason.OPERATOR, note="", by="test", now=app.clock())
    press(client, path, "undo")
    assert ledger.subscriptions()[0].status is SubscriptionStatus.SUPPRESSED


def test_one_of_several_editions_is_left_and_the_others_are_named(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    choose = {"act": "choose", "edition-ru": "yes", "edition-en": "yes"}
    client.post(ledger.preferences_path(confirmed), data=choose)
    path = ledger.leave_path(confirmed)
    asked = client.get(path).text
    assert "издание RU?" in asked
    assert "Вы по-прежнему получаете: EN." in asked
    left = client.post(path, data={"from": "page"}).text
    assert "Вы по-прежнему получаете: EN." in left
    assert ledger.consents()[-1].wording in asked
    assert [each.status for each in ledger.subscriptions()] == [
        SubscriptionStatus.UNSUBSCRIBED,
        SubscriptionStatus.CONFIRMED,
    ]
    press(client, path, "everything")
    assert {each.status for each in ledger.subscriptions()} == {SubscriptionStatus.UNSUBSCRIBED}


# The reason


def partings(app: App) -> list[Parting]:
    with app.database.read() as session:
        return list(session.exec(select(Parting)))


def test_a_reason_is_kept_once_and_without_its_reader(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription
) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    page = press(client, path, "reason", reason="unsafe", words="  Слишком опасно \0 ")
    assert 'role="status"' in page
    assert "Спасибо" in page
    assert 'value="reason"' not in page
    press(client, path, "reason", reason="other", words="again")
    (kept,) = partings(app)
    assert (kept.reason, kept.words) == (PartingReason.UNSAFE, "Слишком опасно \N{REPLACEMENT CHARACTER}")
    assert kept.month == date(2026, 11, 1)
    assert set(Parting.model_fields) == {"id", "publication_id", "month", "reason", "words"}


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, []),
        ({"reason": "nope"}, []),
        ({"words": "   "}, []),
        ({"words": "x" * 501}, [(PartingReason.OTHER, "x" * 500)]),
        ({"reason": "never asked"}, [(PartingReason.NEVER_ASKED, "")]),
    ],
)
def test_a_reason_is_never_required(
    client: TestClient,
    app: App,
    ledger: Ledger,
    confirmed: Subscription,
    fields: dict[str, str],
    kept: list[tuple[PartingReason, str]],
) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    assert "Вы отписались" in press(client, path, "reason", **fields)
    assert [(each.reason, each.words) for each in partings(app)] == kept


def test_who_has_not_left_gives_no_reason(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription
) -> None:
    press(client, ledger.leave_path(confirmed), "reason", reason="unsafe")
    assert partings(app) == []
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED


def test_an_undo_brings_back_what_somebody_asked_for_meanwhile(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    both = {"act": "choose", "edition-ru": "yes", "edition-en": "yes"}
    client.post(ledger.preferences_path(confirmed), data=both)
    ru, en = ledger.subscriptions()
    press(client, ledger.leave_path(ru), "everything")
    clock.pass_(hours=1)
    client.post("/subscribe", data=form())
    assert ledger.statuses() == {
        "anna@example.org ru": SubscriptionStatus.PENDING,
        "anna@example.org en": SubscriptionStatus.UNSUBSCRIBED,
    }
    press(client, ledger.leave_path(en), "undo")
    assert set(ledger.statuses().values()) == {SubscriptionStatus.CONFIRMED}


def test_a_complaint_after_leaving_cannot_be_taken_back(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription
) -> None:
    assert confirmed.id is not None
    path = ledger.leave_path(confirmed)
    client.post(path, data=ONE_CLICK)
    with app.database.write() as session:
        subscription.leave(session, confirmed.id, source="complaint", network="", now=app.clock(), complained=True)
    press(client, path, "undo")
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED


# Buttons of pages that are no longer true


@pytest.mark.parametrize("way", ["unsubscribe link", "preferences"])
def test_a_reason_from_a_page_that_an_undo_has_overtaken_is_not_thanked_for(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, way: str
) -> None:
    path = ledger.leave_path(confirmed) if way == "unsubscribe link" else ledger.preferences_path(confirmed)
    press(client, path, "everything")
    press(client, path, "undo")
    page = press(client, path, "reason", reason="unsafe")
    assert "Спасибо" not in page
    assert "Вы отписались" not in page
    assert "Вы получаете: RU." in page
    assert partings(app) == []


def test_a_reason_is_thanked_for_when_it_is_kept(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    for path in (ledger.leave_path(confirmed), ledger.preferences_path(confirmed)):
        press(client, path, "everything")
        assert "Спасибо" in press(client, path, "reason", reason="unsafe")
        assert "Спасибо" not in press(client, path, "reason", reason="unsafe"), "it was kept once"
        press(client, path, "undo")
        client.post("/subscribe", data=form())
        client.post(ledger.confirm_path())


def test_an_undo_that_is_no_longer_possible_says_what_is_still_left(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    both = {"act": "choose", "edition-ru": "yes", "edition-en": "yes"}
    client.post(ledger.preferences_path(confirmed), data=both)
    path = ledger.leave_path(confirmed)
    for act in ("", "undo", ""):  # taken back once, and left again
        press(client, path, act)
    page = press(client, path, "undo")
    assert "Вы отписались" in page
    assert "Вы снова подписаны" not in page
    assert "Вы по-прежнему получаете: EN." in page
    page = press(client, ledger.preferences_path(confirmed), "undo")
    assert "Всё как прежде" not in page
    assert "Вы получаете: EN." in page
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED
