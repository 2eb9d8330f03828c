"""An erased reader is found nowhere, and is not written to again unless they ask."""

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col, select

from mailer import erasure, retention
from mailer.app import App
from mailer.database import Database
from mailer.delivery import ledger, log
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.inbound import quarantine
from mailer.inbound.effects import Effects
from mailer.inbound.letter import Letter
from mailer.issues.states import IssueStatus
from mailer.subscribers import address, chain, moving, suppression
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Arrival,
    Attempt,
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Edition,
    Forward,
    Issue,
    Publication,
    Quarantine,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
    UncertainPolicy,
    metadata,
)
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.subscribers.test_optin import Desk, desk  # noqa: F401  (a fixture)

ANNA = "anna.unmistakable@example.org"
EDITORS = "editors@bounces.example.org"


def erase(app: App, of: str = ANNA) -> bool:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber).where(Subscriber.address == of)).one()
        assert reader.id is not None
        done = erasure.erase(session, reader.id, by="olga", now=app.clock())
    quarantine.discard_mail(app.database, [of])
    with app.database.write() as session:
        chain.seal(session, app.clock())
    return done


@pytest.fixture
def known(app: App, desk: Desk, going_out: Callable[[], int], clock: HandedClock) -> App:  # noqa: F811
    """anna, who stands wherever an address can stand; and boris, who must not suffer by it."""
    for who in (ANNA, "boris@example.org"):
        owed = desk.ask(who)
        assert owed is not None
        desk.confirm(owed)
    with app.database.write() as session:
        chain.seal(session, clock())
    clock.pass_(days=1)
    going_out()
    with app.database.write() as session:
        issue = session.exec(select(Issue)).one()
        issue.status = IssueStatus.SENT
        for each in session.exec(select(Delivery).where(Delivery.kind == DeliveryKind.ISSUE)).all():
            each.status, each.due_at, each.attempts = DeliveryStatus.ACCEPTED, None, 1
            reader = session.exec(
                select(Subscriber).join(Subscription).where(Subscription.id == each.subscription_id)
            ).one()
            attempt: Any = {"worker_id": 1, "relay": "relay", "started_at": clock(), "finished_at": clock()}
            reply = f"250 OK <{reader.address}>"
            assert each.id is not None
            session.add(Attempt(delivery_id=each.id, number=1, outcome=AttemptOutcome.ACCEPTED, reply=reply, **attempt))
        test = session.exec(select(Delivery)).first()
        assert test is not None
        session.add(
            Delivery(
                kind=DeliveryKind.TEST,
                edition_id=test.edition_id,
                recipient=ANNA,
                destination="example.org",
                status=DeliveryStatus.QUEUED,
                due_at=clock(),
                queued_at=clock(),
                changed_at=clock(),
            )
        )
        delivery_id = session.exec(
            select(Delivery.id)
            .join(Subscription)
            .join(Subscriber)
            .where(Delivery.kind == DeliveryKind.ISSUE, Subscriber.address == ANNA)
        ).one()
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=clock)
    for octets, to in (
        (_report(), f"bounce+{app.tokens.make(Purpose.RETURN_PATH, delivery_id or 0)}"),
        (f"From: Anna <{ANNA.upper()}>\r\nSubject: Hello\r\n\r\nPlease call me.\r\n".encode(), "editors"),
    ):
        recipient = f"{to}@{app.settings.mail_domain}"
        effects.take(Letter(octets=octets, road="receiver", recipient=recipient, sender=ANNA))
    return app


def _report(of: str = ANNA) -> bytes:
    """A full mailbox, in words that name it."""
    host = f"mx.{of.partition('@')[2]}"
    return (
        f"From: MAILER-DAEMON@{host}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nNot delivered.\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {host}\r\n\r\n"
        f"Final-Recipient: rfc822; {of}\r\nAction: failed\r\nStatus: 5.2.2\r\n"
        f"Diagnostic-Code: smtp; 552 5.2.2 <{of}> mailbox full\r\n\r\n--b--\r\n"
    ).encode()


