"""What people write reaches the editors: whole, once, and never in a circle."""

from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from mailer.delivery.composer import Composer
from mailer.delivery.ledger import claim
from mailer.delivery.session import Envelope
from mailer.delivery.states import DeliveryStatus
from mailer.inbound import forwarding, quarantine
from mailer.inbound.incoming import Effect
from mailer.inbound.letter import Letter
from mailer.rendering.decoded import parse as parse_mail
from mailer.rendering.message import Enclosed, Head, Slot, compose_enclosing, marker
from mailer.tables import Delivery, DeliveryKind, Edition, Publication
from mailer.tokens import Purpose
from tests.conftest import HandedClock
from tests.inbound.conftest import DOMAIN, Inbound
from tests.inbound.letters import READER, complaint, failed, letter, report

EDITORS = f"belarus@{DOMAIN}"

pytestmark = pytest.mark.usefixtures("publication")


def written(text: str = "Dear editors!", *, sender: str = f"Reader <{READER}>", **fields: str) -> bytes:
    return letter(text, sender=sender, **({"subject": "A question"} | fields))


def forwards(inbound: Inbound) -> list[Delivery]:
    with inbound.app.database.read() as session:
        wanted = select(Delivery).where(Delivery.kind == DeliveryKind.FORWARD).order_by(col(Delivery.id))
        return list(session.exec(wanted))


def leaving(inbound: Inbound, worker_id: int) -> list[tuple[str, bytes]]:
    """What is due, as it goes onto the wire: to whom, and the octets."""
    app, composer = inbound.app, Composer(inbound.app.settings, inbound.app.tokens)
    with app.database.write() as session:
        ready = composer.load(session, claim(session, worker_id=worker_id, relay="r", limit=50, now=app.clock()))
    mails = []
    for _, envelope in composer.envelopes(ready):
        assert isinstance(envelope, Envelope), envelope
        mails.append((envelope.recipient, b"".join(envelope.content)))
    return mails


def attached(octets: bytes) -> bytes:
    """The file in a mail."""
    (part,) = parse_mail(octets).iter_attachments()
    assert isinstance(part, EmailMessage)
    content = part.get_content()
    assert isinstance(content, bytes)
    return content


def test_mail_from_a_person_goes_to_the_editors_as_it_came(inbound: Inbound, worker_id: int) -> None:
    octets = written("Дарагая рэдакцыя!\n.\nFrom here\t \n\0\r\n" + "x" * 2000, subject="=?utf-8?b?0J/RgNC40LLQtdGC?=")
    taken = inbound.take(octets, EDITORS, READER)
    assert (taken.effect, taken.queued, taken.waits) == (Effect.QUARANTINED, True, True)
    ((recipient, mail),) = leaving(inbound, worker_id)
    assert recipient == "editors@example.org"
    assert attached(mail) == octets
    read = parse_mail(mail)
    assert [str(read[name]) for name in ("From", "Reply-To", "To", "Subject", "Auto-Submitted")] == [
        "Situation in Belarus <editors@example.org>",
        READER,
        "editors@example.org",
        "Fwd: Привет",
        "auto-generated",
    ]
    assert not [name for name in read if name.lower().startswith("list-")]
    body = read.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "Дарагая рэдакцыя!" in text
    assert f"Somebody wrote to {EDITORS}." in text
    assert f"From: Reader <{READER}>" in text


def test_what_goes_onto_the_wire_needs_no_mending(inbound: Inbound, worker_id: int) -> None:
    inbound.take(written("\n.\n..\n" + "x" * 5000 + "\n трэба \xa0 \n"), EDITORS, READER)
    ((_, mail),) = leaving(inbound, worker_id)
    lines = mail.split(b"\r\n")
    assert all(len(line) <= 998 and not line.startswith(b".") and line.isascii() for line in lines)
    assert b"\n" not in b"".join(lines)


def test_the_same_mail_again_is_not_forwarded_again(inbound: Inbound, worker_id: int) -> None:
    for _ in range(3):
        inbound.take(written(), EDITORS, READER)
    assert len(leaving(inbound, worker_id)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"auto_submitted": "auto-generated"},
        {"precedence": "bulk"},
        {"list_id": "<list.far.example>"},
        {"subject": "Out of office"},
        {"sender": "noreply@far.example"},
        {"sender": "editors@example.org"},
        {"sender": "contact@example.org"},
        {"sender": f"Mailer <bounce+0@{DOMAIN}>"},
        {"return_path": "<>"},
        {"x_spam_flag": "YES"},
        {"x_spam_status": "Yes, score=9"},
    ],
)
def test_only_what_people_write_is_forwarded(inbound: Inbound, fields: dict[str, str]) -> None:
    with inbound.app.database.write() as session:
        session.exec(select(Publication)).one().contact_address = "contact@example.org"
    inbound.take(written(**fields), EDITORS, READER)
    assert forwards(inbound) == []


