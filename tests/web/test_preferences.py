"""The preferences: what a reader changes behind the link in a letter."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlmodel import col, select
from starlette.testclient import TestClient

from mailer import erasure
from mailer.app import App
from mailer.subscribers import suppression
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, Edition, Publication, Subscriber, Subscription, SuppressionReason
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form

ACTS = ["choose", "pause", "resume", "move", "everything", "undo", "reason"]
CONFIRMED, LEFT = SubscriptionStatus.CONFIRMED, SubscriptionStatus.UNSUBSCRIBED


def choice(*editions: str, language: str = "ru") -> dict[str, str]:
    return {"act": "choose", "language": language, **{f"edition-{code}": "yes" for code in editions}}


@pytest.fixture
def path(ledger: Ledger, confirmed: Subscription) -> str:
    """The link of anna@example.org, who reads the edition ru."""
    return ledger.preferences_path(confirmed)


def test_the_page_shows_what_is_read(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert '<html lang="ru">' in answer.text
    assert 'name="edition-ru" value="yes" checked' in answer.text
    assert 'name="edition-en" value="yes">' in answer.text
    assert "Следующий выпуск: понедельник, 23\N{NO-BREAK SPACE}ноября." in answer.text
    assert "anna@" not in answer.text, "whoever has the link need not learn the address"
    assert not answer.cookies


def _title(page: str) -> str:
    found = re.search("<title>(.*)</title>", page)
    assert found
    return found[1]


def _first(page: str) -> str:
    """The first element of the text."""
    return page.split('<main id="text">')[1].strip().partition("\n")[0]


@pytest.mark.parametrize(
    ("fields", "done", "changes"),
    [
        (choice("ru", "en"), "Сохранено", ["Добавлено: EN."]),
        (choice("ru"), "Ничего не изменено", []),
        (choice("ru", language="be"), "Захавана", ["Мова старонак і аўтаматычных лістоў цяпер: Беларуская."]),
        ({"act": "pause", "pause": "2"}, "Пауза началась", ["До 4\N{NO-BREAK SPACE}декабря 2026 выпуски"]),
        ({"act": "resume"}, "Пауза окончена", ["Следующий выпуск придёт вам, как обычно."]),
        (
            {"act": "move", "address": "new@example.net"},
            "Ещё один шаг",
            ["Если на адрес, который вы ввели, можно писать"],
        ),
        ({"act": "undo"}, "Ничего не изменено", ["Вы получаете: RU."]),
    ],
)
def test_what_a_button_has_done_is_said_first_and_has_the_focus(
    client: TestClient, path: str, fields: dict[str, str], done: str, changes: list[str]
) -> None:
    page = client.post(path, data=fields).text
    assert _title(page).startswith(f"{done} – ")
    assert _first(page) == '<div class="done" role="status" aria-labelledby="done" tabindex="-1" autofocus>'
    assert f'id="done">{done}</p>' in page
    assert page.count("autofocus") == 1
    for change in changes:
        assert change in page


def test_nothing_is_said_to_be_done_where_nothing_was_pressed(client: TestClient, path: str) -> None:
    page = client.get(path).text
    assert _title(page).startswith("Ваша подписка · ")
    assert "autofocus" not in page
    assert 'role="status"' not in page


@pytest.mark.parametrize(
    ("fields", "marked"),
    [
        ({"act": "move", "address": "anna@nowhere"}, "address"),
        ({"act": "pause"}, "weeks"),
        ({"act": "pause", "until": "2020-01-01"}, "until"),
    ],
)
def test_what_is_wrong_begins_the_title_and_the_text_and_has_the_focus(
    client: TestClient, path: str, fields: dict[str, str], marked: str
) -> None:
    answer = client.post(path, data=fields)
    assert answer.status_code == 422
    assert _title(answer.text).startswith("Пожалуйста, исправьте отмеченное – ")
    assert _first(answer.text).startswith('<p class="wrong" role="alert">')
    assert f'href="#{marked}"' in _first(answer.text)
    (focused,) = re.findall("<input[^>]* autofocus[^>]*>", answer.text)
    assert f'id="{marked}"' in focused
    assert answer.text.count("autofocus") == 1
    typed = fields.get(marked)
    if typed:
        assert f'value="{typed}"' in focused
        assert f'aria-invalid="true" aria-describedby="wrong-{marked}"' in focused


@pytest.mark.parametrize("way", ["preferences", "unsubscribe link"])
def test_an_undo_that_is_pressed_twice_says_the_same_twice(
    client: TestClient, ledger: Ledger, path: str, way: str
) -> None:
    link = path if way == "preferences" else ledger.leave_path()
    client.post(link, data={"act": "everything", "from": "page"})
    first = client.post(link, data={"act": "undo", "from": "page"})
    before = ledger.everything()
    second = client.post(link, data={"act": "undo", "from": "page"})
    assert second.text == first.text
    for said in ("Вы снова подписаны", "Всё как прежде.", "Вы получаете: RU."):
        assert said in second.text
    assert "Ничего не изменено" not in second.text
    assert ledger.everything() == before


def test_an_edition_is_added_without_another_confirmation(client: TestClient, ledger: Ledger, path: str) -> None:
    mails = len(ledger.mails())
    answer = client.post(path, data=choice("ru", "en"))
    assert 'role="status"' in answer.text
    assert "Добавлено: EN." in answer.text
    assert ledger.statuses() == {"anna@example.org ru": CONFIRMED, "anna@example.org en": CONFIRMED}
    assert len(ledger.mails()) == mails
    said = ledger.consents()[-1]
    assert (said.event, said.source, said.language) == (ConsentEvent.CONFIRMED, "preferences", "ru")
    shown, _, box = said.wording.partition(" [x] ")
    assert shown in answer.text
    assert box == "EN"


def test_an_edition_is_exchanged_for_another(client: TestClient, ledger: Ledger, path: str) -> None:
    answer = client.post(path, data=choice("be-ru"))
    assert "Добавлено: BE/RU." in answer.text
    assert "Больше не присылается: RU." in answer.text
    assert ledger.statuses() == {"anna@example.org ru": LEFT, "anna@example.org be-ru": CONFIRMED}
    assert {each.event for each in ledger.consents()[-2:]} == {ConsentEvent.CONFIRMED, ConsentEvent.LEFT}
    assert client.get(path).status_code == 200, "the old edition's link still leads to the preferences"


def test_two_editions_with_the_same_texts_are_allowed_and_said(client: TestClient, ledger: Ledger, path: str) -> None:
    answer = client.post(path, data=choice("ru", "be-ru"))
    assert "RU, BE/RU: в этих изданиях есть одинаковые тексты (язык: русский)" in answer.text.partition("<section")[0]
    assert set(ledger.statuses().values()) == {CONFIRMED}


def test_the_same_choice_twice_changes_nothing_more(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data=choice("ru", "en"))
    before = ledger.everything()
    answer = client.post(path, data=choice("ru", "en"))
    assert "Ничего не изменено" in answer.text
    assert ledger.everything() == before


def test_no_edition_checked_is_leaving_and_can_be_undone(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data=choice("ru", "en"))
    answer = client.post(path, data=choice())
    assert "Вы отписались" in answer.text
    assert set(ledger.statuses().values()) == {LEFT}
    assert 'value="undo"' in client.get(path).text
    back = client.post(path, data={"act": "undo"})
    assert "Всё как прежде" in back.text
    assert set(ledger.statuses().values()) == {CONFIRMED}, "both editions that were left together"
    assert [each.event for each in ledger.consents()[-2:]] == [ConsentEvent.RESTORED] * 2


def test_the_language_of_pages_and_letters_changes_at_once(client: TestClient, ledger: Ledger, path: str) -> None:
    answer = client.post(path, data=choice("ru", language="be"))
    assert '<html lang="be">' in answer.text
    assert "Мова старонак і аўтаматычных лістоў цяпер: Беларуская." in answer.text
    assert ledger.subscriptions()[0].language == "be"
    assert '<html lang="be">' in client.get(path).text


def action(page: str) -> str:
    """Where the forms of the page go."""
    (one,) = set(re.findall(r'<form method="post" action="([^"]*)"', page))
    return str(one)


def test_a_language_that_was_just_chosen_holds_on_the_next_page_too(client: TestClient, path: str) -> None:
    page = client.get(f"{path}?language=be").text
    assert action(page) == f"{path}?language=be"
    page = client.post(action(page), data=choice("ru", language="en")).text
    assert action(page) == path
    assert "?language=" not in page.partition("<main")[2]
    assert '<html lang="en">' in client.post(action(page), data={"act": "pause", "pause": "2"}).text


def test_the_evidence_names_the_language_that_its_words_are_in(
    client: TestClient, ledger: Ledger, confirmed: Subscription, path: str
) -> None:
    begun = len(ledger.consents())
    for act in (
        choice("ru", "en", language="en"),
        {"act": "pause", "pause": "2"},
        {"act": "resume"},
        choice("ru", language="ru"),
        {"act": "everything"},
        {"act": "undo"},
    ):
        client.post(f"{path}?language=be", data=act)
    for button in ("", "undo", "everything"):
        client.post(f"{ledger.leave_path(confirmed)}?language=be", data={"from": "page", "act": button})
    kept = ledger.consents()[begun:]
    assert {each.event for each in kept} >= {
        ConsentEvent.CONFIRMED,
        ConsentEvent.PAUSED,
        ConsentEvent.RESUMED,
        ConsentEvent.LEFT,
        ConsentEvent.RESTORED,
    }
    assert {each.language for each in kept} == {"be"}
    assert all(re.search("[іўІЎ]|падпіс", each.wording) for each in kept if each.wording), "Belarusian indeed"


@pytest.mark.parametrize("language", ["xx", "", "../../etc", "{}"])
def test_a_language_that_we_do_not_speak_is_passed_over(
    client: TestClient, ledger: Ledger, path: str, language: str
) -> None:
    assert client.post(path, data=choice("ru", language=language)).status_code == 200
    assert ledger.subscriptions()[0].language == "ru"


def test_an_edition_that_is_no_longer_offered_is_kept_and_not_taken(
    client: TestClient, app: App, ledger: Ledger, path: str
) -> None:
    with app.database.write() as session:
        for edition in session.exec(select(Edition).where(col(Edition.code).in_(("ru", "en")))):
            edition.offered = False
    page = client.get(path).text
    assert 'name="edition-ru"' in page
    assert 'name="edition-en"' not in page
    client.post(path, data=choice("ru", "en", "be-ru", "nope"))
    assert ledger.statuses() == {"anna@example.org ru": CONFIRMED, "anna@example.org be-ru": CONFIRMED}


@pytest.mark.parametrize(
    ("fields", "until"),
    [
        ({"pause": "2"}, datetime(2026, 12, 3, 21, tzinfo=UTC)),  # midnight in Minsk
        ({"pause": "8"}, datetime(2027, 1, 14, 21, tzinfo=UTC)),
        ({"pause": "date", "until": "2026-11-21"}, datetime(2026, 11, 20, 21, tzinfo=UTC)),
        ({"pause": "date", "until": "2027-11-20"}, datetime(2027, 11, 19, 21, tzinfo=UTC)),
        ({"until": "2027-02-01"}, datetime(2027, 1, 31, 21, tzinfo=UTC)),
        ({"pause": "2", "until": "2027-02-01"}, datetime(2027, 1, 31, 21, tzinfo=UTC)),  # the later
        ({"pause": "8", "until": "2026-11-21"}, datetime(2027, 1, 14, 21, tzinfo=UTC)),
    ],
)
def test_a_reader_pauses_until_a_day(
    client: TestClient, ledger: Ledger, path: str, fields: dict[str, str], until: datetime
) -> None:
    answer = client.post(path, data={"act": "pause", **fields})
    assert answer.status_code == 200
    assert ledger.subscriptions()[0].paused_until == until
    said = ledger.consents()[-1]
    assert said.event is ConsentEvent.PAUSED
    assert said.wording in answer.text
    before = ledger.everything()
    client.post(path, data={"act": "pause", **fields})
    assert ledger.everything() == before, "pressed twice"


def test_a_pause_promises_no_archive_where_there_is_none(
    client: TestClient, ledger: Ledger, path: str, app: App
) -> None:
    assert "в архиве" in client.get(path).text
    with app.database.write() as session:
        session.get_one(Publication, 1).archive = False
    for page in (client.get(path).text, client.post(path, data={"act": "pause", "pause": "2"}).text):
        assert "позже не присылается." in page
        assert "в архиве" not in page
    said = ledger.consents()[-1]
    assert said.wording.endswith("То, что выйдет до этого дня, позже не присылается.")


@pytest.mark.parametrize(
    "fields",
    [
        {"pause": "date", "until": "2026-11-20"},
        {"pause": "date", "until": "2027-11-21"},
        {"pause": "date", "until": "soon"},
        {"pause": "date"},
        {"pause": "2", "until": "2026-11-20"},
        {"pause": "2", "until": "soon"},
        {"pause": "3"},
        {"pause": "9" * 5000},
        {},
    ],
)
def test_a_senseless_pause_is_pointed_at(client: TestClient, ledger: Ledger, path: str, fields: dict[str, str]) -> None:
    before = ledger.everything()
    answer = client.post(path, data={"act": "pause", **fields})
    assert answer.status_code == 422
    assert 'id="wrong-until"' in answer.text
    assert ledger.everything() == before


def test_how_long_to_pause_is_not_chosen_for_the_reader(client: TestClient, path: str) -> None:
    _, _, question = client.get(path).text.partition('id="pause"')
    assert " checked" not in question.partition("</form>")[0]


def test_a_pause_ends_by_the_button_or_by_itself(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    client.post(path, data={"act": "pause", "pause": "2"})
    assert "Пауза до 4\N{NO-BREAK SPACE}декабря 2026." in client.get(path).text
    answer = client.post(path, data={"act": "resume"})
    assert "Пауза окончена" in answer.text
    assert ledger.subscriptions()[0].paused_until is None
    assert ledger.consents()[-1].event is ConsentEvent.RESUMED
    client.post(path, data={"act": "pause", "pause": "2"})
    clock.pass_(days=14)
    page = client.get(path).text
    assert 'value="resume"' not in page
    before = ledger.everything()
    client.post(path, data={"act": "resume"})
    assert ledger.everything() == before, "what is over needs no end"


def test_an_edition_that_is_added_in_a_pause_pauses_too(client: TestClient, ledger: Ledger, path: str) -> None:
    client.post(path, data={"act": "pause", "pause": "4"})
    client.post(path, data=choice("ru", "en"))
    first, second = ledger.subscriptions()
    assert first.paused_until == second.paused_until
    assert first.paused_until is not None


def test_undo_brings_the_pause_back_and_a_fresh_confirmation_does_not(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    client.post(path, data={"act": "pause", "pause": "4"})
    until = ledger.subscriptions()[0].paused_until
    client.post(path, data={"act": "everything"})
    client.post(path, data={"act": "undo"})
    assert ledger.subscriptions()[0].paused_until == until
    client.post(path, data={"act": "everything"})
    client.post("/subscribe", data=form(edition="ru", address="anna@example.org"))
    client.post(ledger.confirm_path())
    assert ledger.subscriptions()[0].status is CONFIRMED
    assert ledger.subscriptions()[0].paused_until is None


def test_who_reads_nothing_cannot_choose_by_an_old_link(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    client.post(path, data={"act": "everything"})
    clock.pass_(days=31)
    before = ledger.everything()
    for act in (choice("ru", "en"), {"act": "pause", "pause": "2"}, {"act": "undo"}, {"act": "resume"}, {"act": "x"}):
        answer = client.post(path, data=act)
        assert "Вы отписались" in answer.text
        assert 'href="/belarus/ru"' in answer.text
    assert ledger.everything() == before


def test_a_suppressed_address_cannot_be_changed(client: TestClient, app: App, ledger: Ledger, path: str) -> None:
    with app.database.write() as session:
        subscriber = session.get_one(Subscriber, ledger.subscriptions()[0].subscriber_id)
        suppression.suppress(session, subscriber, SuppressionReason.BOUNCE, note="", by="test", now=app.clock())
    before = ledger.everything()
    for answer in (client.get(path), client.post(path, data=choice("en")), client.post(path, data={"act": "undo"})):
        assert answer.status_code == 410
        assert "Мы не можем писать на ваш адрес" in answer.text
    assert ledger.everything() == before


def test_an_erased_reader_is_told_so(client: TestClient, app: App, confirmed: Subscription, path: str) -> None:
    with app.database.write() as session:
        session.delete(session.get_one(Subscriber, confirmed.subscriber_id))
    for answer in (client.get(path), client.post(path, data=choice("en"))):
        assert answer.status_code == 410
        assert "This link is no longer valid" in answer.text


def test_the_link_never_expires_and_looking_changes_nothing(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    clock.pass_(days=3650)
    before = ledger.everything()
    for read in (client.get, client.head, client.options):
        _ = read(path)
        _ = read(path, headers={"Purpose": "prefetch", "Sec-Purpose": "prefetch;prerender"})
    assert ledger.everything() == before


@pytest.mark.parametrize("second", [{"act": "everything"}, {"act": "undo"}, {"act": "pause", "pause": "2"}])
def test_two_acts_at_once_end_in_a_legal_state(
    client: TestClient, ledger: Ledger, path: str, second: dict[str, str]
) -> None:
    statuses: list[int] = []
    acts = [choice("be-ru", "en"), second, choice("ru"), second]
    threads = [
        threading.Thread(target=lambda act=act: statuses.append(client.post(path, data=act).status_code))
        for act in acts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4
    for each in ledger.subscriptions():
        last = next(
            consent
            for consent in reversed(ledger.consents())
            if consent.subscription_id == each.id
            and consent.event in (ConsentEvent.CONFIRMED, ConsentEvent.LEFT, ConsentEvent.RESTORED)
        )
        assert (each.status is CONFIRMED) is (last.event is not ConsentEvent.LEFT), "what the evidence says last"
        assert each.status in (CONFIRMED, LEFT)


FIELDS = st.dictionaries(
    st.sampled_from(
        ["act", "pause", "until", "address", "language", "reason", "words", "edition-ru", "edition-x", "\0"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.sampled_from(
        [*ACTS, "date", "2", "2026-12-01", "0000-00-00", "9999-12-31", "ru", "a@example.org", "{0}", "%s"]
    ),
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(fields=FIELDS)
def test_no_form_is_ever_a_server_error(client: TestClient, ledger: Ledger, path: str, fields: dict[str, str]) -> None:
    assert client.post(path, data=fields).status_code in (200, 422)
    leave = ledger.leave_path(ledger.subscriptions()[0])
    assert client.post(leave, data={"from": "page", **fields}).status_code == 200


@pytest.mark.postgresql
@pytest.mark.parametrize("act", ["choose", "pause", "undo", "everything"])
def test_a_reader_who_is_erased_while_a_button_waits_is_said_to_be(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription, act: str
) -> None:
    path = ledger.preferences_path(confirmed)
    if act == "undo":
        client.post(path, data={"act": "everything"})
    fields = {"act": act, "edition-en": "yes", "pause": "2"}
    answer = while_erased(client, app, confirmed, path, fields)
    assert answer.status_code == (200 if act == "everything" else 410)


@pytest.mark.postgresql
def test_a_reader_who_is_erased_while_one_click_waits_has_left(
    client: TestClient, app: App, ledger: Ledger, confirmed: Subscription
) -> None:
    path = ledger.leave_path(confirmed)
    client.post(path)
    answer = while_erased(client, app, confirmed, path, {})
    assert answer.status_code == 200


def while_erased(
    client: TestClient, app: App, subscription: Subscription, path: str, fields: dict[str, str]
) -> httpx.Response:
    """The answer to a request that waits for the transaction that erases its reader."""
    with ThreadPoolExecutor(1) as hand, app.database.write() as session:
        erasure.erase(session, subscription.subscriber_id, by="test", now=app.clock())
        pressed = hand.submit(client.post, path, data=fields)
        while not waits_for_a_lock(app):
            assert not pressed.done()
        session.commit()
        answer: httpx.Response = pressed.result()
    return answer


def waits_for_a_lock(app: App) -> bool:
    with app.database.read() as session:
        asked = sa.text(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return session.connection().execute(asked).first() is not None