def dump(database: Database) -> bytes:
    """Everything that a thief of the database would have: on SQLite the octets of its files."""
    if database.is_sqlite:
        path = database.sqlite_path
        assert path is not None
        files = (path, path.with_name(f"{path.name}-wal"))
        return b"".join(each.read_bytes() for each in files if each.exists())
    with database.engine.connect() as connection:
        rows = [row for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return "\n".join(map(repr, rows)).encode()


def test_the_address_is_found_nowhere(known: App) -> None:
    assert ANNA.encode() in dump(known.database).lower()
    assert erase(known)
    left = dump(known.database).lower()
    assert ANNA.encode() not in left
    assert b"unmistakable" not in left
    assert b"boris@example.org" in left


@pytest.mark.sqlite
def test_what_was_erased_is_not_in_a_compacted_file_either(known: App) -> None:
    assert erase(known)
    path = known.database.sqlite_path
    assert path is not None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("VACUUM")
    assert b"unmistakable" not in dump(known.database).lower()


def test_what_is_not_about_the_person_stays(known: App) -> None:
    with known.database.read() as session:
        before = session.exec(select(sa.func.count()).select_from(Delivery)).one()
    erase(known)
    with known.database.read() as session:
        assert session.exec(select(sa.func.count()).select_from(Delivery)).one() == before
        attempts = session.exec(select(Attempt).order_by(col(Attempt.id))).all()
        assert sorted(each.reply or "" for each in attempts) == ["", "250 OK <boris@example.org>"]
        assert {each.outcome for each in attempts} == {AttemptOutcome.ACCEPTED}
        (report, _) = session.exec(select(Arrival).order_by(col(Arrival.id))).all()
        assert (report.status, report.diagnostic) == ("5.2.2", None)
        assert session.exec(select(Quarantine)).all() == []


def test_the_chain_still_holds_and_says_that_somebody_was_erased(known: App) -> None:
    with known.database.read() as session:
        head = chain.verify(session).head
    erase(known)
    with known.database.read() as session:
        found = chain.verify(session, expected=head)
    assert (found.broken, found.consents, found.removed) == (None, 2, {"erased": 2})


def test_what_waited_for_the_reader_is_withdrawn(known: App, clock: HandedClock) -> None:
    erase(known)
    with known.database.read() as session:
        waiting = session.exec(select(Delivery).where(col(Delivery.due_at).is_not(None))).all()
        readers = {
            session.get_one(Subscription, each.subscription_id).subscriber_id
            for each in waiting
            if each.subscription_id
        }
        boris = session.exec(select(Subscriber)).one()
        assert readers == {boris.id}
        assert ledger.has_due(session, clock())


def test_a_domain_that_names_its_owner_goes_from_what_has_ended(app: App, desk: Desk) -> None:  # noqa: F811
    owed = desk.ask("anna@anna-unmistakable.example")
    assert owed is not None
    desk.confirm(owed)
    assert b"unmistakable" in dump(app.database)
    erase(app, "anna@anna-unmistakable.example")
    assert b"unmistakable" not in dump(app.database)
    with app.database.read() as session:
        assert {each.address for each in log.entries(session, log.LogFilter())} == {None}


OWNER = "anna@anna-unmistakable.example"
_WORDS = f"<{OWNER}> says mx.anna-unmistakable.example"


def _on_the_wire(app: App, worker_id: int) -> list[Claim]:
    """The confirmation mail of a reader whose domain names her, claimed."""
    with app.database.write() as session:
        return ledger.claim(session, worker_id=worker_id, relay="relay", limit=9, now=app.clock())


def _answer(app: App, claims: list[Claim], consequence: Consequence) -> None:
    reply = Reply(Stage.DOT, 450 if consequence is Consequence.DEFER else 250, _WORDS)
    with app.database.write() as session:
        ledger.record(session, [Answer(each, reply, Action(consequence), "relay", app.clock()) for each in claims])


_ENDS = {
    Consequence.ACCEPT: DeliveryStatus.ACCEPTED,
    Consequence.REFUSE: DeliveryStatus.REFUSED,
    Consequence.DEFER: DeliveryStatus.WITHDRAWN,
    Consequence.RETURN: DeliveryStatus.WITHDRAWN,
    Consequence.LOSE_TRACK: DeliveryStatus.WITHDRAWN,
}


@pytest.mark.parametrize("consequence", Consequence)
@pytest.mark.parametrize("kind", [DeliveryKind.CONFIRMATION, DeliveryKind.TEST])
def test_an_answer_to_a_mail_that_was_on_the_wire_leaves_nothing(
    app: App,
    desk: Desk,  # noqa: F811
    publication: Publication,
    worker_id: int,
    consequence: Consequence,
    kind: DeliveryKind,
) -> None:
    if kind is DeliveryKind.TEST:
        _test_mail(app, OWNER)
    else:
        desk.ask(OWNER)
    claims = _on_the_wire(app, worker_id)
    _erase_listed_or_reader(app, OWNER)
    _answer(app, claims, consequence)
    assert b"unmistakable" not in dump(app.database).lower()
    with app.database.read() as session:
        (mail,) = session.exec(select(Delivery)).all()
    assert (mail.status, mail.due_at) == (_ENDS[consequence], None)


@pytest.mark.parametrize("policy", UncertainPolicy)
def test_what_is_not_known_at_the_erasure_keeps_no_domain_and_is_not_sent_again(
    app: App,
    desk: Desk,  # noqa: F811
    publication: Publication,
    worker_id: int,
    policy: UncertainPolicy,
) -> None:
    with app.database.write() as session:
        session.get_one(Publication, publication.id).uncertain_policy = policy
    desk.ask(OWNER)
    claims = _on_the_wire(app, worker_id)
    if policy is UncertainPolicy.HOLD:
        _answer(app, claims, Consequence.LOSE_TRACK)
        _erase_listed_or_reader(app, OWNER)
    else:
        _erase_listed_or_reader(app, OWNER)
        with app.database.write() as session:
            ledger.orphan(session, [worker_id], app.clock(), reason="the worker died")
    assert b"unmistakable" not in dump(app.database).lower()
    with app.database.write() as session:
        ledger.resend(
            session, [each.delivery_id for each in claims if policy is UncertainPolicy.HOLD], app.clock(), app.clock()
        )
    assert _on_the_wire(app, worker_id) == []
    with app.database.read() as session:
        assert session.exec(select(Delivery.status)).all() == [DeliveryStatus.WITHDRAWN]


@pytest.mark.parametrize("kind", [DeliveryKind.CONFIRMATION, DeliveryKind.TEST])
@pytest.mark.parametrize("late", [False, True])
def test_a_report_about_a_mail_to_an_erased_reader_leaves_no_words(
    app: App,
    desk: Desk,  # noqa: F811
    publication: Publication,
    worker_id: int,
    kind: DeliveryKind,
    late: bool,
) -> None:
    if kind is DeliveryKind.TEST:
        _test_mail(app, OWNER)
    else:
        owed = desk.ask(OWNER)
        assert owed is not None
        desk.confirm(owed)
    claims = _on_the_wire(app, worker_id)
    _answer(app, claims, Consequence.ACCEPT)
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)
    to = f"bounce+{app.tokens.make(Purpose.RETURN_PATH, claims[0].delivery_id)}@{app.settings.mail_domain}"
    report = Letter(octets=_report(OWNER), road="receiver", recipient=to, sender="")
    if late:
        _erase_listed_or_reader(app, OWNER)
        effects.take(report)
    else:
        effects.take(report)
        assert b"unmistakable" in dump(app.database).lower()
        _erase_listed_or_reader(app, OWNER)
    assert b"unmistakable" not in dump(app.database).lower()
    with app.database.read() as session:
        (arrival,) = session.exec(select(Arrival)).all()
    assert (arrival.status, arrival.diagnostic, arrival.reporter) == ("5.2.2", None, None)


