"""consent, retention, stats, and one reader's data by command."""

import json
from datetime import date, timedelta

import pytest
from sqlmodel import Session, select

from mailer.cli.shared import installation
from mailer.delivery.states import DeliveryStatus
from mailer.subscribers import address, chain, moving, optin
from mailer.tables import Delivery, DeliveryKind, Edition, Parting, PartingReason, Subscription, Suppression
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
    again = reader("subscribers", "erase", ANNA)
    assert (again.status, again.out) == (1, "")
    assert "only the suppression list knows it (erased)" in again.err
    kept = json.loads(reader("subscribers", "export-one", ANNA).out)
    assert [(each["address"], each["reason"]) for each in kept["suppressions"]] == [(None, "erased")]
    assert (kept["subscriptions"], kept["mails"]) == ([], [])


def moves_to(new: str) -> None:
    """anna goes on there."""
    app = installation()
    parsed, said = address.parse(new), {"wording": "", "network": "", "now": app.clock()}
    with app.database.write() as session:
        old = session.exec(select(Subscription.id)).first()
        assert old is not None
        hashed = address.hash(parsed, app.settings.address_key.get_secret_value())
        owed = moving.ask(session, old, parsed, hashed, window=timedelta(), **said).owed  # type: ignore[arg-type]
        assert owed is not None
        assert owed.consent_id is not None
        moving.confirm(session, owed.consent_id, language="en", **said)  # type: ignore[arg-type]


def test_an_address_of_the_same_reader_stays_where_they_read_and_the_operator_is_told(reader: Type) -> None:
    moves_to("anna@example.net")
    whole = json.loads(reader("subscribers", "export-one", ANNA).out)
    assert [each["address"] for each in whole["other_addresses"]] == ["anna@example.net"]
    erased = reader("subscribers", "erase", ANNA, "--yes")
    assert erased.lines[:2] == [
        "anna@example.net, which the same reader came from or went on to, stays: somebody reads there, or is asked to"
        " confirm. To erase it: mailer subscribers erase anna@example.net",
        f"Erased: {ANNA}.",
    ]
    assert reader("subscribers", "erase", "anna@example.net", "--yes").lines[0] == "Erased: anna@example.net."


def test_an_address_that_can_take_a_change_back_stays_and_the_operator_is_told(reader: Type) -> None:
    moves_to("anna@example.net")
    erased = reader("subscribers", "erase", "anna@example.net", "--yes")
    assert erased.lines[:2] == [
        f"{ANNA}, which the same reader came from or went on to, stays: a change of address, or leaving, can be taken"
        f" back there for 30 days. To erase it: mailer subscribers erase {ANNA}",
        "Erased: anna@example.net.",
    ]


def test_nobody_is_asked_whether_to_erase_an_address_of_which_nothing_is_held(installed: Type) -> None:
    for command in ("erase", "export-one"):
        typed = installed("subscribers", command, "nobody@example.org")
        assert (typed.status, typed.out) == (1, "")
        assert typed.err == "mailer: No reader has the address nobody@example.org; nothing is held about it.\n"


def test_an_address_that_stands_on_the_suppression_list_alone_is_exported(installed: Type) -> None:
    installed("suppression", "add", "Rang@example.org", "--note", "rang us")
    held = json.loads(installed("subscribers", "export-one", "rang@example.org").out)
    assert (held["address"], held["subscriptions"], held["mails"]) == ("rang@example.org", [], [])
    assert [(each["reason"], each["note"]) for each in held["suppressions"]] == [("operator", "rang us")]


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


def test_who_was_only_sent_a_test_is_exported_and_erased_too(installed: Type) -> None:
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
    held = json.loads(installed("subscribers", "export-one", "Test@anna.example").out)
    assert [(each["kind"], each["recipient"]) for each in held["mails"]] == [("test", "test@anna.example")]
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
