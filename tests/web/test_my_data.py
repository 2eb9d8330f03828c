"""My data: only a link that was mailed for it shows all of it, lets it be taken along, and erases it."""

import email
import email.policy
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select
from starlette.testclient import TestClient

from mailer import holdings
from mailer.app import App
from mailer.delivery import composer
from mailer.delivery import ledger as deliveries
from mailer.rendering.automatic import render_automatic
from mailer.rendering.words import words
from mailer.subscribers import address, chain, moving, person
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.suppression import lift, suppress
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
    metadata,
)
from mailer.web import mydata
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form

LANGUAGES = ["en", "be", "ru"]


@pytest.fixture
def way(ledger: Ledger, confirmed: Subscription) -> str:
    """/p/TOKEN/data of anna@example.org, a reader of the Russian edition: behind a link that stands in every letter."""
    return f"{ledger.preferences_path(confirmed)}/data"


@pytest.fixture
def path(app: App, client: TestClient, ledger: Ledger, way: str) -> str:
    """/d/TOKEN, which came to her mailbox."""
    client.post(way)
    with app.database.write() as session:
        chain.seal(session, app.clock())
    return ledger.my_data_path()


def letters(ledger: Ledger) -> list[Delivery]:
    return [each for each in ledger.mails() if each.kind is DeliveryKind.MY_DATA]


# The way to it


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_link_of_any_letter_shows_a_button_and_nothing_of_the_reader(
    client: TestClient, ledger: Ledger, way: str, language: str
) -> None:
    before = ledger.everything()
    page = client.get(f"{way}?language={language}")
    assert page.status_code == client.head(way).status_code == 200
    assert page.text.count("<h1>") == page.text.count("<button") == 1
    assert "example.org" not in page.text.replace("editors@example.org", "").replace("news.example.org", "")
    assert ledger.everything() == before


def test_the_button_has_a_link_mailed_to_the_reader_and_shows_nothing(
    client: TestClient, ledger: Ledger, way: str, confirmed: Subscription
) -> None:
    sent = client.post(way)
    assert sent.status_code == 200
    assert "anna" not in sent.text
    assert "/d/" not in sent.text
    (letter,) = letters(ledger)
    assert (letter.subscription_id, letter.destination, letter.consent_id) == (confirmed.id, "example.org", None)
    assert "anna@example.org" in client.get(ledger.my_data_path()).text


@pytest.mark.parametrize("what", ["data.json", "erase"])
def test_a_link_of_another_letter_leads_no_further(client: TestClient, ledger: Ledger, way: str, what: str) -> None:
    opened = way.removesuffix("/data")
    for prefix in (opened, opened.replace("/p/", "/d/"), ledger.leave_path().replace("/u/", "/d/")):
        assert client.get(f"{prefix}/{what}").status_code in (400, 404)
        assert client.post(f"{prefix}/{what}").status_code in (400, 404, 405)
    assert client.get(opened.replace("/p/", "/d/")).status_code == 400
    assert len(ledger.subscriptions()) == 1


def test_there_is_one_letter_in_the_window_and_the_answer_does_not_tell(
    app: App, client: TestClient, ledger: Ledger, way: str, clock: HandedClock
) -> None:
    first, second = client.post(way), client.post(way)
    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert len(letters(ledger)) == 1
    clock.pass_(minutes=app.settings.confirmation_window_minutes)
    client.post(way)
    assert len(letters(ledger)) == 2


def test_a_suppressed_address_gets_no_letter_and_the_same_answer(
    app: App, client: TestClient, ledger: Ledger, way: str
) -> None:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        suppress(session, reader, SuppressionReason.COMPLAINT, note="", by="mailer", now=app.clock())
    suppressed = client.post(way)
    assert letters(ledger) == []
    with app.database.write() as session:
        lift(session, reader.address_hash, reason=SuppressionReason.COMPLAINT, by="olga", now=app.clock())
    assert client.post(way).text == suppressed.text
    assert len(letters(ledger)) == 1