@pytest.mark.parametrize("typed", ["Ольга@пример.example", "ОЛЬГА@пример.example", "ольга@пример.example"])
def test_test_mail_is_forgotten_in_whatever_case_its_address_was_typed(
    app: App, publication: Publication, typed: str
) -> None:
    _test_mail(app, typed)
    _test_mail(app, "boris@example.org")
    _erase_listed_or_reader(app, "Ольга@пример.example")
    with app.database.read() as session:
        assert set(session.exec(select(Delivery.recipient))) == {None, "boris@example.org"}


def _test_mail(app: App, to: str) -> None:
    now = app.clock()
    with app.database.write() as session:
        edition_id = session.exec(select(Edition.id)).first()
        assert edition_id is not None
        session.add(
            Delivery(
                kind=DeliveryKind.TEST,
                edition_id=edition_id,
                recipient=to,
                destination=address.parse(to).domain,
                status=DeliveryStatus.QUEUED,
                due_at=now,
                queued_at=now,
                changed_at=now,
            )
        )


def _erase_listed_or_reader(app: App, of: str) -> None:
    parsed = address.parse(of)
    with app.database.write() as session:
        for reader in session.exec(select(Subscriber.id).where(Subscriber.address == of)).all():
            assert reader is not None
            erasure.erase(session, reader, by="olga", now=app.clock())
        erasure.erase_listed(session, parsed, hash_of(app, of), now=app.clock())
    quarantine.discard_mail(app.database, [of])


