"""Pages are made when nothing is locked any more: whoever writes need not wait for a template."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from mailer.app import App
from mailer.tables import Subscription
from mailer.web.pages import Pages
from tests.web.conftest import Ledger, form

pytestmark = pytest.mark.sqlite  # which has one writer at a time

LEAVING = [{}, {"act": "everything"}, {"act": "undo"}, {"act": "reason", "reason": "too much"}]
CHANGING: list[dict[str, str]] = [
    {"act": "choose", "edition-en": "yes"},
    {"act": "choose"},
    {"act": "undo"},
    {"act": "pause", "pause": "2"},
    {"act": "pause", "pause": "no time"},
    {"act": "resume"},
    {"act": "move", "address": "nowhere"},
    {"act": "move", "address": "new@example.org"},
    {"act": "everything"},
    {"act": "reason", "reason": "too much"},
    {"act": "nothing"},
]


@pytest.fixture
def made(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The templates that were rendered, each while somebody else wrote."""
    render, found = Pages.render, list[str]()

    def write() -> None:
        with app.database.write():
            pass

    with ThreadPoolExecutor(1) as somebody:

        def render_while_somebody_writes(self: Pages, template: str, *words: Any, **values: Any) -> str:
            somebody.submit(write).result()
            found.append(template)
            return render(self, template, *words, **values)

        monkeypatch.setattr(Pages, "render", render_while_somebody_writes)
        monkeypatch.setattr("mailer.database.BUSY_SECONDS", 0.05)
        yield found
    assert found


def test_while_the_answer_to_leaving_is_made(
    client: TestClient, ledger: Ledger, confirmed: Subscription, made: list[str]
) -> None:
    path = ledger.leave_path(confirmed)
    for act in LEAVING:
        assert client.get(path).status_code == 200
        assert client.post(path, data={"from": "page", **act}).status_code == 200
    assert set(made) == {"unsubscribe.html", "unsubscribed.html", "restored.html"}


def test_while_the_answer_to_a_change_is_made(
    client: TestClient, ledger: Ledger, confirmed: Subscription, made: list[str]
) -> None:
    path = ledger.preferences_path(confirmed)
    for act in CHANGING:
        assert client.get(path).status_code == 200
        assert client.post(path, data={"from": "page", **act}).status_code in (200, 422)
    assert set(made) == {"preferences.html", "unsubscribed.html"}


def test_while_the_answers_to_a_move_and_to_my_data_are_made(
    client: TestClient, ledger: Ledger, confirmed: Subscription, made: list[str]
) -> None:
    path = ledger.preferences_path(confirmed)
    client.post(path, data={"act": "move", "address": "new@example.org"})
    client.post(f"{path}/data")
    for path_of in (ledger.move_path, ledger.move_back_path):
        link = path_of()
        assert client.get(link).status_code == 200
        assert client.post(link).status_code == 200
    data = ledger.my_data_path()
    for each in (data, f"{data}/erase"):
        assert client.get(each).status_code == 200
    assert client.post(f"{data}/erase").status_code == 200
    assert {"move.html", "moved.html", "my-data.html", "erase.html", "erased.html"} <= set(made)


def test_while_the_answers_to_a_subscription_are_made(client: TestClient, ledger: Ledger, made: list[str]) -> None:
    client.post("/subscribe", data=form())
    client.post(ledger.confirm_path())
    assert set(made) == {"check-mailbox.html", "subscribed.html"}
