"""consent, retention, stats, and one reader's data by command."""

import json
from datetime import date

import pytest
from sqlmodel import Session, select

from mailer.cli.shared import installation
from mailer.delivery.states import DeliveryStatus
from mailer.subscribers import address, chain, optin
from mailer.tables import Delivery, DeliveryKind, Edition, Parting, PartingReason, Suppression
from tests.cli.conftest import Type

ANNA = "anna@example.org"


@pytest.fixture
def reader(installed: Type) -> Type:
    """An installation with anna@example.org, who asked and confirmed."""
    app = installation()
    parsed = address.parse(ANNA)
    with app.database.write() as session:
        owed = optin.request(
            session,
            edition=session.get_one(Edition, 1),
            address=parsed,
            address_hash=address.hash(parsed, app.settings.address_key.get_secret_value()),
            language="en",
            wording="I want to receive it.",
            source="form https://news.example.org/x/en",
            network="203.0.113.0/24",
            window=app.clock() - app.clock(),
            now=app.clock(),
        ).owed
        assert owed is not None
        assert owed.consent_id is not None
        optin.confirm(session, owed.consent_id, wording="Yes.", source="link", network="", now=app.clock())
    return installed


def seal() -> None:
    app = installation()
    with app.database.write() as session:
        chain.seal(session, app.clock())


def meddle(statement: str) -> None:
    with installation().database.write() as session:
        assert isinstance(session, Session)
        session.connection().exec_driver_sql(statement)


def test_verify_prints_an_anchor_that_holds_later(reader: Type) -> None:
    assert "2 more wait to be sealed" in reader("consent", "verify").out
    seal()
    first = reader("consent", "verify")
    assert first.lines[0] == "2 links, 2 consents as they were sealed."
    anchor = first.lines[-1].removeprefix("Anchor: ")
    assert reader("consent", "verify", "--expect", anchor).status == 0
    assert json.loads(reader("consent", "verify", "--since", anchor, "--json").out)["head"] == anchor


def test_verify_names_what_was_touched(reader: Type) -> None:
    seal()
    meddle("UPDATE consent SET wording = 'Anything.' WHERE id = 2")
    typed = reader("consent", "verify")
    assert (typed.status, typed.err) == (
        1,
        "mailer: The chain is broken: consent 2 (link 2) is not what was sealed.\n",
    )


def test_verify_names_what_was_put_under_another_address(reader: Type) -> None:
    seal()
    meddle("UPDATE subscriber SET address = 'eve@example.org'")
    typed = reader("consent", "verify")
    assert typed.status == 1
    assert "consent 1 (link 1) stands under another address than it was sealed for" in typed.err


def test_an_anchor_that_is_none_is_refused(reader: Type) -> None:
    typed = reader("consent", "verify", "--expect", "yesterday")
    assert typed.status == 1
    assert "NUMBER:HASH" in typed.err


def test_a_receipt_can_be_handed_out(reader: Type) -> None:
    assert "sealed    not yet" in reader("consent", "show", ANNA).out
    seal()
    said = reader("consent", "show", ANNA).out
    for part in ("asked to subscribe", "I want to receive it.", "203.0.113.0/24", "confirms  consent 1", "link 2"):
        assert part in said
    first = json.loads(reader("consent", "show", ANNA, "--json").lines[0])
    assert (first["event"], first["address"], first["link"]) == ("requested", ANNA, 1)


def test_nobodys_receipts_are_said_to_be_none(installed: Type) -> None:
    typed = installed("consent", "show", "nobody@example.org")
    assert typed.status == 1
    assert "There is no consent" in typed.err


def test_retention_shows_every_kind(reader: Type) -> None:
    said = reader("retention").out
    for part in ("unconfirmed", "1095", "never", "networks in consents"):
        assert part in said
    assert {json.loads(line)["going"] for line in reader("retention", "--json").lines} == {0}