def test_the_opt_out_stays_as_a_hash(known: App) -> None:
    erase(known)
    hashed = hash_of(known)
    with known.database.read() as session:
        (entry,) = session.exec(select(Suppression)).all()
        assert entry.model_dump(include={"address", "reason", "added_by", "note"}) == {
            "address": None,
            "reason": SuppressionReason.ERASED,
            "added_by": "olga",
            "note": "",
        }
        assert suppression.is_suppressed(session, hashed, 1)
        assert not suppression.is_suppressed(session, hashed, 1, for_good=True)


def test_who_was_suppressed_for_another_reason_stays_so_without_an_address(known: App, clock: HandedClock) -> None:
    with known.database.write() as session:
        reader = session.exec(select(Subscriber).where(Subscriber.address == ANNA)).one()
        suppression.suppress(session, reader, SuppressionReason.COMPLAINT, note=f"by {ANNA}", by="mailer", now=clock())
    erase(known)
    with known.database.read() as session:
        (entry,) = session.exec(select(Suppression)).all()
    assert (entry.reason, entry.address, entry.note) == (SuppressionReason.COMPLAINT, None, "")


def test_erasing_again_finds_nobody(known: App, clock: HandedClock) -> None:
    with known.database.write() as session:
        reader = session.exec(select(Subscriber).where(Subscriber.address == ANNA)).one()
        assert reader.id is not None
        assert erasure.erase(session, reader.id, by="olga", now=clock())
        assert not erasure.erase(session, reader.id, by="olga", now=clock())


def test_an_erased_reader_may_come_back_by_asking_and_confirming(
    known: App,
    desk: Desk,  # noqa: F811
    clock: HandedClock,
    worker_id: int,
) -> None:
    erase(known)
    clock.pass_(days=1)
    owed = desk.ask(ANNA)
    assert owed is not None
    assert owed.kind is DeliveryKind.CONFIRMATION
    with known.database.write() as session:
        claims = ledger.claim(session, worker_id=worker_id, relay="relay", limit=10, now=clock())
    assert [each.address for each in claims if each.kind is DeliveryKind.CONFIRMATION] == [ANNA]
    desk.confirm(owed)
    hashed = hash_of(known)
    with known.database.read() as session:
        assert not suppression.is_suppressed(session, hashed, 1)
        statuses = session.exec(select(Subscription.status).join(Subscriber).where(Subscriber.address == ANNA)).all()
    assert statuses == [SubscriptionStatus.CONFIRMED]


