"""The chain of consents: what is done behind its back shows, what is done for a reason does not break it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from mailer.database import Database
from mailer.subscribers import chain
from mailer.subscribers.chain import Anchor, AnchorError, Verdict
from mailer.tables import Consent, ConsentEvent, Subscriber, Subscription
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe

Agree = Callable[..., None]


@pytest.fixture
def agree(database: Database, subscribe: Subscribe, clock: HandedClock) -> Agree:
    """agree("anna@example.org", …): each asks and confirms, from a network that is known."""

    def act(*addresses: str) -> None:
        ids = subscribe(*addresses)
        with database.write() as session:
            for each in ids:
                for event in (ConsentEvent.REQUESTED, ConsentEvent.CONFIRMED):
                    session.add(
                        Consent(
                            subscription_id=each,
                            event=event,
                            at=clock(),
                            wording="I want to receive “Situation in Belarus”.",
                            language="en",
                            source="form",
                            network="203.0.113.0/24",
                        )
                    )

    return act


def seal(database: Database, clock: HandedClock) -> int:
    with database.write() as session:
        return chain.seal(session, clock())


def verify(database: Database, *, expected: Anchor | None = None, since: Anchor | None = None) -> Verdict:
    with database.read() as session:
        return chain.verify(session, expected=expected, since=since)


def meddle(database: Database, *statements: str) -> None:
    """What somebody does who has the database, and not this program."""
    with database.write() as session:
        for statement in statements:
            session.connection().execute(sa.text(statement))


@pytest.fixture
def sealed(database: Database, agree: Agree, clock: HandedClock) -> Database:
    """Three readers, with six sealed consents."""
    agree("anna@example.org", "boris@example.org", "vera@example.org")
    assert seal(database, clock) == 6
    assert verify(database).broken is None
    return database


def test_what_was_sealed_stands_as_it_was(sealed: Database) -> None:
    found = verify(sealed)
    assert (found.links, found.consents, found.unsealed, found.removed) == (6, 6, 0, {})
    assert found.head is not None
    assert found.head.number == 6


def test_what_is_not_sealed_yet_waits_and_is_counted(sealed: Database, agree: Agree, clock: HandedClock) -> None:
    agree("gleb@example.org")
    assert verify(sealed).unsealed == 2
    with sealed.read() as session:
        assert chain.waits(session)
    assert seal(sealed, clock) == 2
    assert (verify(sealed).links, verify(sealed).unsealed) == (8, 0)
    assert seal(sealed, clock) == 0


def test_a_bounded_part_is_sealed_at_once(database: Database, agree: Agree, clock: HandedClock) -> None:
    agree("anna@example.org", "boris@example.org")
    for left in (1, 0):
        with database.write() as session:
            assert chain.seal(session, clock(), limit=3) == (3 if left else 1)
    assert verify(database).consents == 4


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE consent SET wording = 'Send me everything.' WHERE id = 3",
        "UPDATE consent SET language = 'ru' WHERE id = 3",
        "UPDATE consent SET source = 'import' WHERE id = 3",
        "UPDATE consent SET event = 'left' WHERE id = 3",
        "UPDATE consent SET at = '2020-01-01 00:00:00+00:00' WHERE id = 3",
        "UPDATE consent SET network = '198.51.100.0/24' WHERE id = 3",
        "UPDATE consent SET network_salt = NULL WHERE id = 3",
        "UPDATE consent SET subscription_id = 1 WHERE id = 3",
        "UPDATE consent SET request_id = 1 WHERE id = 3",
        "UPDATE consent SET subject = 'hash of vera@example.org' WHERE id = 3",
        "UPDATE consent SET salt = NULL WHERE id = 3",
        "UPDATE subscription SET edition_id = (SELECT max(id) FROM edition) WHERE id = 2",
        "UPDATE subscription SET subscriber_id = 1, edition_id = 3 WHERE id = 2",
        "UPDATE subscriber SET address_hash = 'another' WHERE id = 2",
    ],
)
def test_an_edited_consent_shows(sealed: Database, edit: str, clock: HandedClock) -> None:
    if sealed.is_sqlite:
        edit = edit.replace("+00:00'", ".000000'")
    meddle(sealed, edit)
    seal(sealed, clock)  # going on does not cover it up
    assert (verify(sealed).broken or "").startswith("consent 3 (link 3)")


def test_two_consents_that_change_places_show(sealed: Database) -> None:
    meddle(
        sealed,
        "UPDATE consent SET id = 99 WHERE id = 2",
        "UPDATE consent SET id = 2 WHERE id = 4",
        "UPDATE consent SET id = 4 WHERE id = 99",
    )
    assert verify(sealed).broken == "consent 2 (link 2) is not what was sealed"


def test_a_deleted_consent_shows(sealed: Database) -> None:
    meddle(sealed, "DELETE FROM consent WHERE id = 5")
    assert verify(sealed).broken == "consent 5 (link 5) was deleted behind the chain's back"


def test_a_consent_that_is_added_as_if_it_had_been_sealed_shows(sealed: Database) -> None:
    columns = ", ".join(column.name for column in Consent.__table__.columns if column.name != "id")  # type: ignore[attr-defined]
    meddle(sealed, f"INSERT INTO consent (id, {columns}) SELECT 77, {columns} FROM consent WHERE id = 1")
    assert verify(sealed).broken == "consent 77 claims to be sealed, and no link is its own"


def test_a_backdated_consent_is_sealed_at_the_time_that_it_is(sealed: Database, clock: HandedClock) -> None:
    clock.pass_(days=100)
    with sealed.write() as session:
        early = clock() - timedelta(days=90)
        values: Any = {"event": ConsentEvent.CONFIRMED, "wording": "", "language": "en", "source": "", "network": ""}
        session.add(Consent(subscription_id=1, at=early, **values))
    seal(sealed, clock)
    with sealed.read() as session:
        row = session.connection().execute(sa.text("SELECT at FROM seal ORDER BY number DESC")).first()
    assert row is not None
    assert str(row[0])[:10] == str(clock())[:10]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("DELETE FROM seal WHERE number = 2", "link 2 is missing"),
        ("UPDATE seal SET consent_id = 40 WHERE number = 2", "link 2, of consent 40, is not the one that was sealed"),
        ("UPDATE seal SET why = 'erased' WHERE number = 4", "link 4, of consent 4, is not the one that was sealed"),
        ("UPDATE seal SET number = 9 WHERE number = 3", "link 3 is missing"),
    ],
)
def test_a_link_that_is_touched_shows(sealed: Database, edit: str, said: str) -> None:
    meddle(sealed, edit)
    assert verify(sealed).broken == said


def test_a_chain_that_was_written_anew_does_not_fit_an_anchor(sealed: Database, clock: HandedClock) -> None:
    anchor = verify(sealed).head
    assert anchor is not None
    meddle(
        sealed,
        "DELETE FROM seal",
        "UPDATE consent SET wording = 'Anything.', salt = NULL, subject = NULL, network_salt = NULL,"
        " network_digest = NULL",
    )
    seal(sealed, clock)
    assert verify(sealed).broken is None  # by itself it cannot tell
    assert "the chain was rewritten" in (verify(sealed, expected=anchor).broken or "")


def test_an_end_that_was_cut_off_shows_by_an_anchor(sealed: Database) -> None:
    anchor = verify(sealed).head
    assert anchor is not None
    meddle(sealed, "DELETE FROM consent WHERE id = 6", "DELETE FROM seal WHERE number = 6")
    assert verify(sealed).broken is None
    assert "its end was cut off" in (verify(sealed, expected=anchor).broken or "")


def test_an_anchor_goes_on_to_stand_while_the_chain_grows(sealed: Database, agree: Agree, clock: HandedClock) -> None:
    anchor = verify(sealed).head
    assert anchor is not None
    agree("gleb@example.org")
    seal(sealed, clock)
    assert verify(sealed, expected=anchor).broken is None
    later = verify(sealed, since=anchor)
    assert (later.broken, later.links) == (None, 3)  # the anchor's own, and two
    assert Anchor.parse(f" {anchor}\n") == anchor


@pytest.mark.parametrize("text", ["", "7", "x:00", "7:00", "0:" + "00" * 32, "7:" + "zz" * 32])
def test_what_is_no_anchor_is_said_to_be_none(text: str) -> None:
    with pytest.raises(AnchorError, match="NUMBER:HASH"):
        Anchor.parse(text)


def test_a_reader_who_is_removed_for_a_reason_breaks_nothing(sealed: Database, clock: HandedClock) -> None:
    head = verify(sealed).head
    assert head is not None
    with sealed.write() as session:
        boris = session.exec(select(Subscriber).where(Subscriber.address == "boris@example.org")).one()
        chain.remove(session, select(Subscription.id).where(Subscription.subscriber_id == boris.id), "erased", clock())
        session.delete(boris)
    assert verify(sealed).broken is None  # before the chain says it
    assert seal(sealed, clock) == 2
    found = verify(sealed, expected=head)
    assert (found.broken, found.consents, found.removed) == (None, 4, {"erased": 2})


def test_what_goes_before_it_was_sealed_leaves_no_link(database: Database, agree: Agree, clock: HandedClock) -> None:
    agree("anna@example.org")
    with database.write() as session:
        chain.remove(session, [1], "erased", clock())
        session.delete(session.exec(select(Subscriber)).one())
    assert seal(database, clock) == 0
    with database.read() as session:
        assert not chain.waits(session)
    assert verify(database) == Verdict()


def test_what_stays_of_a_removed_consent_cannot_be_guessed(sealed: Database, clock: HandedClock) -> None:
    """Who knows all of it but the salt has nothing to compare with."""
    with sealed.read() as session:
        row = session.exec(select(Consent).where(Consent.id == 1)).one().model_dump()
        row["edition_id"] = session.get_one(Subscription, row["subscription_id"]).edition_id
        kept = session.connection().execute(sa.text("SELECT digest FROM seal WHERE number = 1")).scalar_one()
    assert chain.digest(row, row["salt"]) == kept
    assert chain.digest(row, b"") != kept


@pytest.mark.postgresql
def test_of_two_that_seal_at_once_one_does(database: Database, agree: Agree, clock: HandedClock) -> None:
    agree("anna@example.org")
    with database.write() as first:
        assert chain.seal(first, clock()) == 2
        with database.write() as second:
            assert chain.seal(second, clock()) == 0
    assert verify(database).consents == 2


@pytest.mark.postgresql
def test_sealing_waits_for_nobody(database: Database, agree: Agree, clock: HandedClock) -> None:
    agree("anna@example.org")
    with database.write() as holder:
        holder.exec(select(Consent).where(Consent.id == 1).with_for_update()).one()
        assert seal(database, clock) == 1
    assert seal(database, clock) == 1
    assert verify(database).consents == 2


_words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
_consents = st.fixed_dictionaries(
    {
        "id": st.integers(1, 5),
        "subscription_id": st.integers(1, 5),
        "edition_id": st.integers(1, 5),
        "subject": _words,
        "event": st.sampled_from(ConsentEvent),
        "at": st.datetimes(timezones=st.just(UTC)),
        "wording": _words,
        "language": _words,
        "source": _words,
        "network_digest": st.none() | st.binary(max_size=3),
        "request_id": st.none() | st.integers(1, 5),
    }
)


@given(_consents, _consents)
def test_different_consents_are_different_octets(one: dict[str, object], other: dict[str, object]) -> None:
    assert (chain.content(one) == chain.content(other)) == (one == other)


@given(_consents)
def test_a_consent_is_the_same_octets_in_every_time_zone(one: dict[str, object]) -> None:
    at = one["at"]
    assert isinstance(at, datetime)
    assert chain.content(one) == chain.content({**one, "at": at.astimezone()})


def test_consents_are_sealed_in_their_order(sealed: Database) -> None:
    with sealed.read() as session:
        ids = session.exec(select(Consent.id).order_by(col(Consent.id))).all()
        assert (
            list(session.connection().execute(sa.text("SELECT consent_id FROM seal ORDER BY number")).scalars()) == ids
        )
