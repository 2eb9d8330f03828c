"""My data: all of it is shown, can be taken along, and goes when the reader says so."""

import json

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from mailer import holdings
from mailer.app import App
from mailer.subscribers import chain
from mailer.tables import Consent, Delivery, Subscriber, Subscription, Suppression, SuppressionReason, metadata
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form

LANGUAGES = ["en", "be", "ru"]


@pytest.fixture
def path(app: App, confirmed: Subscription) -> str:
    """/p/TOKEN of anna@example.org, a reader of the Russian edition."""
    assert confirmed.id is not None
    with app.database.write() as session:
        chain.seal(session, app.clock())
    return f"/p/{app.tokens.make(Purpose.PREFERENCES, confirmed.id)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_address_consents_and_letters(client: TestClient, path: str, language: str) -> None:
    page = client.get(f"{path}/data?language={language}")
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
    assert [each["kind"] for each in held["mails"]] == ["welcome", "confirmation"]
    with app.database.read() as session:
        reader = session.exec(select(Subscriber)).one()
        same = json.loads(json.dumps(holdings.of_subscriber(session, reader), default=lambda each: each.isoformat()))
    assert held == same


def test_one_reader_never_sees_another(client: TestClient, path: str, ledger: Ledger) -> None:
    client.post("/subscribe", data=form(address="boris@example.org"))
    for page in (f"{path}/data", f"{path}/data.json", f"{path}/erase"):
        assert "boris" not in client.get(page).text


@pytest.mark.parametrize("what", ["data", "data.json", "erase"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_changes_nothing(client: TestClient, path: str, ledger: Ledger, what: str, method: str) -> None:
    before = ledger.everything()
    assert client.request(method, f"{path}/{what}").status_code == 200
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
    assert client.get(f"{path}/data").status_code == 410
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


@pytest.mark.parametrize("what", ["data", "data.json", "erase"])
def test_a_token_of_another_purpose_opens_nothing(client: TestClient, ledger: Ledger, path: str, what: str) -> None:
    leaving = ledger.leave_path().replace("/u/", "/p/")
    assert client.get(f"{leaving}/{what}").status_code == 400
    assert client.post(f"{leaving}/erase").status_code == 400
    assert len(ledger.subscriptions()) == 1


def test_the_preferences_lead_there_and_the_link_that_providers_see_does_not(
    client: TestClient, ledger: Ledger, path: str
) -> None:
    assert f'href="{path}/data"' in client.get(path).text
    assert "/data" not in client.get(ledger.leave_path()).text
    assert "/data" not in client.post(ledger.leave_path()).text


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