def test_who_does_not_confirm_stays_erased(known: App, desk: Desk, clock: HandedClock) -> None:  # noqa: F811
    erase(known)
    clock.pass_(days=1)
    owed = desk.ask(ANNA)
    assert owed is not None
    with known.database.read() as session:
        assert suppression.is_suppressed(session, hash_of(known), 1)


NEW = "renamed.unmistakable@example.net"


def moves(app: App, to: str = NEW, of: str = ANNA) -> None:
    """The reader of one address goes on at another, which confirms."""
    parsed, key = address.parse(to), app.settings.address_key.get_secret_value()
    with app.database.write() as session:
        old = session.exec(
            select(Subscription.id)
            .join(Subscriber)
            .where(Subscriber.address == of, Subscription.status == SubscriptionStatus.CONFIRMED)
        ).first()
        assert old is not None
        asked = moving.ask(
            session,
            old,
            parsed,
            address.hash(parsed, key),
            wording="We send a link.",
            network="",
            window=timedelta(0),
            now=app.clock(),
        )
        assert asked.owed is not None
        assert asked.owed.consent_id is not None
        done = moving.confirm(
            session, asked.owed.consent_id, wording="Yes.", language="en", network="", now=app.clock()
        )
        assert done.outcome is moving.Move.DONE


def hash_of(app: App, text: str = ANNA) -> str:
    return address.hash(address.parse(text), app.settings.address_key.get_secret_value())


def readers(app: App) -> list[str]:
    with app.database.read() as session:
        return sorted(session.exec(select(Subscriber.address)))


def erase_person(app: App, of: str) -> list[str]:
    with app.database.write() as session:
        reader = session.exec(select(Subscriber.id).where(Subscriber.address == of)).one()
        assert reader is not None
        erased = erasure.erase_person(session, reader, by="olga", now=app.clock())
    quarantine.discard_mail(app.database, erased)
    return erased


@pytest.mark.parametrize("written", ["anna@пример.example", "Anna@XN--E1AFMKFD.example"])
def test_a_letter_goes_in_whatever_spelling_of_its_domain_it_names_the_reader(
    app: App,
    publication: Publication,
    desk: Desk,  # noqa: F811
    clock: HandedClock,
    written: str,
) -> None:
    owed = desk.ask("anna@пример.example")
    assert owed is not None
    desk.confirm(owed)
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=clock)
    letters = (f"From: {written}\nSubject: Hello\n\nCall me.", f"Subject: Hello\n\nCall me at {written}, please.")
    for each in (*letters, "From: boris@example.org\nSubject: Hello\n\nMe too."):
        effects.take(Letter(octets=each.encode(), road="receiver", recipient=EDITORS, sender="x@example.com"))
    assert erase(app, "anna@пример.example")
    with app.database.read() as session:
        assert session.exec(select(Quarantine.arrival_id)).all() == [3]
        assert session.exec(select(Forward.arrival_id)).all() == [3]