def test_stats_tell_no_small_number(reader: Type) -> None:
    assert "fewer than 20" in reader("stats").out
    assert set(json.loads(reader("stats", "--json").out)["readers"].values()) == {None}


def test_stats_quote_who_wrote_why_they_left_and_terminals_are_safe_from_them(installed: Type) -> None:
    with installation().database.write() as session:
        said = ((11, "unsafe", ""), (10, "unsafe", "at work \x1b[2J"), (11, "elsewhere", "a friend's copy"))
        for number, reason, words in said:
            month = date(2026, number, 1)
            session.add(Parting(publication_id=1, month=month, reason=PartingReason(reason), words=words))
    assert "left, unsafe: fewer than 20" in installed("stats").out
    assert "at work" not in installed("stats").out
    out = installed("stats", "--words", "2").out
    assert out.index("2026-10  unsafe: at work") < out.index("2026-11  elsewhere: a friend's copy")
    assert "\x1b" not in out
    told = json.loads(installed("stats", "--words", "1", "--json").out)
    assert told["reasons"] == dict.fromkeys(PartingReason)
    assert told["words"] == [{"month": "2026-11", "reason": "elsewhere", "words": "a friend's copy"}]


def test_one_reader_is_exported_and_erased(reader: Type) -> None:
    held = json.loads(reader("subscribers", "export-one", ANNA).out)
    assert held["address"] == ANNA
    assert len(held["subscriptions"][0]["consents"]) == 2
    erased = reader("subscribers", "erase", ANNA, "--yes")
    assert erased.status == 0
    assert erased.lines[0].startswith(f"Erased: {ANNA}.")
    for command in (("export-one", ANNA), ("erase", ANNA, "--yes")):
        typed = reader("subscribers", *command)
        assert typed.status == 1
        assert "only the suppression list knows it (erased)" in typed.err


def test_an_address_that_stands_on_the_suppression_list_alone_is_erased_there(installed: Type) -> None:
    assert installed("suppression", "add", "Rang@example.org", "--note", "rang@example.org rang").status == 0
    erased = installed("subscribers", "erase", "rang@example.org", "--yes")
    assert (erased.status, erased.err) == (0, "")
    assert "The suppression list and test mail no longer name it" in erased.out
    with installation().database.read() as session:
        (entry,) = session.exec(select(Suppression)).all()
    assert (entry.address, entry.note, entry.lifted_at) == (None, "", None)
    assert installed("suppression", "list").out.count("operator") == 1
    again = installed("subscribers", "erase", "rang@example.org", "--yes")
    assert again.status == 1
    assert "only the suppression list knows it (operator)" in again.err


def test_who_was_only_sent_a_test_is_erased_too(installed: Type) -> None:
    now = installation().clock()
    with installation().database.write() as session:
        session.add(
            Delivery(
                kind=DeliveryKind.TEST,
                edition_id=1,
                recipient="test@anna.example",
                destination="anna.example",
                status=DeliveryStatus.QUEUED,
                due_at=now,
                queued_at=now,
                changed_at=now,
            )
        )
    assert installed("subscribers", "erase", "Test@anna.example", "--yes").status == 0
    with installation().database.read() as session:
        (test,) = session.exec(select(Delivery)).all()
    assert (test.recipient, test.destination, test.status) == (None, "", DeliveryStatus.WITHDRAWN)
    assert "(erased)" in installed("log").out


def test_who_erases_beside_a_reader_is_told_that_the_log_of_changes_still_holds_it(reader: Type) -> None:
    other = installation().database
    with other.read() as session:
        session.exec(select(Delivery)).all()
        beside = reader("subscribers", "erase", ANNA, "--yes").out
    other.engine.dispose()
    assert "log of changes (mailer.db-wal) still holds it" in beside


def test_what_is_no_address_is_said_to_be_none(installed: Type) -> None:
    for command in (("consent", "show"), ("subscribers", "erase"), ("subscribers", "export-one")):
        typed = installed(*command, "not an address")
        assert typed.status == 1
        assert typed.err.startswith("mailer: ")
