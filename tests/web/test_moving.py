"""A reader goes on at another address."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from mailer.app import App
from mailer.delivery import ledger as deliveries
from mailer.delivery import workers
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.subscribers import limits, subscription
from mailer.subscribers.address import hash, parse
from mailer.subscribers.limits import Measure
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Attempt,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form
from tests.web.test_asking import site

CONFIRMED, LEFT, PENDING = SubscriptionStatus.CONFIRMED, SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.PENDING
OLD, NEW = "anna@example.org ru", "anna@example.net ru"


def asking(address: str = "anna@example.net") -> dict[str, str]:
    return {"act": "move", "address": address}


@pytest.fixture
def path(ledger: Ledger, confirmed: Subscription) -> str:
    return ledger.preferences_path(confirmed)


@pytest.fixture
def moved(client: TestClient, ledger: Ledger, path: str) -> str:
    """The preferences of anna@example.org, who now reads at anna@example.net."""
    client.post(path, data=asking())
    client.post(ledger.move_path())
    return path


def test_nothing_moves_before_the_new_mailbox_says_so(client: TestClient, ledger: Ledger, path: str) -> None:
    answer = client.post(path, data=asking())
    assert 'role="status"' in answer.text
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: PENDING}
    assert ledger.mails()[-1].kind is DeliveryKind.NEW_ADDRESS
    assert ledger.mails()[-1].destination == "example.net"
    assert "<button" in client.get(ledger.move_path()).text
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: PENDING}


def test_the_new_address_confirms_and_the_old_one_is_told(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data=asking())
    asked = client.get(ledger.move_path()).text
    answer = client.post(ledger.move_path())
    assert "Ваш адрес изменён" in answer.text
    assert ledger.statuses() == {OLD: LEFT, NEW: CONFIRMED}
    told = ledger.mails()[-1]
    assert (told.kind, told.destination) == (DeliveryKind.OLD_ADDRESS, "example.org")
    confirmed = next(each for each in reversed(ledger.consents()) if each.event is ConsentEvent.CONFIRMED)
    assert confirmed.wording in asked
    assert confirmed.request_id is not None
    before = ledger.everything()
    assert "Ваш адрес изменён" in client.post(ledger.move_path()).text
    assert ledger.everything() == before, "pressed twice"


@pytest.mark.parametrize("language", ["be", "en", "ru"])
def test_the_request_names_the_language_that_its_words_are_in(
    client: TestClient, ledger: Ledger, path: str, language: str
) -> None:
    page = client.get(f"{path}?language={language}").text
    client.post(f"{path}?language={language}", data=asking())
    asked = ledger.consents()[-1]
    assert (asked.event, asked.language) == (ConsentEvent.REQUESTED, language)
    assert asked.wording in page
    assert [each.language for each in ledger.subscriptions()] == ["ru", "ru"], "letters stay in the reader's"


def test_all_editions_move_with_language_and_pause(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data={"act": "choose", "edition-ru": "yes", "edition-en": "yes", "language": "be"})
    client.post(path, data={"act": "pause", "pause": "4"})
    client.post(path, data=asking())
    client.post(ledger.move_path())
    new = [each for each in ledger.subscriptions() if each.status is CONFIRMED]
    assert [each.language for each in new] == ["be", "be"]
    assert all(each.paused_until for each in new)
    assert len(new) == 2


def test_an_old_letter_has_no_power_over_the_new_address_except_to_leave(
    client: TestClient, ledger: Ledger, moved: str, confirmed: Subscription
) -> None:
    before = ledger.everything()
    for answer in (client.get(moved), client.post(moved, data={"act": "pause", "pause": "2"})):
        assert answer.status_code == 410
        assert "example.net" not in answer.text
    assert client.post(moved, data=asking("eve@example.com")).status_code == 410
    assert client.post(moved, data={"act": "undo"}).status_code == 410
    assert ledger.everything() == before
    assert client.post(ledger.leave_path(confirmed), data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert ledger.statuses() == {OLD: LEFT, NEW: LEFT}


def test_who_moves_is_not_said_to_have_left(client: TestClient, ledger: Ledger, moved: str) -> None:
    client.post(ledger.move_back_path())
    client.post(f"{moved}/data")
    held = client.get(ledger.my_data_path()).text
    assert "Письма начали приходить на другой адрес." in held
    assert "Изменение адреса отменено." in held
    assert "Вы отписались." not in held


def test_the_old_address_takes_it_back(client: TestClient, ledger: Ledger, moved: str) -> None:
    assert "<button" in client.get(ledger.move_back_path()).text
    answer = client.post(ledger.move_back_path())
    assert "Изменение адреса отменено" in answer.text
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: LEFT}
    before = ledger.everything()
    assert client.post(ledger.move_back_path()).status_code == 200
    assert ledger.everything() == before, "pressed twice"
    assert client.post(ledger.move_path()).status_code == 410, "the new address cannot do it again"
    assert ledger.everything() == before


def test_after_that_no_link_moves_the_reader_for_a_month(
    client: TestClient, ledger: Ledger, moved: str, clock: HandedClock
) -> None:
    client.post(ledger.move_back_path())
    clock.pass_(days=29)
    before = ledger.acts()
    assert client.post(moved, data=asking("eve@example.com")).status_code == 200
    assert ledger.acts() == before
    clock.pass_(days=2)
    client.post(moved, data=asking("eve@example.com"))
    assert ledger.acts() != before


def test_taking_back_reaches_through_a_second_move(client: TestClient, ledger: Ledger, moved: str) -> None:
    back = ledger.move_back_path()
    second = next(each for each in ledger.subscriptions() if each.status is CONFIRMED)
    client.post(ledger.preferences_path(second), data=asking("eve@example.com"))
    client.post(ledger.move_path())
    assert ledger.statuses()["eve@example.com ru"] is CONFIRMED
    client.post(back)
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: LEFT, "eve@example.com ru": LEFT}


def test_what_the_new_address_read_before_stays_when_it_is_taken_back(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    client.post("/subscribe", data=form(address="anna@example.net"))
    client.post(ledger.confirm_path())
    clock.pass_(hours=1)
    client.post(path, data=asking())
    client.post(ledger.move_path())
    assert ledger.statuses() == {OLD: LEFT, NEW: CONFIRMED}
    client.post(ledger.move_back_path())
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: CONFIRMED}


def test_the_answer_does_not_tell_who_reads_us(
    client: TestClient, app: App, ledger: Ledger, path: str, clock: HandedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.subscribers.moving.ASKED_AT_MOST", 9)
    client.post("/subscribe", data=form(address="boris@example.org"))
    client.post(ledger.confirm_path())
    clock.pass_(hours=1)
    with app.database.write() as session:
        key = app.settings.address_key.get_secret_value()
        for address, reason in (("sadie@example.org", "bounce"), ("erased@example.org", "erased")):
            session.add(
                Suppression(
                    address_hash=hash(parse(address), key),
                    reason=SuppressionReason(reason),
                    added_at=clock(),
                    added_by="test",
                )
            )
    answers = []
    for name in ("new", "boris", "sadie", "erased", "anna", "new"):
        answers.append(client.post(path, data=asking(f"{name}@example.org")))
    first, *rest = [(answer.status_code, answer.content, sorted(answer.headers.items())) for answer in answers]
    assert all(answer == first for answer in rest)
    written = [each for each in ledger.mails() if each.kind is DeliveryKind.NEW_ADDRESS]
    assert len(written) == 2, "the new one once, and the one who reads already"
    assert ledger.statuses()["boris@example.org ru"] is CONFIRMED


def test_a_link_is_no_way_to_write_to_many(client: TestClient, ledger: Ledger, path: str, clock: HandedClock) -> None:
    for number in range(6):
        client.post(path, data=asking(f"victim{number}@example.com"))
    assert sum(each.kind is DeliveryKind.NEW_ADDRESS for each in ledger.mails()) == 3
    clock.pass_(days=1, seconds=1)
    client.post(path, data=asking("victim9@example.com"))
    assert sum(each.kind is DeliveryKind.NEW_ADDRESS for each in ledger.mails()) == 4


LATER = "Попросить снова можно будет после 21\N{NO-BREAK SPACE}ноября 2026, 03:00."


def test_how_often_a_link_may_ask_is_said_before_and_when_it_has(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    before = client.get(path).text
    assert "Не более 3\N{NO-BREAK SPACE}таких писем в день." in before
    assert LATER not in before
    for number in range(3):
        assert "<title>Ещё один шаг – " in client.post(path, data=asking(f"new{number}@example.com")).text
    assert 'name="address"' not in client.get(path).text
    assert LATER in client.get(path).text
    acts = ledger.acts()
    answer = client.post(path, data=asking("one-more@example.com")).text
    assert LATER in answer
    assert "<title>Ничего не отправлено – " in answer
    assert "который вы ввели, можно писать" not in answer
    assert ledger.acts() == acts
    clock.pass_(days=1)
    assert 'name="address"' in client.get(path).text


def test_what_a_link_has_used_up_does_not_tell_what_became_of_an_address(
    client: TestClient, app: App, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    suppressed = hash(parse("sadie@example.net"), app.settings.address_key.get_secret_value())
    with app.database.write() as session:
        reason = SuppressionReason.COMPLAINT
        session.add(Suppression(address_hash=suppressed, reason=reason, added_at=clock(), added_by="test"))
    mails = len(ledger.mails())
    for address in ("anna@example.org", "sadie@example.net", "sadie@example.net"):
        client.post(path, data=asking(address))
    assert len(ledger.mails()) == mails
    assert LATER in client.get(path).text, "as if there had been letters"


def test_two_who_ask_at_once_are_counted_both(client: TestClient, ledger: Ledger, path: str) -> None:
    with ThreadPoolExecutor(8) as many:
        list(many.map(lambda number: client.post(path, data=asking(f"new{number}@example.com")), range(8)))
    assert sum(each.kind is DeliveryKind.NEW_ADDRESS for each in ledger.mails()) == 3


def test_who_took_a_change_back_is_told_that_no_link_changes_the_address_now(
    client: TestClient, ledger: Ledger, moved: str, clock: HandedClock
) -> None:
    client.post(ledger.move_back_path())
    said = "До 20\N{NO-BREAK SPACE}декабря 2026 адрес нельзя изменить ни по одной ссылке."
    assert said in client.get(moved).text
    assert 'name="address"' not in client.get(moved).text
    answer = client.post(moved, data=asking("eve@example.com"))
    assert said in answer.text
    assert "который вы ввели, можно писать" not in answer.text
    clock.pass_(days=30, seconds=1)
    assert said not in client.get(moved).text


@pytest.mark.parametrize("typed", ["", "anna", '"><script>alert(1)</script>', "a@example.org\r\nBcc: b@example.org"])
def test_a_wrong_address_is_pointed_at(client: TestClient, ledger: Ledger, path: str, typed: str) -> None:
    before = ledger.everything()
    answer = client.post(path, data=asking(typed))
    assert answer.status_code == 422
    assert 'aria-invalid="true" aria-describedby="wrong-address"' in answer.text
    assert "<script" not in answer.text
    assert ledger.everything() == before


def test_nobody_moves_to_an_address_that_the_form_would_not_take(
    client: TestClient, app: App, ledger: Ledger, path: str
) -> None:
    before = ledger.everything()
    for typed in ("postmaster@example.net", f"belarus+subscribe-ru@{app.settings.mail_domain}"):
        answer = client.post(path, data=asking(typed))
        assert answer.status_code == 422
        assert 'aria-invalid="true" aria-describedby="wrong-address"' in answer.text
    assert "это один из наших" in answer.text.lower()
    assert ledger.everything() == before


def test_who_left_meanwhile_is_not_moved(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data=asking())
    client.post(path, data={"act": "everything"})
    before = ledger.everything()
    for answer in (client.get(ledger.move_path()), client.post(ledger.move_path())):
        assert answer.status_code == 410
        assert "подписка закончилась" in answer.text
    assert ledger.everything() == before


def test_an_expired_link_says_what_to_do(client: TestClient, ledger: Ledger, path: str, clock: HandedClock) -> None:
    client.post(path, data=asking())
    link = ledger.move_path()
    clock.pass_(hours=74)
    answer = client.post(link)
    assert answer.status_code == 410
    assert "попросите снова" in answer.text
    client.post(path, data=asking())
    client.post(ledger.move_path())
    back = ledger.move_back_path()
    clock.pass_(days=31)
    assert "Отменить изменение адреса здесь уже нельзя" in client.post(back).text
    assert ledger.statuses() == {OLD: LEFT, NEW: CONFIRMED}


def test_erased_readers_are_unknown(client: TestClient, app: App, ledger: Ledger, path: str) -> None:
    client.post(path, data=asking())
    link = ledger.move_path()
    with app.database.write() as session:
        session.delete(session.exec(select(Subscriber).where(Subscriber.address == "anna@example.org")).one())
    assert client.post(link).status_code == 410
    assert client.get(link).status_code == 410


def waits(app: App, subscription: Subscription, clock: HandedClock) -> None:
    """An issue is on its way to this reader."""
    with app.database.write() as session:
        waiting = Delivery(
            kind=DeliveryKind.ISSUE,
            issue_id=7,
            edition_id=subscription.edition_id,
            message_id=7,
            subscription_id=subscription.id,
            destination="example.org",
            status=DeliveryStatus.QUEUED,
            due_at=clock(),
            queued_at=clock(),
            changed_at=clock(),
        )
        session.add(waiting)


@pytest.mark.parametrize("limit", ["requests_per_address", "requests_per_domain", "requests_per_network"])
def test_asking_counts_as_a_request_and_beyond_its_limit_the_page_says_the_same(
    app: App, ledger: Ledger, path: str, limit: str
) -> None:
    client = site(app, network="203.0.113.7", **{limit: 1})
    counted = {"requests_per_address": "anna+1@example.net", "requests_per_domain": "x@example.net"}
    queued = len(ledger.mails())
    first = client.post(path, data=asking())
    assert len(ledger.mails()) == queued + 1
    subscribers = ledger.statuses()
    second = client.post(path, data=asking(counted.get(limit, "x@example.com")))
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert (len(ledger.mails()), ledger.statuses()) == (queued + 1, subscribers)


def test_the_form_and_a_change_of_address_count_together(
    client: TestClient, app: App, ledger: Ledger, path: str
) -> None:
    for number in range(app.settings.requests_per_address):
        client.post("/subscribe", data=form(address=f"anna+{number}@example.net"))
    queued = len(ledger.mails())
    client.post(path, data=asking())
    assert len(ledger.mails()) == queued


@pytest.mark.parametrize("before", [["victim@example.net"], [f"x{number}@example.com" for number in range(3)]])
def test_asking_for_an_address_that_gets_no_letter_uses_up_nobodys_day(
    client: TestClient, app: App, ledger: Ledger, path: str, before: list[str]
) -> None:
    """It was written to a moment ago, or the link has asked for as much as it may."""
    for address in [*before, *["victim@example.net"] * 5]:
        client.post(path, data=asking(address))
    for number in range(9):
        client.post("/subscribe", data=form(address=f"victim+{number}@example.net"))
    to_victim = sum(each.destination == "example.net" for each in ledger.mails())
    assert to_victim == app.settings.requests_per_address


def test_neither_does_one_after_a_change_was_taken_back_or_for_a_suppressed_address(
    app: App, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    client = site(app, requests_per_address=1)
    key = app.settings.address_key.get_secret_value()
    with app.database.write() as session:
        gone, reason = hash(parse("eve+old@example.net"), key), SuppressionReason.COMPLAINT
        session.add(Suppression(address_hash=gone, reason=reason, added_at=clock(), added_by="test"))
    for _ in range(2):
        client.post(path, data=asking("eve+old@example.net"))
    client.post(path, data=asking("anna@example.com"))
    client.post(ledger.move_path())
    client.post(ledger.move_back_path())
    for _ in range(5):
        client.post(path, data=asking("boris@example.net"))
    for address in ("eve@example.net", "boris@example.net"):
        queued = len(ledger.mails())
        client.post("/subscribe", data=form(address=address))
        assert len(ledger.mails()) == queued + 1


def test_changes_of_address_count_apart_from_the_form_for_their_domain_and_for_everybody(
    app: App, ledger: Ledger, path: str
) -> None:
    asker = site(app, network="198.51.100.7", requests_per_domain=1)
    stranger = site(app, network="203.0.113.7", requests_per_domain=1)
    everybody = {Measure.EVERYBODY: ""}
    with app.database.read() as session:
        before = limits.seen(session, everybody, app.settings.address_key.get_secret_value(), app.clock())
    for name in ("anna", "eve"):
        asker.post(path, data=asking(f"{name}@example.net"))
    assert [each.destination for each in ledger.mails()].count("example.net") == 1, "they have a limit of their own"
    with app.database.read() as session:
        assert limits.seen(session, everybody, app.settings.address_key.get_secret_value(), app.clock()) == before
    answers = [stranger.post("/subscribe", data=form(address=f"{name}@example.net")) for name in ("boris", "vera")]
    assert [each.status_code for each in answers] == [200, 429]
    assert [each.destination for each in ledger.mails()].count("example.net") == 2


def test_an_issue_that_is_going_out_follows_the_reader(
    client: TestClient, app: App, ledger: Ledger, path: str, confirmed: Subscription, clock: HandedClock
) -> None:
    waits(app, confirmed, clock)
    client.post(path, data=asking())
    client.post(ledger.move_path())
    issue = next(each for each in ledger.mails() if each.kind is DeliveryKind.ISSUE)
    new = next(each for each in ledger.subscriptions() if each.status is CONFIRMED)
    assert (issue.subscription_id, issue.destination) == (new.id, "example.net")
    client.post(ledger.move_back_path())
    issue = next(each for each in ledger.mails() if each.kind is DeliveryKind.ISSUE)
    assert (issue.subscription_id, issue.destination) == (confirmed.id, "example.org")
    with app.database.write() as session:
        deliveries.follow(session, [(int(confirmed.id or 0), int(confirmed.id or 0))], "example.com")
    assert next(each for each in ledger.mails() if each.kind is DeliveryKind.ISSUE).destination == "example.org"


def test_a_complaint_about_an_old_letter_does_not_reach_the_new_address(
    app: App, ledger: Ledger, moved: str, confirmed: Subscription
) -> None:
    assert confirmed.id is not None
    with app.database.write() as session:
        subscription.leave(session, confirmed.id, source="complaint", network="", now=app.clock(), complained=True)
    assert ledger.statuses() == {OLD: LEFT, NEW: CONFIRMED}


# What somebody else does meanwhile


def test_a_form_that_somebody_fills_in_does_not_keep_the_old_address_from_taking_it_back(
    client: TestClient, ledger: Ledger, moved: str, clock: HandedClock
) -> None:
    back = ledger.move_back_path()
    clock.pass_(hours=1)
    client.post("/subscribe", data=form(address="anna@example.org"))
    assert ledger.statuses() == {OLD: PENDING, NEW: CONFIRMED}
    assert "<button" in client.get(back).text
    assert client.post(back).status_code == 200
    assert ledger.statuses() == {OLD: CONFIRMED, NEW: LEFT}


def test_a_form_that_somebody_fills_in_does_not_keep_the_old_address_from_being_told(
    client: TestClient, app: App, ledger: Ledger, moved: str, clock: HandedClock
) -> None:
    clock.pass_(hours=1)
    client.post("/subscribe", data=form(address="anna@example.org"))
    with app.database.write() as session:
        worker = workers.register(session, clock(), alone=False)
        claims = deliveries.claim(session, worker_id=worker, relay="relay", limit=10, now=clock())
    assert DeliveryKind.OLD_ADDRESS in [each.kind for each in claims]


def test_once_taken_back_no_other_link_that_was_asked_for_before_moves_the_reader(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    client.post(path, data=asking())
    client.post(path, data=asking("eve@example.com"))
    first, second = [each for each in ledger.mails() if each.kind is DeliveryKind.NEW_ADDRESS]
    client.post(ledger.move_path(first))
    client.post(ledger.move_back_path())
    before = ledger.everything()
    assert client.get(ledger.move_path(second)).status_code == 410
    assert client.post(ledger.move_path(second)).status_code == 410
    assert ledger.everything() == before


def test_a_link_that_takes_back_a_change_takes_back_no_later_one(
    client: TestClient, ledger: Ledger, moved: str, clock: HandedClock
) -> None:
    back = ledger.move_back_path()
    for address in ("anna@example.org", "anna@example.com"):
        clock.pass_(hours=25)
        read = next(each for each in ledger.subscriptions() if each.status is CONFIRMED)
        client.post(ledger.preferences_path(read), data=asking(address))
        client.post(ledger.move_path())
    before = ledger.everything()
    assert client.post(back).status_code == 410
    assert ledger.everything() == before


def test_whoever_presses_leave_in_an_old_tab_has_left(client: TestClient, ledger: Ledger, moved: str) -> None:
    assert "Вы отписались" in client.post(moved, data={"act": "everything"}).text
    assert ledger.statuses() == {OLD: LEFT, NEW: LEFT}


def test_an_issue_that_waits_for_the_old_address_alone_goes_to_one_that_reads_already(
    client: TestClient, app: App, ledger: Ledger, path: str, confirmed: Subscription, clock: HandedClock
) -> None:
    waits(app, confirmed, clock)
    client.post("/subscribe", data=form(address="anna@example.net"))  # after the issue began to go out
    client.post(ledger.confirm_path())
    clock.pass_(hours=1)
    client.post(path, data=asking())
    client.post(ledger.move_path())
    issue = next(each for each in ledger.mails() if each.kind is DeliveryKind.ISSUE)
    new = next(each for each in ledger.subscriptions() if each.status is CONFIRMED)
    assert (issue.subscription_id, issue.destination) == (new.id, "example.net")


@pytest.mark.postgresql
def test_many_requests_at_once_are_no_way_to_write_to_many_either(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    with ThreadPoolExecutor(6) as hands:
        list(hands.map(lambda number: client.post(path, data=asking(f"victim{number}@example.com")), range(6)))
    assert sum(each.kind is DeliveryKind.NEW_ADDRESS for each in ledger.mails()) == 3


def test_what_servers_said_of_the_old_address_is_not_seen_at_the_new_one(
    client: TestClient, app: App, ledger: Ledger, path: str, confirmed: Subscription, clock: HandedClock
) -> None:
    """Whoever moved a reader with a forwarded letter must not read the reader's address among their own data."""
    with app.database.write() as session:
        deferred = Delivery(
            kind=DeliveryKind.ISSUE,
            issue_id=1,
            edition_id=confirmed.edition_id,
            subscription_id=confirmed.id,
            destination="example.org",
            status=DeliveryStatus.DEFERRED,
            due_at=clock(),
            queued_at=clock(),
            changed_at=clock(),
        )
        session.add(deferred)
        session.flush()
        assert deferred.id is not None
        attempt = Attempt(delivery_id=deferred.id, number=1, worker_id=1, relay="relay", started_at=clock())
        attempt.outcome, attempt.reply = AttemptOutcome.DEFERRED, "450 4.2.0 <anna@example.org> greylisted"
        session.add(attempt)
    client.post(path, data=asking())
    client.post(ledger.move_path())
    new = ledger.subscriptions()[-1]
    client.post(f"{ledger.preferences_path(new)}/data")
    held = client.get(f"{ledger.my_data_path()}/data.json").json()
    assert held["address"] == "anna@example.net"
    assert "issue" in [each["kind"] for each in held["mails"]]
    assert "anna@example.org" not in json.dumps(held)
