"""The page that says what is stored says what the settings are."""

import re

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from mailer.app import App
from mailer.settings import Settings
from mailer.tables import Publication
from mailer.web.site import create_app

pytestmark = pytest.mark.sqlite  # nothing here differs by database


def page(app: App, language: str = "en", **changes: object) -> str:
    settings = app.settings.model_copy(update=changes)
    other = App(settings=settings, database=app.database, tokens=app.tokens, clock=app.clock)
    answer = TestClient(create_app(other), base_url="https://news.example.org").get(f"/belarus/{language}/privacy")
    assert answer.status_code == 200
    return str(answer.text)


@pytest.mark.parametrize("language", ["en", "be", "ru"])
@pytest.mark.parametrize("name", sorted(name for name in Settings.model_fields if name.startswith("keep_")))
def test_every_number_of_days_is_the_setting(app: App, publication: Publication, language: str, name: str) -> None:
    inbound = {"inbound_listen": "127.0.0.1:2424"}
    assert "2741" not in page(app, language, **inbound)
    assert "2741" in page(app, language, **inbound, **{name: 2741})


def test_it_says_how_networks_are_cut(app: App, publication: Publication) -> None:
    text = page(app)
    assert "Of 203.0.113.42 we keep 203.0.113.0/24." in text
    assert "2001:db8:12::/48" in text


def test_it_says_whether_somebody_else_carries_the_mail(app: App, publication: Publication) -> None:
    assert "from our own server" in page(app)
    assert "through a mail service" in page(app, relay_host="smtp.provider.example")
    assert "bounces.example.org" in page(app)


def test_what_is_not_taken_in_is_not_spoken_of(app: App, publication: Publication) -> None:
    assert "What reaches us by mail" not in page(app)


def test_what_providers_tell_is_spoken_of_and_letters_are_not(app: App, publication: Publication) -> None:
    text = page(app, events_secret=SecretStr("x" * 32))
    assert "Reports that a letter was not delivered" in text
    assert "The text of letters" not in text


def test_it_says_how_long_addresses_are_kept_to_which_nothing_is_sent(app: App, publication: Publication) -> None:
    assert "the address and the reason, for 2741 days." in page(app, keep_former_days=2741)


def test_it_says_that_letters_of_people_go_on_to_the_editors_where_they_do(app: App, publication: Publication) -> None:
    inbound = {"inbound_listen": "127.0.0.1:2424"}
    assert "They go on to the editors" in page(app, **inbound)
    assert "They go on to the editors" not in page(app, **inbound, forward_per_hour=0)


def test_it_says_how_long_reasons_for_leaving_are_kept(app: App, publication: Publication) -> None:
    assert "nobody knows that it was you: 2741 days." in page(app, keep_log_days=2741)


def test_it_names_whom_to_write_to(app: App, publication: Publication) -> None:
    assert page(app).count("mailto:editors@example.org") == 2  # in the text, and in the footer


@pytest.mark.parametrize("path", ["/belarus/ru", "/belarus/ru/issues", "/belarus/ru/privacy"])
def test_every_page_leads_there(client: TestClient, path: str) -> None:
    assert re.search(r'<footer>.*href="/belarus/ru/privacy"', client.get(path).text, re.DOTALL)


def test_the_form_leads_there(client: TestClient) -> None:
    assert client.get("/belarus/ru").text.count('href="/belarus/ru/privacy"') == 2


def test_it_names_its_other_languages(client: TestClient) -> None:
    text = client.get("/belarus/en/privacy").text
    assert 'hreflang="be" href="/belarus/be/privacy"' in text
    assert client.get("/belarus/fr/privacy").status_code == 404


@pytest.mark.parametrize("language", ["en", "be", "ru"])
def test_it_shows_where_everything_is_done_by_mail_where_mail_is_read(
    app: App, publication: Publication, language: str
) -> None:
    ways = 'href="mailto:belarus+preferences@bounces.example.org"'
    assert ways in page(app, language, inbound_listen="127.0.0.1:2424")
    assert ways not in page(app, language)