@pytest.mark.parametrize("written", ["ольга@пример.example", "Ольга@ПРИМЕР.example", "ОЛЬГА@xn--e1afmkfd.EXAMPLE"])
def test_a_letter_goes_in_whatever_case_of_whatever_script_it_names_the_reader(
    app: App,
    publication: Publication,
    desk: Desk,  # noqa: F811
    clock: HandedClock,
    written: str,
) -> None:
    owed = desk.ask("Ольга@пример.example")
    assert owed is not None
    desk.confirm(owed)
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=clock)
    broken = b"\xff\xfe From nobody \xd0"
    letters = (f"From: x@example.com\nSubject: {written}\n\nCall.", f"Subject: Hello\n\nCall me at {written}, please.")
    for each in (*letters, "From: boris@example.org\nSubject: Hello\n\nMe too."):
        octets = each.encode() + broken
        effects.take(Letter(octets=octets, road="receiver", recipient=EDITORS, sender="x@example.com"))
    with app.database.write() as session:
        for number in (1, 2, 3):
            forward = session.exec(select(Forward).where(Forward.arrival_id == number)).one()
            forward.text = written if number < 3 else "boris"
        session.execute(sa.delete(Quarantine).where(col(Quarantine.arrival_id) == 1))
    assert erase(app, "Ольга@пример.example")
    with app.database.read() as session:
        assert session.exec(select(Quarantine.arrival_id)).all() == [3]
        assert session.exec(select(Forward.arrival_id)).all() == [3]


THIRD = "third.unmistakable@example.com"


def test_a_reader_who_moved_is_found_at_none_of_the_addresses(known: App, clock: HandedClock) -> None:
    moves(known)
    clock.pass_(days=1)
    moves(known, THIRD, of=NEW)
    assert dump(known.database).lower().count(b"unmistakable") > 3
    clock.pass_(days=30)
    assert sorted(erase_person(known, THIRD)) == sorted([ANNA, NEW, THIRD])
    assert b"unmistakable" not in dump(known.database).lower()
    assert readers(known) == ["boris@example.org"]
    with known.database.read() as session:
        assert len(session.exec(select(Suppression)).all()) == 3


@pytest.mark.parametrize("of", [ANNA, NEW])
def test_who_reads_is_not_erased_from_an_address_that_they_left(known: App, clock: HandedClock, of: str) -> None:
    """An old mailbox may be in the hands of somebody else."""
    moves(known)
    clock.pass_(days=1)
    moves(known, THIRD, of=NEW)
    clock.pass_(days=30)
    assert sorted(erase_person(known, of)) == [ANNA, NEW]
    assert readers(known) == ["boris@example.org", THIRD]


def test_who_was_moved_by_a_stranger_cannot_be_erased_by_the_stranger(known: App, clock: HandedClock) -> None:
    """Whoever holds a forwarded letter can move a reader."""
    moves(known)
    clock.pass_(days=29)
    assert erase_person(known, NEW) == [NEW]
    assert readers(known) == [ANNA, "boris@example.org"]
    with known.database.write() as session:
        left = session.exec(select(Consent.id).where(Consent.event == ConsentEvent.LEFT)).one()
        assert left is not None
        back = moving.take_back(session, left, wording="Take it back.", network="", now=clock())
    assert back.outcome is moving.Move.DONE
    clock.pass_(days=2)
    retention.run(known.database, known.settings, clock(), lambda _seconds: False)
    assert readers(known) == [ANNA, "boris@example.org"]


@pytest.fixture
def both(known: App, desk: Desk, clock: HandedClock) -> Desk:  # noqa: F811
    """anna, who read two editions when a stranger moved her."""
    owed = desk.ask(ANNA, edition="en")
    assert owed is not None
    desk.confirm(owed)
    moves(known)
    return desk


def retain(app: App) -> None:
    retention.run(app.database, app.settings, app.clock(), lambda _seconds: False)


@pytest.mark.parametrize("confirms", [True, False])
def test_who_was_moved_and_subscribed_again_to_one_edition_stays(
    known: App, both: Desk, clock: HandedClock, confirms: bool
) -> None:
    clock.pass_(days=29)
    owed = both.ask(ANNA)
    assert owed is not None
    if confirms:
        both.confirm(owed)
    clock.pass_(days=2)
    assert erase_person(known, NEW) == [NEW]
    retain(known)
    assert readers(known) == [ANNA, "boris@example.org"]
    if not confirms:
        assert both.confirm(owed).owed is not None


