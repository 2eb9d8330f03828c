"""mailer subscribers show, remove: one reader's question answered."""

import getpass
import json
from datetime import UTC, datetime, timedelta

import pytest

from mailer.cli.shared import hashed, installation, parsed
from mailer.delivery import automatic
from mailer.subscribers import optin
from mailer.tables import Edition
from tests.cli.conftest import Type

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def reader(installed: Type) -> str:
    """Has asked for the first edition, and not confirmed."""
    app, of = installation(), parsed("Anna@far.example")
    with app.database.write() as session:
        requested = optin.request(
            session,
            edition=session.get_one(Edition, 1),
            address=of,
            address_hash=hashed(app, of),
            language="en",
            wording="I want it. \x1b[31m",
            source="form",
            network="203.0.113.0/24",
            window=timedelta(),
            now=NOW,
        )
        assert requested.owed is not None
        automatic.queue(session, requested.owed, NOW)
    app.database.engine.dispose()
    return of.text


def test_a_readers_question_is_answered(installed: Type, reader: str) -> None:
    typed = installed("subscribers", "show", "anna@FAR.example")
    assert typed.status == 0
    for words in ("en: pending since 2026-11-20 09:00 UTC", "requested", "form", "203.0.113.0/24", "confirmation"):
        assert words in typed.out
    assert "\x1b" not in typed.out
    found = json.loads(installed("subscribers", "show", reader, "--json").out)
    (reading,) = found["subscriptions"]
    assert (reading["status"], [each["event"] for each in reading["consents"]]) == ("pending", ["requested"])
    assert [(each["kind"], each["status"]) for each in found["deliveries"]] == [("confirmation", "queued")]


def test_a_reader_who_is_removed_leaves_everything_once(installed: Type, reader: str) -> None:
    assert installed("subscribers", "remove", reader, "--note", "asked by phone").out.startswith("Unsubscribed from ")
    assert installed("subscribers", "remove", reader).out == "All its subscriptions had ended before.\n"
    (reading,) = json.loads(installed("subscribers", "show", reader, "--json").out)["subscriptions"]
    assert reading["status"] == "unsubscribed"
    assert [each["source"] for each in reading["consents"]] == [
        "form",
        f"command ({getpass.getuser()}): asked by phone",
    ]


def test_an_unknown_address_gets_a_sentence(installed: Type) -> None:
    assert installed("subscribers", "show", "nobody@far.example").err == (
        "mailer: nobody@far.example is not known here: no subscription, and not on the suppression list.\n"
    )
    assert installed("subscribers", "remove", "nobody@far.example").err == (
        "mailer: nobody@far.example reads nothing here.\n"
    )
    assert installed("subscribers", "show", "nobody").err.startswith("mailer: 'nobody': This is not an e-mail address")
    assert installed("suppression", "add", "dead@far.example", "--note", "asked by phone").status == 0
    assert installed("subscribers", "show", "dead@far.example").out.endswith(": asked by phone\n")
