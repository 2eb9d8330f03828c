"""Subscribing over HTTP, as a reader or a program does it."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import select
from starlette.testclient import TestClient

from mailer.app import App
from mailer.delivery import ledger as ledger_
from mailer.subscribers import optin, suppression
from mailer.subscribers.address import hash, parse
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, DeliveryKind, Subscriber, Subscription, Suppression, SuppressionReason
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN, Ledger, form

SAYS = {
    "en": ("Check your mailbox", "You have been successfully subscribed", "You have been unsubscribed"),
    "be": ("Праверце пошту", "Вы паспяхова падпісаліся", "Вы адпісаліся"),
    "ru": ("Проверьте почту", "Вы успешно подписались", "Вы отписались"),
}


@pytest.mark.parametrize("language", SAYS)
def test_a_reader_subscribes_confirms_and_leaves(client: TestClient, ledger: Ledger, language: str) -> None:
    check, subscribed, left = SAYS[language]
    asked = client.post("/subscribe", data=form(edition="be-ru", language=language))
    assert (asked.status_code, check in asked.text) == (200, True)
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION]

    assert "<button" in client.get(ledger.confirm_path()).text
    answer = client.post(ledger.confirm_path())
    assert (answer.status_code, subscribed in answer.text) == (200, True)
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME]

    assert "<button" in client.get(ledger.leave_path()).text
    gone = client.post(ledger.leave_path(), data={"from": "page"})
    assert (gone.status_code, left in gone.text) == (200, True)
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED


def test_the_consent_holds_what_the_form_said_and_where_it_stood(client: TestClient, ledger: Ledger) -> None:
    shown = client.get("/belarus/ru").text
    client.post("/subscribe", data=form())
    asked = client.get(ledger.confirm_path()).text
    client.post(ledger.confirm_path())
    requested, confirmed = ledger.consents()
    assert requested.wording in shown
    assert "Ситуация в Беларуси" in requested.wording
    assert (requested.language, requested.source) == ("ru", f"form {ORIGIN}/belarus/ru")
    assert (confirmed.event, confirmed.source, confirmed.request_id) == (ConsentEvent.CONFIRMED, "link", requested.id)
    assert confirmed.wording in asked


def test_the_answer_does_not_tell_who_reads_us(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    suppressed = hash(parse("sadie@example.org"), app.settings.address_key.get_secret_value())
    with app.database.write() as session:
        session.add(
            Suppression(address_hash=suppressed, reason=SuppressionReason.BOUNCE, added_at=clock(), added_by="test")
        )
    answers = [client.post("/subscribe", data=form(address="stranger@example.org"))]  # unknown
    answers += [client.post("/subscribe", data=form(address="stranger@example.org"))]  # asked a moment ago
    answers += [client.post("/subscribe", data=form())]  # confirmed a moment ago
    clock.pass_(hours=1)
    answers += [client.post("/subscribe", data=form())]  # confirmed
    answers += [client.post("/subscribe", data=form(address="sadie@example.org"))]  # suppressed
    answers += [client.post("/subscribe", data=form(address="robot@example.org", website="https://spam.example"))]
    first, *rest = [(answer.status_code, answer.content, sorted(answer.headers.items())) for answer in answers]
    assert all(answer == first for answer in rest)
    kinds = [mail.kind for mail in ledger.mails()]
    assert kinds == 2 * [DeliveryKind.CONFIRMATION, DeliveryKind.WELCOME], "the first reader's, the stranger's, again"


def test_two_requests_at_once_make_one_mail(client: TestClient, ledger: Ledger) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(client.post("/subscribe", data=form()).status_code))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4
    assert (len(ledger.subscriptions()), len(ledger.mails())) == (1, 1)


@pytest.mark.parametrize("typed", ["", "anna", '"><script>alert(1)</script>', "anna@example.org\r\nBcc: b@example.org"])
def test_a_wrong_address_comes_back_with_what_to_do(client: TestClient, ledger: Ledger, typed: str) -> None:
    answer = client.post("/subscribe", data=form(address=typed, edition="be-ru"))
    assert answer.status_code == 422
    assert 'aria-invalid="true" aria-describedby="wrong-address"' in answer.text
    assert "name@example.org" in answer.text
    assert 'value="be-ru" checked' in answer.text
    assert "<script" not in answer.text
    assert ledger.subscriptions() + ledger.consents() + ledger.mails() == []


def test_what_was_typed_is_kept(client: TestClient) -> None:
    assert 'value="anna@nowhere"' in client.post("/subscribe", data=form(address="anna@nowhere")).text


def test_an_edition_that_is_not_offered_is_asked_for_again(client: TestClient, ledger: Ledger) -> None:
    answer = client.post("/subscribe", data=form(edition="fr"))
    assert answer.status_code == 422
    assert 'id="wrong-edition"' in answer.text
    assert ledger.subscriptions() + ledger.consents() + ledger.mails() == []


def test_a_publication_that_does_not_exist_is_not_found(client: TestClient) -> None:
    assert client.post("/subscribe", data=form(publication="nope")).status_code == 404


def test_a_language_that_we_do_not_speak_becomes_one_that_we_do(client: TestClient, ledger: Ledger) -> None:
    assert client.post("/subscribe", data=form(language="../../etc")).status_code == 200
    assert ledger.subscriptions()[0].language == "en"


def test_a_form_in_multipart_is_understood(client: TestClient, ledger: Ledger) -> None:
    answer = client.post("/subscribe", files={name: (None, value) for name, value in form().items()})
    assert answer.status_code == 200
    assert len(ledger.mails()) == 1


FIELDS = st.dictionaries(
    st.sampled_from(["publication", "edition", "address", "language", "website", "stamp", "altcha", "x\0"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    | st.sampled_from(["belarus", "ru", "anna@example.org", "\0", "{}", "{name}", "%s", "' OR 1=1 --"]),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(fields=FIELDS)
def test_no_form_is_ever_a_server_error(client: TestClient, fields: dict[str, str]) -> None:
    for sent in (fields, form(**fields)):
        answer = client.post("/subscribe", data=sent, headers={"Accept-Language": "be"})
        assert answer.status_code in (200, 404, 422)
        spoken = sent["language"] if sent.get("language") in ("en", "ru") and answer.status_code != 404 else "be"
        assert f'<html lang="{spoken}">' in answer.text, "a page in the reader's language"
        assert answer.text.count("<h1") == 1


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    body=st.binary(max_size=300),
    kind=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/form-data; boundary=x; charset=raw_unicode_escape",
            "application/json",
            "",
        ]
    ),
)
def test_no_body_is_ever_a_server_error(client: TestClient, body: bytes, kind: str) -> None:
    for path in ("/subscribe", "/u/x", "/c/x", "/console/sign-in"):
        headers = {"content-type": kind, "origin": ORIGIN}
        assert client.post(path, content=body, headers=headers).status_code in (400, 403, 404, 422, 429)


def test_lone_surrogates_in_a_multipart_form_are_harmless(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="address"\r\n\r\n\\ud800@example.org\r\n'
    body += b'--x\r\nContent-Disposition: form-data; name="publication"\r\n\r\nbelarus\r\n--x--\r\n'
    kind = "multipart/form-data; boundary=x; charset=raw_unicode_escape"
    assert client.post("/subscribe", content=body, headers={"content-type": kind}).status_code == 422


# The confirm link


def test_a_link_that_was_cut_says_so(client: TestClient, ledger: Ledger) -> None:
    client.post("/subscribe", data=form())
    path = ledger.confirm_path()
    for broken in (path[:-1], path + "a", path[:-5] + "aaaaa", "/c/x", "/c/" + "é" * 32):
        for answer in (client.get(broken), client.post(broken)):
            assert answer.status_code == 400
            assert "This link is not complete" in answer.text
            assert 'href="/"' in answer.text
    assert ledger.subscriptions()[0].status is SubscriptionStatus.PENDING


def test_a_link_of_another_purpose_is_worth_nothing(client: TestClient, app: App, ledger: Ledger) -> None:
    client.post("/subscribe", data=form())
    before = ledger.everything()
    for purpose in Purpose:
        token = app.tokens.make(purpose, 1)
        if purpose is not Purpose.CONFIRM:
            assert client.post(f"/c/{token}").status_code == 400
        if purpose is not Purpose.UNSUBSCRIBE:
            assert client.post(f"/u/{token}").status_code == 400
    assert ledger.everything() == before


def test_an_expired_link_leads_back_to_the_form_in_its_readers_language(
    client: TestClient, ledger: Ledger, clock: HandedClock
) -> None:
    client.post("/subscribe", data=form())
    clock.pass_(hours=73, minutes=1)
    for answer in (client.get(ledger.confirm_path()), client.post(ledger.confirm_path())):
        assert answer.status_code == 410
        assert "Срок действия ссылки истёк" in answer.text
        assert 'href="/belarus/ru"' in answer.text
    assert ledger.subscriptions()[0].status is SubscriptionStatus.PENDING


def test_an_expired_link_has_a_button_for_a_new_one(client: TestClient, ledger: Ledger, clock: HandedClock) -> None:
    client.post("/subscribe", data=form())
    expired = ledger.confirm_path()
    clock.pass_(hours=74)
    assert 'name="again"' in client.get(expired).text
    assert "Проверьте почту" in client.post(expired, data={"again": "yes"}).text
    assert [mail.kind for mail in ledger.mails()] == [DeliveryKind.CONFIRMATION] * 2
    first, second = ledger.consents()
    assert (second.event, second.source, second.wording) == (ConsentEvent.REQUESTED, "expired link", first.wording)
    before = ledger.acts()
    assert "Проверьте почту" in client.post(expired, data={"again": "yes"}).text
    assert ledger.acts() == before, "pressed twice"
    assert client.post(ledger.confirm_path()).status_code == 200
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    clock.pass_(hours=1)
    mails = len(ledger.mails())
    page = client.get(expired).text
    assert 'name="again"' not in page
    assert "Вы уже подписаны" in page
    assert "Эта ссылка больше не нужна." in page
    assert "форм" not in page, "who reads us needs none"
    assert client.post(expired, data={"again": "yes"}).status_code == 200
    assert len(ledger.mails()) == mails, "who has confirmed needs no new link"


def test_confirming_says_when_the_next_issue_comes_and_where_to_change_things(
    client: TestClient, app: App, ledger: Ledger
) -> None:
    client.post("/subscribe", data=form(language="be"))
    assert "Наступны выпуск: панядзелак, 23\N{NO-BREAK SPACE}лістапада." in client.get(ledger.confirm_path()).text
    page = client.post(ledger.confirm_path()).text
    assert "Наступны выпуск: панядзелак, 23\N{NO-BREAK SPACE}лістапада." in page
    assert f'href="{ledger.preferences_path()}"' in page


def test_the_link_works_to_its_last_hour(client: TestClient, ledger: Ledger, clock: HandedClock) -> None:
    client.post("/subscribe", data=form())
    clock.pass_(hours=71, minutes=59)
    assert client.post(ledger.confirm_path()).status_code == 200


def test_an_old_confirm_link_does_not_bring_back_who_left(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    old = ledger.confirm_path(ledger.mails()[0])
    client.post(ledger.leave_path())
    for answer in (client.get(old), client.post(old)):
        assert answer.status_code == 410
        assert "вы отписались" in answer.text
        assert "<button" not in answer.text
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED
    client.post("/subscribe", data=form())
    assert client.post(old).status_code == 410
    client.post(ledger.confirm_path())
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED


def test_the_button_may_be_pressed_twice(client: TestClient, ledger: Ledger, confirmed: Subscription) -> None:
    before = ledger.everything()
    again = client.post(ledger.confirm_path(ledger.mails()[0]))
    assert (again.status_code, "Вы успешно подписались" in again.text) == (200, True)
    assert ledger.everything() == before


def test_looking_changes_nothing(client: TestClient, ledger: Ledger, clock: HandedClock) -> None:
    client.post("/subscribe", data=form())
    confirm, leave = ledger.confirm_path(), ledger.leave_path()

    def look() -> None:
        before = ledger.everything()
        for path in (confirm, leave, "/subscribe", "/belarus/ru", "/", confirm[:-1], leave[:-1]):
            for read in (client.get, client.head, client.options):
                _ = read(path)
        assert ledger.everything() == before

    acts: list[Callable[[], object]] = [
        lambda: None,
        lambda: client.post(confirm),
        lambda: client.post(leave),
        lambda: clock.pass_(hours=80),
    ]
    for act in acts:
        act()
        look()


def test_the_pages_of_a_link_can_be_read_in_the_other_languages(client: TestClient, ledger: Ledger) -> None:
    client.post("/subscribe", data=form())
    page = client.get(ledger.confirm_path()).text
    assert '<html lang="ru">' in page
    assert '<a href="?language=be" lang="be" hreflang="be">Беларуская</a>' in page
    assert '<html lang="be">' in client.get(ledger.confirm_path() + "?language=be").text
    assert '<html lang="ru">' in client.get(ledger.confirm_path() + "?language=xx").text


# Who was asked whether mails are read


def test_the_button_of_the_question_keeps_a_reader(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription
) -> None:
    path = asked_again(app, confirmed)
    assert "<button" in client.get(path).text
    before = len(ledger.consents())
    answer = client.post(path)
    assert (answer.status_code, SAYS["ru"][1] in answer.text) == (200, True)
    assert len(ledger.consents()) == before + 1
    assert ledger.consents()[-1].event is ConsentEvent.CONFIRMED
    assert "<button" not in client.get(path).text


def test_a_reader_who_was_given_up_comes_back_by_the_form(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    given_up(app, confirmed, SuppressionReason.UNREACHABLE)
    clock.pass_(hours=1)
    client.post("/subscribe", data=form())
    client.post(ledger.confirm_path())
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    with app.database.read() as session:
        assert session.exec(select(Suppression.lifted_by)).all() == ["reader"]


def test_the_confirmation_of_a_reader_who_was_given_up_is_sent(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, clock: HandedClock, worker_id: int
) -> None:
    given_up(app, confirmed, SuppressionReason.UNREACHABLE)
    clock.pass_(hours=1)
    client.post("/subscribe", data=form())
    with app.database.write() as session:
        claims = ledger_.claim(session, worker_id=worker_id, relay="relay", limit=10, now=clock())
    assert ledger.mails()[-1].id in [claim.delivery_id for claim in claims]


@pytest.mark.parametrize(
    "reason", sorted(set(SuppressionReason) - {SuppressionReason.UNREACHABLE, SuppressionReason.ERASED})
)
def test_no_other_suppression_is_lifted_by_asking(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, clock: HandedClock, reason: SuppressionReason
) -> None:
    path = asked_again(app, confirmed)
    given_up(app, confirmed, reason)
    clock.pass_(hours=1)
    mails = len(ledger.mails())
    client.post("/subscribe", data=form())
    assert len(ledger.mails()) == mails
    assert client.post(path).status_code == 410
    assert ledger.subscriptions()[0].status is SubscriptionStatus.SUPPRESSED


def asked_again(app: App, reader: Subscription) -> str:
    """The path behind the question's button."""
    assert reader.id is not None
    with app.database.write() as session:
        owed = optin.ask_again(session, reader.id, app.clock())
    assert owed is not None
    assert owed.consent_id is not None
    return f"/c/{app.tokens.make(Purpose.CONFIRM, owed.consent_id)}"