def test_who_has_left_gets_the_letter_too(
    app: App, client: TestClient, ledger: Ledger, way: str, clock: HandedClock, worker_id: int
) -> None:
    left = client.post(ledger.leave_path(), data={"from": "page"})
    assert "/data" not in left.text, "what providers see in List-Unsubscribe must not lead there"
    assert f'href="{way}"' in client.get(way.removesuffix("/data")).text
    client.post(way)
    with app.database.write() as session:
        claims = deliveries.claim(session, worker_id=worker_id, relay="relay", limit=9, now=clock())
    assert [each.address for each in claims if each.kind is DeliveryKind.MY_DATA] == ["anna@example.org"]
    assert "anna@example.org" in client.get(ledger.my_data_path()).text


def test_the_letter_carries_the_link(
    app: App, client: TestClient, ledger: Ledger, path: str, worker_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composer, "apart", lambda work, *values: render_automatic(*values))
    made = composer.Composer(app.settings, app.tokens)
    with app.database.write() as session:
        claims = deliveries.claim(session, worker_id=worker_id, relay="relay", limit=9, now=app.clock())
        ready = made.load(session, [each for each in claims if each.kind is DeliveryKind.MY_DATA])
    ((_, envelope),) = made.envelopes(ready)
    assert not isinstance(envelope, Exception)
    assert envelope.recipient == "anna@example.org"
    mail = email.message_from_bytes(b"".join(envelope.content), policy=email.policy.default)
    assert mail["List-Unsubscribe"] is None
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"https://news.example.org{path}" in text.get_content().splitlines()


def test_the_link_works_for_a_day_and_then_a_button_has_a_new_one_mailed(
    client: TestClient, ledger: Ledger, path: str, clock: HandedClock
) -> None:
    clock.pass_(hours=23, minutes=59)
    assert client.get(path).status_code == 200
    clock.pass_(minutes=1)
    before = ledger.everything()
    for what in ("", "/data.json", "/erase"):
        expired = client.get(f"{path}{what}")
        assert expired.status_code == 410
        assert "anna" not in expired.text
    assert client.post(f"{path}/erase").status_code == 410
    assert ledger.everything() == before
    assert "<button" in client.get(path).text
    assert client.post(path).status_code == 200
    assert len(letters(ledger)) == 2
    assert client.get(ledger.my_data_path()).status_code == 200


def test_a_forged_link_has_nothing_mailed(client: TestClient, ledger: Ledger, way: str) -> None:
    for forged in (f"/p/{'0' * 32}/data", f"/d/{'0' * 32}"):
        assert client.post(forged).status_code == 400
    assert letters(ledger) == []


# Behind it


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_address_consents_and_letters(client: TestClient, path: str, language: str) -> None:
    page = client.get(f"{path}?language={language}")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert page.text.count("<h1>") == 1
    for held in ("anna@example.org", "Я хочу каждую неделю", "Подтвердите, что хотите"):
        assert held in page.text


