"""Files of other programs brought in: who reads us then, with which evidence, and who stays out."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from mailer.app import App
from mailer.delivery.dead import give_up
from mailer.subscribers import optin, subscription, suppression
from mailer.subscribers.address import parse
from mailer.subscribers.importing import road, writing
from mailer.subscribers.importing.columns import Role, Said, columns_of
from mailer.subscribers.importing.fates import As, Fate
from mailer.subscribers.importing.table import TableError, open_table
from mailer.subscribers.optin import Confirmation
from mailer.subscribers.states import IllegalTransition, SubscriptionEvent, SubscriptionStatus, advance
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    Edition,
    Publication,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)
from tests.conftest import HandedClock
from tests.subscribers.importing.desk import EVIDENCE, Desk, anything, fates

CONFIRMED, PENDING = SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING
UNSUBSCRIBED, SUPPRESSED = SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.SUPPRESSED

LISTMONK = """uuid,email,name,attributes,status,created_at,updated_at
1,on@far.example.org,On,"{""city"": ""Minsk""}",enabled,2020-01-01T10:00:00Z,2020-01-01T10:00:00Z
2,off@far.example.org,Off,{},disabled,2020-01-01T10:00:00Z,2020-01-01T10:00:00Z
3,blocked@far.example.org,No,{},blocklisted,2020-01-01T10:00:00Z,2020-01-01T10:00:00Z
"""
LISTMONK_LIST = """email,name,status,subscription_status
on@far.example.org,On,enabled,confirmed
asked@far.example.org,As,enabled,unconfirmed
left@far.example.org,Le,enabled,unsubscribed
"""
MAILCHIMP = (
    '"Email Address","First Name",Address,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,{}LEID,EUID\n'
    'reader@far.example.org,Ann,"1 Street, City",2,"2019-01-01 10:00:00",203.0.113.7,"2019-01-02 10:00:00",203.0.113.7,'
)
GHOST = (
    "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n"
    "1,on@far.example.org,On,,true,false,,2024-03-01T09:30:00.000Z,,,\n"
    "2,off@far.example.org,Off,,false,true,,2024-03-01T09:30:00.000Z,,,\n"
    "3,gone@far.example.org,Gone,,true,false,,2024-03-01T09:30:00.000Z,2025-01-01T00:00:00.000Z,,\n"
)
KEILA = """Email,First name,Last name,Data,Status
on@far.example.org,On,,,active
off@far.example.org,Off,,,unsubscribed
dead@far.example.org,Dead,,,unreachable
"""
MAILMAN = '"Anna K" <on@far.example.org>\nBob <bob@far.example.org>\nplain@far.example.org\n'


@pytest.fixture
def desk(app: App, publication: Publication, tmp_path: Path) -> Desk:
    return Desk(app, publication, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LISTMONK, [Fate.ADDED, Fate.SKIPPED, Fate.SUPPRESSED]),
        (LISTMONK_LIST, [Fate.ADDED, Fate.SKIPPED, Fate.LEFT]),
        (MAILCHIMP.format("") + "1,2\n", [Fate.ADDED]),
        (MAILCHIMP.format("UNSUB_TIME,UNSUB_REASON,") + '"2020-01-01 10:00:00",,1,2\n', [Fate.LEFT]),
        (MAILCHIMP.format("CLEAN_TIME,") + '"2020-01-01 10:00:00",1,2\n', [Fate.SUPPRESSED]),
        ("email,status\na@far.example.org,subscribed\nb@far.example.org,cleaned\n", [Fate.ADDED, Fate.SUPPRESSED]),
        ("email,status\na@far.example.org,pending\nb@far.example.org,nonsense\n", [Fate.SKIPPED, Fate.SKIPPED]),
        (GHOST, [Fate.ADDED, Fate.LEFT, Fate.LEFT]),
        (KEILA, [Fate.ADDED, Fate.LEFT, Fate.SUPPRESSED]),
        (MAILMAN, [Fate.ADDED, Fate.ADDED, Fate.ADDED]),
        ("Email;Статус\na@far.example.org;Подписан\nb@far.example.org;отписан\n", [Fate.ADDED, Fate.LEFT]),
        ("email,name\n'+a@far.example.org,'=1+1\n@,\n", [Fate.ADDED, Fate.INVALID]),
    ],
)
def test_each_programs_words_are_understood(desk: Desk, text: str, expected: list[Fate]) -> None:
    foreseen = desk.bring(text, dry=True)
    assert desk.standing() == {}
    assert fates(foreseen) == expected
    assert desk.bring(text) == foreseen


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("opted_in", ("yes", "", "NULL", "no"), [Fate.ADDED, Fate.SKIPPED, Fate.SKIPPED, Fate.LEFT]),
        ("status", ("active", "", "-"), [Fate.ADDED, Fate.SKIPPED, Fate.SKIPPED]),
        (
            "status,subscription_status",
            ("enabled,", "enabled,unsubscribed", ","),
            [Fate.ADDED, Fate.LEFT, Fate.SKIPPED],
        ),
        ("status,opted_in", ("active,", ",yes", "unsubscribed,"), [Fate.SKIPPED, Fate.ADDED, Fate.LEFT]),
        ("opted_in,unsubscribed_at", (",2020-01-31", "yes,", "yes,soon"), [Fate.LEFT, Fate.ADDED, Fate.SKIPPED]),
    ],
)
def test_a_blank_is_no_yes(desk: Desk, columns: str, cells: tuple[str, ...], expected: list[Fate]) -> None:
    rows = "".join(f"{place}@far.example.org,{each}\n" for place, each in enumerate(cells))
    found = desk.bring(f"email,{columns}\n{rows}")
    assert fates(found) == expected
    assert all(each.reason for each in found if each.fate is Fate.SKIPPED)


def test_a_column_of_which_nothing_is_known_can_be_passed_over(desk: Desk) -> None:
    text = "email,status\na@far.example.org,\n"
    (found,) = desk.bring(text)
    assert found.reason == "'status' is blank: it does not say that the reader is subscribed"
    assert fates(desk.bring(text, said=["status="])) == [Fate.ADDED]


def test_only_a_date_or_a_yes_says_that_somebody_left_or_that_mail_came_back(desk: Desk) -> None:
    cells = ("2020-01-31 10:00", "true", "NULL", "0000-00-00 00:00:00", "never", "0", "perhaps")
    for column, gone in (("unsubscribed_at", Fate.LEFT), ("CLEAN_TIME", Fate.SUPPRESSED)):
        rows = "".join(f"{column}{place}@far.example.org,{each}\n" for place, each in enumerate(cells))
        found = desk.bring(f"email,{column}\n{rows}")
        assert fates(found) == [gone] * 2 + [Fate.ADDED] * 4 + [Fate.SKIPPED]
        assert found[-1].reason == f"'{column}' is 'perhaps', which is neither a date nor yes nor no"


def test_the_reasons_of_a_suppression_are_kept(desk: Desk) -> None:
    desk.bring(KEILA)
    desk.bring(LISTMONK)
    with desk.app.database.read() as session:
        rows = {row.address: (row.reason, row.added_by, row.note) for row in anything(session, Suppression)}
    assert rows == {
        "dead@far.example.org": (SuppressionReason.BOUNCE, "olga", "the file says: its mail came back"),
        "blocked@far.example.org": (SuppressionReason.OPERATOR, "olga", "the file says: blocked"),
    }


def test_evidence_says_where_it_comes_from_and_is_no_confirmation_of_ours(desk: Desk) -> None:
    desk.bring(MAILCHIMP.format("") + "1,2\n", name="audience.csv")
    with desk.app.database.read() as session:
        (consent,) = anything(session, Consent)
    assert (consent.event, consent.source) == (ConsentEvent.IMPORTED, "import audience.csv")
    assert consent.wording == f"{EVIDENCE} (the file says: since 2019-01-02 10:00:00)"
    assert consent.network == "203.0.113.0/24"


def test_pending_readers_are_asked_so_many_an_hour_also_in_the_next_file(desk: Desk, clock: HandedClock) -> None:
    desk.bring("a@far.example.org\nb@far.example.org\n", As.PENDING, per_hour=60)
    desk.bring("b@far.example.org\nc@far.example.org\n", As.PENDING, per_hour=60)
    with desk.app.database.read() as session:
        rows = anything(session, Delivery)
    assert [row.due_at - clock() for row in rows] == [timedelta(minutes=each) for each in range(3)]
    assert [row.queued_at for row in rows] == [row.due_at for row in rows]
    assert set(desk.standing().values()) == {PENDING}


def test_who_is_asked_can_confirm_and_needs_not_wait_for_the_mail_of_the_file(desk: Desk, clock: HandedClock) -> None:
    desk.bring("z@far.example.org\na@far.example.org\n", As.PENDING, per_hour=1)
    with desk.app.database.write() as session:
        delivery = anything(session, Delivery)[1]
        requested = optin.request(
            session,
            edition=desk.editions[0],
            address=parse("a@far.example.org"),
            address_hash=desk.hash("a@far.example.org"),
            language="en",
            wording="I want it.",
            source="form",
            network="",
            window=timedelta(minutes=15),
            now=clock(),
        )
        assert requested.owed is not None
        confirmed = optin.confirm(session, delivery.consent_id, wording="Yes.", source="link", network="", now=clock())
    assert confirmed.outcome is Confirmation.DONE
    assert desk.standing()["a@far.example.org", "en"] is CONFIRMED


@pytest.fixture
def hrodna(desk: Desk, publication: Publication) -> Publication:
    """Another publication, with an edition of its own."""
    with desk.app.database.write() as session:
        other = Publication(
            **{**publication.model_dump(), "id": None, "slug": "hrodna", "list_id": "hrodna.example.org"}
        )
        session.add(other)
        session.flush()
        session.add(Edition(publication_id=other.id or 0, code="en", label="EN", languages=["en"], position=9))
    return other


LIST = """address,publication,suppression_reason
one@far.example.org,{},unreachable
one@far.example.org,belarus,complaint
one@far.example.org,belarus,bounce
two@far.example.org,hrodna,operator
gone@far.example.org,minsk,operator
all@far.example.org,,operator
all@far.example.org,hrodna,operator
"""


@pytest.mark.parametrize("first", ["belarus", ""])
@pytest.mark.parametrize("batch", [1, 500])
def test_a_suppression_holds_for_the_publication_that_the_list_names_and_for_good(
    desk: Desk,
    publication: Publication,
    hrodna: Publication,
    first: str,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(road, "BATCH", batch)
    readers = ("one", "two", "gone", "all")
    desk.bring("\n".join(f"{each}@far.example.org" for each in readers))
    listed = LIST.format(first)
    foreseen = desk.bring(listed, As.SUPPRESSED, dry=True)
    assert desk.bring(listed, As.SUPPRESSED) == foreseen
    new = Fate.SUPPRESSED
    assert fates(foreseen) == [new, new, Fate.REPEATED, new, new, new, Fate.PRESENT]
    assert set(fates(desk.bring(listed, As.SUPPRESSED))) == {Fate.PRESENT, Fate.REPEATED}
    assert {address[:3] for (address, _), status in desk.standing().items() if status is CONFIRMED} == {"two"}
    with desk.app.database.read() as session:
        rows = {(row.address or "")[:3]: row for row in anything(session, Suppression)}
        for_good = {
            (each, of.slug): suppression.is_suppressed(
                session, desk.hash(f"{each}@far.example.org"), of.id or 0, for_good=True
            )
            for each in readers
            for of in (publication, hrodna)
        }
    assert [who for who, is_listed in for_good.items() if not is_listed] == [("one", "hrodna"), ("two", "belarus")]
    assert "(for the publication 'minsk', which is not here)" in rows["gon"].note


def test_who_is_listed_for_another_publication_comes_into_this_one(desk: Desk, hrodna: Publication) -> None:
    desk.bring("address,publication\na@far.example.org,hrodna\nb@far.example.org,belarus\n", As.SUPPRESSED)
    for mode in (As.CONFIRMED, As.PENDING, As.OWN):
        found = desk.bring("a@far.example.org\nb@far.example.org\n", mode, dry=True)
        assert [each.fate is Fate.KEPT_OUT for each in found] == [False, True]


def test_whoever_gets_no_mail_because_it_came_back_too_long_stays_out(desk: Desk) -> None:
    desk.bring("address,suppression_reason\na@far.example.org,unreachable\n", As.SUPPRESSED)
    (fated,) = desk.bring("a@far.example.org\n")
    assert (fated.fate, fated.reason) == (Fate.KEPT_OUT, "its mail came back for too long")


@pytest.mark.parametrize("mode", [As.CONFIRMED, As.PENDING, As.OWN])
def test_whoever_left_or_was_suppressed_or_erased_stays_out(desk: Desk, mode: As, clock: HandedClock) -> None:
    desk.bring("left@far.example.org\ndead@far.example.org\nlifted@far.example.org\n")
    with desk.app.database.write() as session:
        left, dead, lifted = anything(session, Subscription)
        subscription.leave(session, left.id, source="link", network="", now=clock())
        for row in (dead, lifted):
            reader = session.get_one(Subscriber, row.subscriber_id)
            suppression.suppress(session, reader, SuppressionReason.COMPLAINT, note="", by="mailer", now=clock())
        suppression.lift(session, desk.hash("lifted@far.example.org"), by="olga", now=clock())
        session.add(
            Suppression(
                address_hash=desk.hash("erased@far.example.org"),
                reason=SuppressionReason.ERASED,
                added_at=clock(),
                added_by="reader",
            )
        )
    before = desk.standing()
    found = desk.bring(
        "LEFT@far.example.org\ndead@far.example.org\nlifted@far.example.org\nerased@far.example.org\n", mode
    )
    assert fates(found) == [Fate.KEPT_OUT] * 4
    assert [each.reason for each in found] == [
        "the reader left here",
        "it complained",
        "it was suppressed here; only the reader can come back",
        "it was erased, and is to get no mail",
    ]
    assert desk.standing() == before
    other = desk.bring("left@far.example.org\n", mode, edition="ru")
    assert fates(other) == [Fate.ADDED if mode is As.OWN else Fate.KEPT_OUT]


@pytest.mark.parametrize("mode", [As.CONFIRMED, As.PENDING, As.OWN])
def test_whoever_left_stays_out_though_somebody_typed_the_address_into_the_form(
    desk: Desk, mode: As, clock: HandedClock
) -> None:
    desk.bring("left@far.example.org\n")
    with desk.app.database.write() as session:
        (left,) = anything(session, Subscription)
        subscription.leave(session, left.id, source="link", network="", now=clock())
        requested = optin.request(
            session,
            edition=session.get_one(Edition, left.edition_id),
            address=parse("left@far.example.org"),
            address_hash=desk.hash("left@far.example.org"),
            language="en",
            wording="",
            source="form",
            network="",
            window=timedelta(hours=1),
            now=clock(),
        )
        assert requested.owed is not None
    before = desk.standing()
    for dry in (True, False):
        assert fates(desk.bring("left@far.example.org\n", mode, dry=dry)) == [Fate.KEPT_OUT]
    assert desk.standing() == before


def test_whoever_left_stays_out_though_the_mail_that_somebody_caused_since_came_back(
    desk: Desk, clock: HandedClock
) -> None:
    desk.bring("email,status\nleft@far.example.org,unsubscribed\n")
    with desk.app.database.write() as session:
        (left,) = anything(session, Subscription)
        optin.request(
            session,
            edition=session.get_one(Edition, left.edition_id),
            address=parse("left@far.example.org"),
            address_hash=desk.hash("left@far.example.org"),
            language="en",
            wording="",
            source="form",
            network="",
            window=timedelta(hours=1),
            now=clock(),
        )
    assert set(desk.standing().values()) == {PENDING}
    with desk.app.database.write() as session:
        give_up(session, left.id, SuppressionReason.BOUNCE, "550 unknown", clock())
    assert fates(desk.bring("left@far.example.org\n")) == [Fate.KEPT_OUT]
    assert set(desk.standing().values()) == {SUPPRESSED}


def test_what_a_file_says_of_another_list_does_not_end_what_a_reader_confirmed_here(
    desk: Desk, clock: HandedClock
) -> None:
    desk.bring("here@far.example.org\nthere@far.example.org\n", As.PENDING)
    with desk.app.database.write() as session:
        asked = anything(session, Consent)[0]
        optin.confirm(session, asked.id, wording="Yes.", source="link", network="", now=clock())
    text = "email,status\nhere@far.example.org,{}\nthere@far.example.org,{}\n"
    assert fates(desk.bring(text.format("unsubscribed", "unsubscribed"))) == [Fate.PRESENT, Fate.LEFT]
    assert fates(desk.bring(text.format("cleaned", "cleaned"))) == [Fate.PRESENT, Fate.SUPPRESSED]
    assert fates(desk.bring(text.format("", ""), As.SUPPRESSED)) == [Fate.SUPPRESSED, Fate.PRESENT]
    assert set(desk.standing().values()) == {SUPPRESSED}


@pytest.mark.parametrize("status", ["suppressed", "unsubscribed"])
def test_nor_does_an_export_of_our_own_end_it_but_its_suppression_list_does(
    desk: Desk, clock: HandedClock, status: str
) -> None:
    desk.bring("here@far.example.org\nthere@far.example.org\n", As.PENDING)
    with desk.app.database.write() as session:
        asked = anything(session, Consent)[0]
        optin.confirm(session, asked.id, wording="Yes.", source="link", network="", now=clock())
    ended = SubscriptionStatus(status)
    text = f"address,publication,edition,status\nhere@far.example.org,belarus,en,{status}\n"
    found = desk.bring(f"{text}there@far.example.org,belarus,en,{status}\n", As.OWN)
    assert [each.fate is Fate.PRESENT for each in found] == [True, False]
    assert desk.standing() == {("here@far.example.org", "en"): CONFIRMED, ("there@far.example.org", "en"): ended}
    desk.bring("here@far.example.org\n", As.SUPPRESSED)
    assert desk.standing() == {("here@far.example.org", "en"): SUPPRESSED, ("there@far.example.org", "en"): ended}


def test_an_opt_out_stays_one_whatever_an_export_of_our_own_says_of_it(desk: Desk, clock: HandedClock) -> None:
    desk.bring("email,status\nleft@far.example.org,unsubscribed\nasked@far.example.org,unsubscribed\n")
    with desk.app.database.write() as session:
        asked = next(each for each in anything(session, Subscriber) if each.address.startswith("asked"))
        edition_id = anything(session, Subscription)[0].edition_id
        optin.request(
            session,
            edition=session.get_one(Edition, edition_id),
            address=parse(asked.address),
            address_hash=asked.address_hash,
            language="en",
            wording="",
            source="form",
            network="",
            window=timedelta(hours=1),
            now=clock(),
        )
    text = "address,publication,edition,status\n"
    text += "".join(f"{who}@far.example.org,belarus,en,suppressed\n" for who in ("left", "asked"))
    for dry in (True, False):
        found = desk.bring(text, As.OWN, dry=dry)
        assert [(each.fate, each.reason) for each in found] == [(Fate.PRESENT, "the reader left here")] * 2
    assert desk.standing() == {
        ("left@far.example.org", "en"): SubscriptionStatus.UNSUBSCRIBED,
        ("asked@far.example.org", "en"): PENDING,
    }


def test_a_second_run_does_nothing_twice(desk: Desk) -> None:
    text = "email,status\na@far.example.org,active\nb@far.example.org,unsubscribed\nc@far.example.org,cleaned\n"
    desk.bring(text)
    assert fates(desk.bring(text)) == [Fate.PRESENT] * 3
    with desk.app.database.read() as session:
        assert [len(anything(session, table)) for table in (Subscriber, Consent, Suppression)] == [2, 2, 1]


def test_editions_are_named_by_code_label_or_language(desk: Desk) -> None:
    text = (
        "email,edition\na@far.example.org,BE/RU\nb@far.example.org,be-ru\nc@far.example.org,en\nd@far.example.org,fr\n"
    )
    found = desk.bring(text, edition=None)
    assert [each.reason for each in found] == ["", "", "", "there is no edition 'fr'"]
    assert {edition for _, edition in desk.standing()} == {"be-ru", "en"}
    with_language = "email,language\na@far.example.org,RU\n"
    assert fates(desk.bring(with_language, edition="be-ru")) == [Fate.PRESENT]
    with desk.app.database.read() as session:
        assert {row.language for row in anything(session, Subscription)} == {"be", "en"}


def test_a_row_that_is_too_short_to_say_its_status_brings_nobody_in(desk: Desk) -> None:
    text = (
        'email,name,status\na@far.example.org,"A,unsubscribed\nb@far.example.org\nc@far.example.org,Doe, C,subscribed\n'
    )
    assert fates(desk.bring(text)) == [Fate.SKIPPED] * 3
    assert fates(desk.bring(text, As.SUPPRESSED)) == [Fate.SUPPRESSED] * 3


def test_columns_can_be_said(desk: Desk, tmp_path: Path) -> None:
    text = "old,new,status\nold@far.example.org,new@far.example.org,7\n"
    assert [each.address for each in desk.bring(text, dry=True, said=["address=new", "status="])] == [
        "new@far.example.org"
    ]
    table = open_table(tmp_path / "list.csv")
    for said, words in (
        ("address=nothing", "there is no column 'nothing'"),
        ("nothing=new", "write ROLE=COLUMN"),
        ("address=", "no column holds addresses"),
    ):
        with pytest.raises(TableError, match=words):
            columns_of(table, [Said.parse(said)])
    assert columns_of(table, [Said.parse("address=2")])[Role.ADDRESS] == [1]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a@far.example.org", "A@far.example.org", "b@far.example.org", "c@far.example.org", "d"]),
        st.sampled_from(["active", "active", "", "pending", "unsubscribed", "cleaned", "blocked", "disabled", "what"]),
        st.sampled_from(["en", "en", "ru", "fr"]),
    ),
    max_size=12,
)


@pytest.mark.sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(rows=ROWS, mode=st.sampled_from(As), batch=st.sampled_from([1, 2, 500]))
def test_a_dry_run_foresees_what_the_real_one_does(
    desk: Desk, rows: list[tuple[str, str, str]], mode: As, batch: int
) -> None:
    with desk.app.database.write() as session:
        for table in (Delivery, Consent, Subscription, Subscriber, Suppression):
            for row in anything(session, table):
                session.delete(row)
            session.flush()
    text = "email,status,edition\nx@far.example.org,active,en\n" + "".join(",".join(row) + "\n" for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(road, "BATCH", batch)
        foreseen = desk.bring(text, mode, dry=True)
        assert desk.standing() == {}
        assert desk.bring(text, mode) == foreseen
        standing = desk.standing()
        again = desk.bring(text, mode)
        assert not {Fate.ADDED, Fate.ASKED, Fate.WAITING, Fate.LEFT, Fate.SUPPRESSED} & set(fates(again))
        assert desk.standing() == standing
    with desk.app.database.read() as session:
        for address in session.exec(select(Suppression.address)):
            assert {status for (each, _), status in standing.items() if each == address} <= {SUPPRESSED}


def test_evidence_of_any_length_and_octets_is_kept_as_far_as_it_can_be(desk: Desk) -> None:
    assert (
        fates(desk.bring("email,evidence\na@far.example.org,x\0y\nb@far.example.org," + "z" * 90_000))
        == [Fate.ADDED] * 2
    )
    with desk.app.database.read() as session:
        assert [consent.wording for consent in anything(session, Consent)] == ["x\ufffdy", "z" * 2_000]


PIECES = [
    b'"',
    b",",
    b"\n",
    b"\0",
    b"a@far.example.org",
    b"\xff\xfe",
    "Я".encode(),
    b"'=1",
    b"email",
    b"status",
    b"<",
    b">",
]


@pytest.mark.sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    octets=st.binary(max_size=100) | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join),
    mode=st.sampled_from(As),
)
def test_any_octets_have_fates_or_a_sentence(desk: Desk, octets: bytes, mode: As) -> None:
    try:
        found = desk.bring(octets, mode, dry=True)
    except TableError:
        return
    assert all(each.reason or each.fate in (Fate.ADDED, Fate.ASKED, Fate.WAITING, Fate.SUPPRESSED) for each in found)


@pytest.mark.postgresql  # on SQLite nobody writes between our look and our writing
def test_a_reader_who_subscribes_at_that_moment_is_met(
    desk: Desk, clock: HandedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe = writing._subscribe

    def at_that_moment(*args: Any) -> None:
        if not desk.standing():
            with desk.app.database.write() as session:
                optin.request(
                    session,
                    edition=desk.editions[0],
                    address=parse("a@far.example.org"),
                    address_hash=desk.hash("a@far.example.org"),
                    language="en",
                    wording="I want it.",
                    source="form",
                    network="",
                    window=timedelta(),
                    now=clock(),
                )
        subscribe(*args)

    monkeypatch.setattr(writing, "_subscribe", at_that_moment)
    (found,) = desk.bring("a@far.example.org\n")
    assert (found.fate, found.reason) == (Fate.ADDED, "was pending here")
    assert list(desk.standing().values()) == [CONFIRMED]


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_an_import_leads_to_a_reader_from_nowhere_but_the_door(status: SubscriptionStatus) -> None:
    if status in (PENDING, CONFIRMED):
        assert advance(status, SubscriptionEvent.IMPORT) is CONFIRMED
    else:
        with pytest.raises(IllegalTransition, match=f"that is {status} cannot import"):
            advance(status, SubscriptionEvent.IMPORT)


@pytest.mark.parametrize(("how", "first"), [(As.CONFIRMED, Fate.ADDED), (As.SUPPRESSED, Fate.SUPPRESSED)])
def test_a_domain_written_as_labels_and_in_its_script_is_one(desk: Desk, how: As, first: Fate) -> None:
    done = desk.bring("email\nanna@xn--e1afmkfd.xn--90ais\nanna@пример.бел\n", how)
    assert fates(done) == [first, Fate.REPEATED]


def test_two_domains_that_casefold_to_one_are_two(desk: Desk) -> None:
    assert fates(desk.bring("email\nanna@swiß.example\nanna@swiss.example\n")) == [Fate.ADDED, Fate.ADDED]