@pytest.mark.parametrize("octets", [report(failed("550 5.1.1 unknown")), complaint("Feedback-Type: abuse")])
def test_reports_are_not_forwarded(inbound: Inbound, octets: bytes) -> None:
    assert inbound.take(octets, EDITORS, READER).effect is Effect.QUARANTINED
    assert forwards(inbound) == []


def test_our_own_forward_that_comes_back_goes_nowhere(inbound: Inbound, worker_id: int) -> None:
    inbound.take(written(), EDITORS, READER)
    ((_, mail),) = leaving(inbound, worker_id)
    inbound.take(mail, EDITORS, READER)
    assert len(forwards(inbound)) == 1


def test_editors_who_are_written_to_through_us_are_left_alone(
    inbound: Inbound, caplog: pytest.LogCaptureFixture
) -> None:
    with inbound.app.database.write() as session:
        session.exec(select(Publication)).one().contact_address = EDITORS
    inbound.take(written(), EDITORS, READER)
    assert forwards(inbound) == []
    assert "the publication's contact address is one that we take mail for" in caplog.text


def test_so_many_are_forwarded_an_hour_and_the_rest_waits(
    inbound: Inbound, clock: HandedClock, caplog: pytest.LogCaptureFixture
) -> None:
    limited(inbound, 2)
    for number in range(4):
        assert inbound.take(written(f"{number}"), EDITORS, READER).effect is Effect.QUARANTINED
    assert len(forwards(inbound)) == 2
    assert caplog.text.count("stays in the quarantine: 2 mails were forwarded within the hour") == 2
    assert inbound.arrivals[-1].reason.endswith("; not forwarded: 2 mails were forwarded within the hour")
    clock.pass_(hours=1, seconds=1)
    inbound.take(written("later"), EDITORS, READER)
    assert len(forwards(inbound)) == 3


def limited(inbound: Inbound, per_hour: int) -> None:
    inbound.app = replace(inbound.app, settings=inbound.app.settings.model_copy(update={"forward_per_hour": per_hour}))


def test_forwarding_can_be_turned_off(inbound: Inbound) -> None:
    limited(inbound, 0)
    inbound.take(written(), EDITORS, READER)
    assert forwards(inbound) == []


def test_what_waits_to_leave_is_bounded(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "WAITING", 5_000)
    for number in range(3):
        inbound.take(written(f"{number}" * 2_000), EDITORS, READER)
    assert len(forwards(inbound)) == 2


def test_a_mail_that_is_too_large_is_announced(
    inbound: Inbound, worker_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "ATTACHED", 1_000)
    inbound.take(written("Dear editors! " + "x" * 2_000), EDITORS, READER)
    ((_, mail),) = leaving(inbound, worker_id)
    text = parse_mail(mail).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert list(parse_mail(mail).iter_attachments()) == []
    assert "Dear editors!" in text
    assert "mailer inbound show 1 --raw" in text


def test_a_mail_that_came_in_part_is_not_passed_off_as_whole(inbound: Inbound, worker_id: int) -> None:
    octets = written("x" * 2_000)
    whole = Letter(octets=octets, road="receiver", recipient=EDITORS, sender=READER, size=90_000_000, flaw="too large")
    inbound.effects.take(whole)
    ((_, mail),) = leaving(inbound, worker_id)
    assert list(parse_mail(mail).iter_attachments()) == []
    assert b"90000000" in mail


def test_what_was_discarded_is_not_forwarded_any_more(inbound: Inbound, worker_id: int) -> None:
    taken = inbound.take(written(), EDITORS, READER)
    assert taken.arrival_id is not None
    with inbound.app.database.write() as session:
        quarantine.discard(session, numbers=[taken.arrival_id])
    assert leaving(inbound, worker_id) == []
    assert [each.status for each in forwards(inbound)] == [DeliveryStatus.WITHDRAWN]


