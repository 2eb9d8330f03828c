"""The answer to a button names its other languages, and each leads to what is true there."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from starlette.testclient import TestClient

from mailer.rendering.words import words
from mailer.tables import Subscription
from tests.conftest import HandedClock
from tests.web.conftest import Ledger, form
from tests.web.test_moving import asking

Press = tuple[str, dict[str, str]]
"""Where, and with which fields."""


def _confirm(client: TestClient, ledger: Ledger, path: str) -> Press:
    client.post("/subscribe", data=form(address="boris@example.org"))
    return ledger.confirm_path(), {}


def _move(client: TestClient, ledger: Ledger, path: str) -> Press:
    client.post(path, data=asking())
    return ledger.move_path(), {}


def _move_back(client: TestClient, ledger: Ledger, path: str) -> Press:
    client.post(_move(client, ledger, path)[0])
    return ledger.move_back_path(), {}


def _undo(client: TestClient, ledger: Ledger, path: str) -> Press:
    client.post(ledger.leave_path())
    return ledger.leave_path(), {"act": "undo", "from": "page"}


def _reason_too_late(client: TestClient, ledger: Ledger, path: str) -> Press:
    return ledger.leave_path(), {"act": "reason", "from": "page", "reason": "unsafe"}


def _erase(client: TestClient, ledger: Ledger, path: str) -> Press:
    client.post(f"{path}/data")
    return f"{ledger.my_data_path()}/erase", {}


BUTTONS: dict[str, tuple[Callable[[TestClient, Ledger, str], Press], str]] = {
    "confirm": (_confirm, "You have been successfully subscribed"),
    "move": (_move, "Your address was changed"),
    "take back": (_move_back, "The change was taken back"),
    "leave": (lambda client, ledger, path: (ledger.leave_path(), {"from": "page"}), "You have been unsubscribed"),
    "leave all": (lambda client, ledger, path: (path, {"act": "everything"}), "You have been unsubscribed"),
    "undo": (_undo, "You are subscribed again"),
    "reason too late": (_reason_too_late, "You are subscribed"),
    "ask for my data": (lambda client, ledger, path: (f"{path}/data", {}), "One more step"),
    "erase": (_erase, "Everything has been erased"),
}


def _others(page: str) -> dict[str, str]:
    """Language -> where its link leads."""
    return {language: unescape(href) for href, language in re.findall(r'<a href="([^"]*)" lang="(\w+)" hreflang', page)}


@pytest.mark.parametrize("button", BUTTONS)
def test_the_answer_to_a_button_is_had_in_the_other_languages(
    client: TestClient, ledger: Ledger, confirmed: Subscription, button: str
) -> None:
    prepare, said = BUTTONS[button]
    link, fields = prepare(client, ledger, ledger.preferences_path(confirmed))
    page = client.post(link, data=fields).text
    assert words("ru").gettext(said) in page
    before = ledger.everything()
    others = _others(page)
    assert set(others) == {"en", "be"}
    for language, href in others.items():
        there = client.get(f"{link}{href}" if href.startswith("?") else href)
        assert there.status_code == 200
        assert f'<html lang="{language}">' in there.text
        assert words(language).gettext(said) in there.text
        assert set(_others(there.text)) == {"en", "be", "ru"} - {language}
    assert ledger.everything() == before


def test_a_new_confirmation_link_is_not_said_to_have_expired_in_the_other_languages(
    client: TestClient, ledger: Ledger, clock: HandedClock
) -> None:
    client.post("/subscribe", data=form())
    clock.pass_(days=5)
    page = client.post(ledger.confirm_path(), data={"again": "yes"}).text
    assert words("ru").gettext("Check your mailbox") in page
    assert _others(page) == {"be": "/belarus/be", "en": "/belarus/en"}


def test_a_new_link_to_my_data_is_not_said_to_have_expired_in_the_other_languages(
    client: TestClient, ledger: Ledger, confirmed: Subscription, clock: HandedClock
) -> None:
    client.post(f"{ledger.preferences_path(confirmed)}/data")
    clock.pass_(days=2)
    page = client.post(ledger.my_data_path()).text
    assert "Ещё один шаг" in page
    before = ledger.everything()
    assert "Яшчэ адзін крок" in client.get(_others(page)["be"]).text
    assert ledger.everything() == before


def test_whoever_has_left_is_not_said_to_be_subscribed(
    client: TestClient, ledger: Ledger, confirmed: Subscription
) -> None:
    client.post(ledger.leave_path())
    assert "Вы отписались" in client.get(f"{ledger.leave_path()}?now=yes").text


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/subscribe", "?language={}"),
        ("/p/{}", "?language={}"),
        ("/belarus/ru", "/?language={}"),
        ("/console/sign-in", "/?language={}"),
    ],
)
def test_what_is_refused_names_the_other_languages(client: TestClient, path: str, there: str) -> None:
    path = path.format("0" * 32)
    answers = [
        client.post(
            path,
            content=b"x" * 70_000,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept-Language": "ru"},
        )
    ]
    answers.append(client.put(path, headers={"Accept-Language": "ru"}))
    for answer in answers:
        assert answer.status_code in (403, 405, 413)
        assert _others(answer.text) == {each: there.format(each) for each in ("en", "be")}