def test_the_file_holds_all_of_it(client: TestClient, path: str, app: App) -> None:
    answer = client.get(f"{path}/data.json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    held = answer.json()
    assert held["address"] == "anna@example.org"
    (subscription,) = held["subscriptions"]
    assert (subscription["publication"], subscription["edition"], subscription["status"]) == (
        "belarus",
        "ru",
        "confirmed",
    )
    assert [each["event"] for each in subscription["consents"]] == ["requested", "confirmed"]
    assert all(each["wording"] and each["wording_version"] and each["digest"] for each in subscription["consents"])
    assert [each["kind"] for each in held["mails"]] == ["my-data", "welcome", "confirmation"]
    with app.database.read() as session:
        reader = session.exec(select(Subscriber)).one()
        all_of_it = holdings.of_reader(session, reader)
        same = json.loads(json.dumps(all_of_it, default=lambda each: each.isoformat()))
    assert held == same


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("link", "You unsubscribed by a link in one of our letters"),
        ("preferences", "You unsubscribed by a link in one of our letters"),
        ("one-click", "You unsubscribed by a button of your mail program"),
        ("mail", "You unsubscribed by mail"),
        ("complaint (abuse)", "Your mail provider told us that you do not want the letters"),
        ("complaint (opt-out)", "Your mail provider told us that you do not want the letters"),
        ("command (olga): a nuisance", "We ended the subscription"),
        ("import readers.csv", "The list that we took it over from said that you had unsubscribed"),
        ("a road of tomorrow", "The subscription ended"),
    ],
)
def test_who_ended_a_subscription_is_said_as_it_was(
    app: App, client: TestClient, path: str, language: str, source: str, said: str
) -> None:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        person.remove(session, reader.address_hash, source=source, now=app.clock())
    shown = [
        each.removesuffix(".")
        for each in re.findall(r"<span>(.*?)</span>", client.get(f"{path}?language={language}").text)
    ]
    assert words(language).gettext(said) in shown
    assert not {"You unsubscribed", "Вы отписались", "Вы адпісаліся"} & set(shown)


def test_an_address_that_we_listed_ourselves_is_not_said_to_have_complained(
    app: App, client: TestClient, path: str
) -> None:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        suppress(session, reader, SuppressionReason.OPERATOR, note="", by="olga", now=app.clock())
    page = client.get(path).text
    assert "остановлена: ваш адрес в списке тех, кому мы не пишем" in page
    assert "нежелательн" not in page


def test_every_act_of_every_source_is_said_somehow() -> None:
    for event in ConsentEvent:
        for source in (
            "",
            "link",
            "mail",
            "form https://news.example.org/belarus/ru",
            moving.SOURCE,
            moving.TAKEN_BACK,
        ):
            assert mydata._act(words("en"), event, source)
    assert mydata._act(words("en"), ConsentEvent.REQUESTED, "mailer: mails failed").startswith("We asked")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_member_of_the_staff_is_named_and_no_note_of_theirs_is_shown(
    app: App, client: TestClient, path: str, language: str
) -> None:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        person.remove(session, reader.address_hash, source="command (olga): a nuisance", now=app.clock())
        suppress(session, reader, SuppressionReason.OPERATOR, note="a nuisance", by="olga", now=app.clock())
        lift(session, reader.address_hash, by="olga", now=app.clock())
        suppress(session, reader, SuppressionReason.COMPLAINT, note="a nuisance", by="olga", now=app.clock())
        chain.seal(session, app.clock())
    page, file = client.get(f"{path}?language={language}"), client.get(f"{path}/data.json")
    for shown in (page.text, file.text):
        assert "olga" not in shown
        assert "nuisance" not in shown
    assert page.text.count(words(language).gettext("A letter was reported as unwanted.")) == 1
    assert [each["reason"] for each in file.json()["suppressions"]] == ["operator", "complaint"]
    left = file.json()["subscriptions"][0]["consents"][-1]
    assert (left["event"], left["source"], left["content"], left["salt"]) == ("left", "operator", None, None)
    with app.database.read() as session:
        assert "olga" in repr(holdings.of_person(session, session.exec(select(Subscriber)).one()))


OLD_NETWORK = "198.51.100.0/24"


@pytest.fixture
def moved(app: App, confirmed: Subscription, clock: HandedClock) -> Subscription:
    """The reader goes on at anna@new.example."""
    new, key = address.parse("anna@new.example"), app.settings.address_key.get_secret_value()
    said: Any = {"wording": "Yes.", "network": "", "now": clock()}
    with app.database.write() as session:
        assert confirmed.id is not None
        session.execute(sa.update(Consent).values(network=OLD_NETWORK))
        asked = moving.ask(session, confirmed.id, new, address.hash(new, key), window=timedelta(), **said)
        assert asked.owed is not None
        assert asked.owed.consent_id is not None
        there = moving.confirm(session, asked.owed.consent_id, language="en", **said).subscription
    assert there is not None
    return there