def test_who_was_moved_and_subscribed_to_another_publication_stays(
    known: App, publication: Publication, clock: HandedClock
) -> None:
    more = in_another_publication(known, publication, clock)
    moves(known)
    clock.pass_(days=1)
    owed = more.ask(ANNA, edition="other")
    assert owed is not None
    more.confirm(owed)
    clock.pass_(days=30)
    assert erase_person(known, NEW) == [NEW]
    retain(known)
    assert readers(known) == [ANNA, "boris@example.org"]


def test_who_may_still_take_leaving_back_stays(known: App, both: Desk, clock: HandedClock) -> None:
    clock.pass_(days=20)
    owed = both.ask(ANNA)
    assert owed is not None
    both.confirm(owed)
    both.leave(owed)
    clock.pass_(days=11)
    assert erase_person(known, NEW) == [NEW]
    assert readers(known) == [ANNA, "boris@example.org"]


def test_what_lies_behind_a_living_address_stays_with_it(known: App, desk: Desk, clock: HandedClock) -> None:  # noqa: F811
    """anna went on to a new address and reads there; a stranger moved one of her editions from it."""
    moves(known)
    clock.pass_(days=31)
    owed = desk.ask(NEW, edition="en")
    assert owed is not None
    desk.confirm(owed)
    moves(known, THIRD, of=NEW)
    clock.pass_(days=1)
    owed = desk.ask(NEW)
    assert owed is not None
    desk.confirm(owed)
    clock.pass_(days=31)
    assert erase_person(known, THIRD) == [THIRD]
    assert readers(known) == [ANNA, "boris@example.org", NEW]


def test_where_nobody_reads_any_more_both_go(known: App, both: Desk, clock: HandedClock) -> None:
    clock.pass_(days=30)
    assert sorted(erase_person(known, NEW)) == [ANNA, NEW]
    assert readers(known) == ["boris@example.org"]


def test_a_former_address_goes_by_itself_once_it_cannot_take_the_change_back(known: App, clock: HandedClock) -> None:
    moves(known)
    clock.pass_(days=1)
    erase_person(known, NEW)
    clock.pass_(days=28)
    assert retention.run(known.database, known.settings, clock(), lambda _seconds: False)["left-behind"] == 0
    clock.pass_(days=2)
    assert retention.run(known.database, known.settings, clock(), lambda _seconds: False)["left-behind"] == 1
    assert readers(known) == ["boris@example.org"]


def test_a_former_address_stays_while_its_reader_reads_elsewhere(known: App, clock: HandedClock) -> None:
    moves(known)
    clock.pass_(days=400)
    retain(known)
    assert readers(known) == [ANNA, "boris@example.org", NEW]
    assert sorted(erase_person(known, NEW)) == [ANNA, NEW]


def test_everything_of_an_address_goes_in_every_publication(
    known: App, publication: Publication, clock: HandedClock
) -> None:
    more = in_another_publication(known, publication, clock)
    moves(known)
    owed = more.ask(NEW, edition="other")
    if owed is None:
        clock.pass_(days=1)
        owed = more.ask(NEW, edition="other")
    assert owed is not None
    more.confirm(owed)
    clock.pass_(days=31)
    assert sorted(erase_person(known, NEW)) == [ANNA, NEW]
    assert b"unmistakable" not in dump(known.database).lower()


def in_another_publication(app: App, publication: Publication, clock: HandedClock) -> Desk:
    with app.database.write() as session:
        other = Publication(**publication.model_dump(exclude={"id", "slug"}), slug="other")
        session.add(other)
        session.flush()
        assert other.id is not None
        session.add(Edition(publication_id=other.id, code="other", label="Other", languages=["en"], position=0))
    with app.database.read() as session:
        return Desk(app.database, clock, list(session.exec(select(Edition))))
