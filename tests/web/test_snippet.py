"""The snippet in docs/forms.md, as a reader of another site uses it."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mailer.settings import Settings
from mailer.tables import Publication
from tests.conftest import HandedClock
from tests.web.conftest import ORIGIN, Ledger
from tests.web.test_asking import fields_of

DOCS = (Path(__file__).parents[2] / "docs" / "forms.md").read_text(encoding="utf-8")
SNIPPET = re.search(r"```html\n(<form.*?</form>)\n```", DOCS, re.DOTALL)


@pytest.mark.sqlite
@pytest.mark.parametrize("edition", ["en", "ru", "be-ru"])
def test_the_snippet_of_the_docs_subscribes_a_reader(
    client: TestClient, publication: Publication, ledger: Ledger, clock: HandedClock, edition: str
) -> None:
    assert SNIPPET
    html = SNIPPET.group(1)
    assert f'action="{ORIGIN}/subscribe"' in html
    assert f'<option value="{edition}">' in html
    assert "<script" not in html
    names = set(re.findall(r'name="(\w+)"', html))
    typed = {"address": "anna@example.org", "edition": edition, "website": ""}
    fields = fields_of(html) | typed
    assert set(fields) == names
    page = client.post("/subscribe", data=fields, headers={"Origin": "https://friend.example"})
    assert "One more step" in page.text
    clock.pass_(seconds=2)
    assert "Check your mailbox" in client.post("/subscribe", data=fields_of(page.text)).text
    assert len(ledger.mails()) == 1


def test_the_docs_name_every_setting_of_the_form() -> None:
    settings = [name for name in Settings.model_fields if name.startswith(("requests_", "role_", "disposable_"))]
    assert len(settings) == 6
    for name in settings:
        assert f"`MAILER_{name.upper()}`" in DOCS