FORMER = "These letters went to another address before."


@pytest.mark.parametrize("days", [0, 29, 31, 400])
def test_nothing_of_a_former_address_is_shown_at_the_new_one(
    app: App, client: TestClient, ledger: Ledger, path: str, moved: Subscription, clock: HandedClock, days: int
) -> None:
    """Whoever moved a reader with a forwarded letter would be told who that is."""
    clock.pass_(days=days)
    with app.database.write() as session:
        old = session.exec(select(Subscriber).where(Subscriber.address == "anna@example.org")).one()
        suppress(session, old, SuppressionReason.BOUNCE, note="", by="mailer", now=clock())
    client.post(f"{ledger.preferences_path(moved)}/data")
    there = ledger.my_data_path()
    page, file = client.get(f"{there}?language=en").text, client.get(f"{there}/data.json")
    assert file.json()["address"] == "anna@new.example"
    for shown in (page, file.text):
        assert "anna@example.org" not in shown
        assert OLD_NETWORK not in shown
        assert "bounce" not in shown
    assert "Your address is on it" not in page
    assert [each["kind"] for each in file.json()["mails"]] == ["my-data"]
    assert FORMER in page
    with app.database.read() as session:
        (other,) = holdings.of_person(session, session.get_one(Subscriber, old.id))["other_addresses"]
    assert other["address"] == "anna@new.example", "the operator sees them together"


def test_nothing_of_the_new_address_is_shown_at_the_one_that_was_left(
    client: TestClient, path: str, moved: Subscription
) -> None:
    page = client.get(f"{path}?language=en").text
    assert "new.example" not in page + client.get(f"{path}/data.json").text
    assert FORMER not in page


def test_who_was_moved_by_a_stranger_and_reads_again_is_not_erased_by_the_stranger(
    client: TestClient, ledger: Ledger, path: str, moved: Subscription, clock: HandedClock
) -> None:
    clock.pass_(days=1)
    client.post("/subscribe", data=form())
    client.post(ledger.confirm_path())
    clock.pass_(days=30)
    client.post(f"{ledger.preferences_path(moved)}/data")
    assert client.post(f"{ledger.my_data_path()}/erase").status_code == 200
    assert ledger.statuses() == {"anna@example.org ru": SubscriptionStatus.CONFIRMED}


@pytest.mark.parametrize(
    ("language", "why"),
    [
        ("en", "Letters cannot be delivered to it."),
        ("be", "Лісты на яго даставіць нельга."),
        ("ru", "Письма на него доставить нельзя."),
    ],
)
def test_a_dead_address_is_told_what_is_true_of_every_dead_one(
    app: App, client: TestClient, path: str, language: str, why: str
) -> None:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber)).one()
        suppress(session, reader, SuppressionReason.BOUNCE, note="no such domain", by="mailer", now=app.clock())
    assert why in client.get(f"{path}?language={language}").text


def test_a_test_letter_to_the_same_mailbox_is_shown(
    app: App, client: TestClient, path: str, clock: HandedClock
) -> None:
    with app.database.write() as session:
        edition_id = session.exec(select(Edition.id)).first()
        assert edition_id is not None
        for to in ("anna@example.org", "boris@example.org"):
            told: Any = {"kind": DeliveryKind.TEST, "recipient": to, "destination": "example.org", "due_at": clock()}
            said: Any = {"status": "queued", "queued_at": clock(), "changed_at": clock()}
            session.add(Delivery(edition_id=edition_id, **told, **said))
    assert client.get(f"{path}?language=en").text.count("A test letter") == 1
    assert [each["kind"] for each in client.get(f"{path}/data.json").json()["mails"]].count("test") == 1


def test_one_reader_never_sees_another(client: TestClient, path: str, ledger: Ledger) -> None:
    client.post("/subscribe", data=form(address="boris@example.org"))
    for page in (path, f"{path}/data.json", f"{path}/erase"):
        assert "boris" not in client.get(page).text