def test_editors_who_cannot_be_reached_cost_nobody_anything(inbound: Inbound, worker_id: int) -> None:
    inbound.take(written(), EDITORS, READER)
    leaving(inbound, worker_id)
    (forward,) = forwards(inbound)
    with inbound.app.database.write() as session:
        session.get_one(Delivery, forward.id).status = DeliveryStatus.ACCEPTED
    assert forward.id is not None
    gone = report(failed("550 5.1.1 unknown", address="editors@example.org", status="5.1.1"))
    assert inbound.take(gone, inbound.bounce_address(forward.id)).effect is Effect.BOUNCED
    assert inbound.suppressions == []


def test_a_mail_that_got_nowhere_can_go_again(inbound: Inbound, worker_id: int) -> None:
    taken = inbound.take(written(), EDITORS, READER)
    assert taken.arrival_id is not None
    for status, number in ((DeliveryStatus.ACCEPTED, 1), (DeliveryStatus.REFUSED, 2)):
        with inbound.app.database.write() as session:
            delivery = session.exec(select(Delivery)).one()
            delivery.status, delivery.due_at = status, None
        inbound.effects.retry(taken.arrival_id)
        assert len(forwards(inbound)) == number


# Which publication


@pytest.fixture
def second(inbound: Inbound, clock: HandedClock) -> int:
    """The id of the only edition of another publication."""
    with inbound.app.database.write() as session:
        other = session.exec(select(Publication)).one().model_dump(exclude={"id"})
        publication = Publication(**(other | {"slug": "poland", "contact_address": "poland@example.org"}))
        session.add(publication)
        session.flush()
        assert publication.id is not None
        edition = Edition(publication_id=publication.id, code="en", label="EN", languages=["en"], position=0)
        session.add(edition)
        session.flush()
        assert edition.id is not None
    return edition.id


@pytest.mark.parametrize(
    ("local", "editors"),
    [
        ("poland", "poland@example.org"),
        ("Poland+anything", "poland@example.org"),
        ("poland+subscribe-xx", "poland@example.org"),
        ("belarus", "editors@example.org"),
        ("postmaster", "editors@example.org"),
    ],
)
def test_the_address_says_whose_editors(inbound: Inbound, second: int, local: str, editors: str) -> None:
    inbound.take(written(), f"{local}@{DOMAIN}", READER)
    assert [each.recipient for each in forwards(inbound)] == [editors]


def test_the_token_says_whose_editors(inbound: Inbound, second: int, clock: HandedClock) -> None:
    with inbound.app.database.write() as session:
        delivery = Delivery(
            kind=DeliveryKind.TEST,
            edition_id=second,
            recipient=READER,
            destination="far.example",
            status=DeliveryStatus.ACCEPTED,
            due_at=None,
            queued_at=clock(),
            changed_at=clock(),
        )
        session.add(delivery)
    assert delivery.id is not None
    inbound.take(written(), inbound.bounce_address(delivery.id), READER)
    late = inbound.app.tokens.make(Purpose.RETURN_PATH, delivery.id, expires=clock() - timedelta(days=1))
    inbound.take(written("again"), f"bounce+{late}@{DOMAIN}", READER)
    assert [each.recipient for each in forwards(inbound)] == 2 * ["poland@example.org"]


# Whatever they write


@pytest.mark.sqlite
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    subject=st.text(max_size=120),
    text=st.text(max_size=400) | st.sampled_from([marker(slot) for slot in Slot]),
    author=st.text(max_size=40),
)
def test_whatever_a_stranger_writes_the_mail_can_be_made(subject: str, text: str, author: str) -> None:
    head = Head(
        sender_name="Situation",
        sender_address="editors@example.org",
        message_domain=DOMAIN,
        languages=["en"],
        list_id="",
        list_name="",
        owner_address="",
        archive_url="",
        listed=False,
    )
    said = f"{forwarding.printed(author)}\n{text}".encode("utf-8", "replace").decode()
    octets = text.encode("utf-8", "replace")
    message = compose_enclosing(
        f"Fwd: {forwarding.printed(subject)}", said, Enclosed(name="mail.eml", content=octets), head
    )
    mail = message.splice({Slot.TO: "a@b.example", Slot.DATE: "x", Slot.MESSAGE_ID: "0" * 32})
    assert attached(mail) == octets
    assert message.slots == {Slot.TO, Slot.DATE, Slot.MESSAGE_ID}