def test_the_question_whether_mails_are_read_is_asked_again_where_its_link_has_expired(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, clock: HandedClock, worker_id: int
) -> None:
    asked_again(app, confirmed)
    expired = expired_question(app, ledger)
    clock.pass_(days=61)
    page = client.get(expired).text
    assert 'name="again"' in page
    assert "Вы подписаны" in page
    assert "больше не нужна" not in page
    told = [client.post(expired, data={"again": "yes"}).text for _ in range(2)]
    assert all("Вы по-прежнему подписаны" in each for each in told)
    assert [each.kind for each in ledger.mails()].count(DeliveryKind.WARNING) == 1, "pressed twice"
    with app.database.write() as session:
        claims = ledger_.claim(session, worker_id=worker_id, relay="relay", limit=10, now=clock())
    assert ledger.mails()[-1].id in [claim.delivery_id for claim in claims]
    assert client.post(ledger.confirm_path()).status_code == 200
    assert ledger.consents()[-1].event is ConsentEvent.CONFIRMED
    assert "больше не нужна" in client.get(expired).text
    clock.pass_(hours=1)
    client.post(expired, data={"again": "yes"})
    assert [each.kind for each in ledger.mails()].count(DeliveryKind.WARNING) == 1


def expired_question(app: App, ledger: Ledger) -> str:
    """The path behind the button of the last question, which is 60 days old by then."""
    consent_id = ledger.consents()[-1].id
    assert consent_id is not None
    return f"/c/{app.tokens.make(Purpose.CONFIRM, consent_id, expires=app.clock() + timedelta(days=60))}"


def test_no_new_link_is_promised_to_who_left_since(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    """And has asked again since: the new request's letter counts."""
    expired = ledger.confirm_path(next(each for each in ledger.mails() if each.kind is DeliveryKind.CONFIRMATION))
    client.post(ledger.leave_path(confirmed), data={"List-Unsubscribe": "One-Click"})
    clock.pass_(days=4)
    client.post("/subscribe", data=form())
    assert ledger.subscriptions()[0].status is SubscriptionStatus.PENDING
    page = client.get(expired).text
    assert 'name="again"' not in page
    assert "Заполните форму ещё раз" in page


def given_up(app: App, reader: Subscription, reason: SuppressionReason) -> None:
    with app.database.write() as session:
        subscriber = session.get_one(Subscriber, reader.subscriber_id)
        suppression.suppress(session, subscriber, reason, note="", by="mailer", now=app.clock())