@pytest.mark.parametrize("what", ["", "/data.json", "/erase"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(client: TestClient, path: str, ledger: Ledger, what: str, method: str) -> None:
    before = ledger.everything()
    assert client.request(method, f"{path}{what}").status_code == 200
    assert ledger.everything() == before


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_button_erases(client: TestClient, path: str, app: App, language: str) -> None:
    asked = client.get(f"{path}/erase?language={language}")
    assert "anna@example.org" in asked.text
    assert asked.text.count("<button") == 1
    erased = client.post(f"{path}/erase?language={language}")
    assert erased.status_code == 200
    assert "anna@example.org" not in erased.text
    with app.database.read() as session:
        for table in (Subscriber, Subscription, Consent):
            assert session.exec(select(table)).all() == []
        assert {each.subscription_id for each in session.exec(select(Delivery))} == {None}
        (kept,) = session.exec(select(Suppression)).all()
    assert (kept.address, kept.reason, kept.added_by) == (None, SuppressionReason.ERASED, "reader")


def test_what_was_erased_is_said_to_be_gone(client: TestClient, path: str) -> None:
    client.post(f"{path}/erase")
    assert client.post(f"{path}/erase").status_code == 200
    assert client.get(path).status_code == 410
    assert client.get(f"{path}/data.json").status_code == 410


def test_who_was_erased_is_answered_like_everybody(
    client: TestClient, path: str, ledger: Ledger, clock: HandedClock
) -> None:
    client.post(f"{path}/erase")
    clock.pass_(days=1)
    back = client.post("/subscribe", data=form())
    stranger = client.post("/subscribe", data=form(address="vera@example.org"))
    assert (back.status_code, back.text) == (stranger.status_code, stranger.text)
    mails = ledger.mails()[-2:]
    assert client.post(ledger.confirm_path(mails[0])).status_code == 200
    assert ledger.subscriptions()[0].status == "confirmed"


def test_the_preferences_lead_there_and_the_link_that_providers_see_does_not(
    client: TestClient, ledger: Ledger, way: str
) -> None:
    assert f'href="{way}"' in client.get(way.removesuffix("/data")).text
    assert "/data" not in client.get(ledger.leave_path()).text
    assert "/data" not in client.post(ledger.leave_path()).text


def test_a_language_that_was_picked_is_kept_from_page_to_page(client: TestClient, ledger: Ledger, path: str) -> None:
    """From the preferences to the data and back, and on to erasing them."""
    preferences = f"{ledger.preferences_path(ledger.subscriptions()[0])}"
    for page, links in [
        (preferences, [f"{preferences}/data"]),
        (f"{preferences}/data", [preferences]),
        (path, [f"{path}/data.json", f"{path}/erase"]),
        (f"{path}/erase", [path]),
    ]:
        picked, plain = client.get(f"{page}?language=en").text, client.get(page).text
        for link in links:
            assert f'href="{link}?language=en"' in picked
            assert f'href="{link}"' in plain


def test_every_table_is_considered() -> None:
    """A new table fails here until holdings.TABLES says where the reader sees it, or why not."""
    assert set(holdings.TABLES) == set(metadata.tables)


def test_every_table_with_a_way_to_the_reader_is_shown() -> None:
    ways = {"subscriber"}
    while (
        more := {
            table.name
            for table in metadata.tables.values()
            if any(key.column.table.name in ways for key in table.foreign_keys)
            or ways & {_named(column) for column in table.c}
        }
        - ways
    ):
        ways |= more
    assert {"subscription", "consent", "delivery", "attempt", "arrival"} <= ways
    hidden = {name for name in ways if holdings.TABLES[name].startswith("none")}
    assert hidden == {
        "removal",
        "quarantine",
        "forward",
        "address_change",
    }  # nobody knows whose, or ids


def _named(column: object) -> str:
    """The table that a column without a foreign key names."""
    return str(getattr(column, "name", "")).removesuffix("_id")
