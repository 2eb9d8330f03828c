"""Mail from those who mean harm, and from those who are broken: no effect on anyone not meant, and nothing lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from mailer.database import DatabaseError
from mailer.delivery import launch
from mailer.delivery.states import DeliveryStatus
from mailer.inbound import breaker, quarantine, reports
from mailer.inbound.incoming import Effect
from mailer.inbound.letter import Letter
from mailer.issues.states import IssueStatus
from mailer.tables import Issue
from mailer.tokens import Purpose
from tests.delivery.readers import Subscribe
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, complaint, failed, letter, report

UNKNOWN = failed("550 5.1.1 no mailbox here", status="5.1.1")


def test_the_same_report_at_the_same_moment_has_one_effect(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    to = inbound.bounce_address(delivery_id)
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: inbound.take(report(UNKNOWN), to), range(8)))
    assert sorted(each.effect for each in taken) == [Effect.NOTHING] * 7 + [Effect.SUPPRESSED]
    assert len(inbound.arrivals) == len(inbound.suppressions) == 1


def test_two_reports_about_one_reader_at_the_same_moment_suppress_once(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    to = inbound.bounce_address(delivery_id)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: inbound.take(report(UNKNOWN, subject=f"{number}"), to), range(8)))
    assert len(inbound.arrivals) == 8
    assert len(inbound.suppressions) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"sender": "nul\0@far.example"},
        {"subject": "\0"},
        {"to": "\0"},
        {"content_type": "text/plain; charset=\0"},
        {"from": "=?utf-16?b?2AA=?= <a@far.example>"},
    ],
)
def test_what_a_database_refuses_is_kept_all_the_same(inbound: Inbound, fields: dict[str, str]) -> None:
    assert inbound.take(letter("\0 text", **fields), f"nul\0+x@{DOMAIN}").effect is Effect.QUARANTINED


@pytest.mark.parametrize("named", ["anna@xn--e1afmkfd.xn--90ais", "anna@пример.бел", "Anna@XN--E1AFMKFD.xn--90AIS"])
def test_a_report_names_its_reader_in_any_spelling_of_the_domain(inbound: Inbound, sent: Sent, named: str) -> None:
    (delivery_id,) = sent("anna@пример.бел")
    gone = report(failed("550 5.1.1 no mailbox here", address=named, status="5.1.1"))
    assert inbound.take(gone, inbound.bounce_address(delivery_id)).effect is Effect.SUPPRESSED


def test_a_report_with_unstorable_words_has_its_effect(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    octets = report(failed("550 5.1.1 no \0 mailbox", status="5.1.1"), subject="\0").replace(b"relay.example", b"a\0b")
    assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.SUPPRESSED
    (arrival,) = inbound.arrivals
    assert arrival.diagnostic == "550 5.1.1 no  mailbox"


def test_a_complaint_of_an_unstorable_kind_alarms(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    token = inbound.app.tokens.make(Purpose.MESSAGE_ID, delivery_id)
    octets = complaint("Feedback-Type: a\0b", returned=f"Message-ID: <{token}@{DOMAIN}>\n\n")
    assert inbound.take(octets, f"fbl@{DOMAIN}").effect is Effect.ALARM


def test_a_defect_of_ours_loses_nothing(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    (delivery_id,) = sent(READER)
    with monkeypatch.context() as patch:
        patch.setattr(reports, "act", broken)
        taken = inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id))
    assert (taken.effect, taken.waits) == (Effect.QUARANTINED, True)
    assert taken.arrival_id is not None
    assert inbound.kept(taken.arrival_id) == report(UNKNOWN)
    assert "ZeroDivisionError" in caplog.text


def test_what_a_defect_put_aside_is_acted_on_after_the_mend(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    (delivery_id,) = sent(READER)
    with monkeypatch.context() as patch:
        patch.setattr(reports, "act", broken)
        number = inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id)).arrival_id
        assert number is not None
        assert inbound.effects.retry(number).effect is Effect.QUARANTINED
    assert inbound.effects.retry(number).effect is Effect.SUPPRESSED
    (arrival,) = inbound.arrivals
    assert (arrival.effect, arrival.delivery_id) == (Effect.SUPPRESSED, delivery_id)
    with pytest.raises(quarantine.NotThere):  # its text went with it
        inbound.effects.retry(number)
    assert inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id)).effect is Effect.NOTHING


def test_a_mail_that_is_taken_again_twice_at_once_has_one_effect(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (delivery_id,) = sent(READER)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(reports, "act", broken)
        number = inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id)).arrival_id

    def retry(_: int) -> str:
        try:
            return str(inbound.effects.retry(number or 0).effect)
        except quarantine.NotThere:
            return "gone"

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(retry, range(4))) == ["gone", "gone", "gone", "suppressed"]


def test_a_retry_knows_the_null_sender(inbound: Inbound, subscribe: Subscribe) -> None:
    (reader,) = subscribe(READER)
    number = inbound.take(letter("", sender=READER), inbound.leave_address(reader), "").arrival_id
    assert number is not None
    assert inbound.effects.retry(number).effect is Effect.QUARANTINED


def test_only_a_whole_mail_can_be_taken_again(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "KEPT", 100)
    number = inbound.take(letter("x" * 1_000, sender=READER), f"a@{DOMAIN}").arrival_id
    assert number is not None
    with pytest.raises(quarantine.Cut, match="the first 100 octets"):
        inbound.effects.retry(number)


def test_what_strangers_write_does_not_steer_the_log_and_readers_are_not_named_there(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError(f"{READER}\nERROR forged")

    (delivery_id,) = sent(READER)
    caplog.set_level("INFO")
    token = inbound.app.tokens.make(Purpose.MESSAGE_ID, delivery_id)
    octets = complaint("Feedback-Type: fraud\x1b[2J", returned=f"Message-ID: <{token}@{DOMAIN}>\n\n")
    octets = octets.replace(b"Loop/1.0", b"Loop\x9b2J\xc2\x9b/1.0\x1b[1m")
    assert inbound.take(octets, f"fbl@{DOMAIN}", "loop@far.example").effect is Effect.ALARM
    inbound.take(letter("Hello", sender=READER), f"a@{DOMAIN}", READER)
    inbound.take(report(failed("550 5.2.2 full \x1b[2J", status="5.2.2")), inbound.bounce_address(delivery_id))
    with monkeypatch.context() as patch:
        patch.setattr(reports, "act", broken)
        inbound.take(report(UNKNOWN, subject="again"), inbound.bounce_address(delivery_id))
    assert len(caplog.messages) >= 5
    assert READER not in caplog.text
    assert all(message.isprintable() for message in caplog.messages)


def test_a_full_quarantine_puts_mail_off_and_reports_go_on(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    (delivery_id,) = sent(READER)
    monkeypatch.setattr(quarantine, "FULL", 2_000)
    inbound.take(letter("x" * 1_000, sender=READER), f"a@{DOMAIN}")
    with pytest.raises(quarantine.QuarantineFull):
        inbound.take(letter("y" * 1_000, sender=READER), f"a@{DOMAIN}")
    assert len(inbound.arrivals) == 1
    assert inbound.take(report(UNKNOWN), inbound.bounce_address(delivery_id)).effect is Effect.SUPPRESSED


def test_a_mail_of_fifty_megabytes_is_kept_in_part(inbound: Inbound) -> None:
    taken = inbound.take(letter("x" * 50_000_000, sender=READER), f"a@{DOMAIN}")
    assert taken.arrival_id is not None
    assert len(inbound.kept(taken.arrival_id)) == quarantine.KEPT


def test_a_crowded_quarantine_keeps_the_beginning_of_large_mails(
    inbound: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "FULL", 6_000)
    monkeypatch.setattr(quarantine, "CUT", 1_000)
    large = letter("x" * 2_500, sender=READER)
    for number in range(2):
        taken = inbound.take(large + b"%d" % number, f"a@{DOMAIN}")
        assert taken.arrival_id is not None
        assert len(inbound.kept(taken.arrival_id)) == (len(large) + 1 if number == 0 else 1_000)


def test_the_quarantine_is_full_of_small_mails_too(inbound: Inbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAILS", 2)
    for number in range(2):
        inbound.take(letter(f"{number}", sender=READER), f"a@{DOMAIN}")
    with pytest.raises(quarantine.QuarantineFull):
        inbound.take(letter("three", sender=READER), f"a@{DOMAIN}")


@pytest.mark.parametrize("sender", ["(" * 3_000, "<" * 3_000, '"' * 3_001, "a" * 3_000 + "@", "@[" * 900, "a:b;" * 900])
@pytest.mark.parametrize("local", ["a", "belarus+subscribe-en", "belarus+leave"])
@pytest.mark.usefixtures("publication")
def test_a_sender_that_cannot_be_parsed_is_nobody(inbound: Inbound, sender: str, local: str) -> None:
    taken = inbound.take(letter("Hello", sender=sender), f"{local}@{DOMAIN}", READER)
    assert taken.effect is Effect.QUARANTINED
    assert "defect" not in taken.reason


def test_mail_that_comes_before_there_is_a_publication_waits(inbound: Inbound) -> None:
    taken = inbound.take(letter("Hello", sender=READER), f"a@{DOMAIN}", READER)
    assert taken.reason == "mail from a person; not forwarded: there is no publication yet"


def test_ten_thousand_parts_do_nothing(inbound: Inbound, sent: Sent) -> None:
    (delivery_id,) = sent(READER)
    body = "--b\nContent-Type: message/rfc822\n\nTo: x@y.example\n\n" * 10_000
    octets = letter(body, content_type='multipart/mixed; boundary="b"', sender=READER, subject="Parts")
    assert inbound.take(octets, inbound.bounce_address(delivery_id)).effect is Effect.QUARANTINED
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED


@pytest.mark.sqlite
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=400), at=st.integers(0, 2_000), recipient=st.text(max_size=80))
def test_whatever_comes_a_victim_is_untouched(
    inbound: Inbound, victim: int, octets: bytes, at: int, recipient: str
) -> None:
    base = report(failed("550 5.1.1 unknown", address=READER, status="5.1.1"))
    for mail in (octets, base[:at] + octets + base[at:]):
        for to in (recipient, f"bounce+{recipient}@{DOMAIN}", f"leave+{recipient}@{DOMAIN}", None):
            inbound.take(mail, to)
    assert inbound.delivery(victim).status is DeliveryStatus.ACCEPTED
    assert inbound.suppressions == []


@pytest.fixture
def victim(sent: Sent) -> int:
    """The delivery of READER."""
    (delivery_id,) = sent(READER)
    return delivery_id


# Circuit breakers


def status_of_issue(inbound: Inbound) -> str:
    with inbound.app.database.read() as session:
        return session.exec(select(Issue.status)).one()


def addresses(number: int) -> list[str]:
    return [f"r{each}@far.example" for each in range(number)]


def test_an_issue_that_comes_back_from_everywhere_is_paused(
    inbound: Inbound, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    readers = addresses(150)
    deliveries = sent(*readers)
    for number in range(breaker.ADDRESSES):
        assert status_of_issue(inbound) == IssueStatus.SENDING
        gone = failed("550 5.1.1 unknown", address=readers[number], status="5.1.1")
        inbound.take(report(gone), inbound.bounce_address(deliveries[number]))
    assert status_of_issue(inbound) == IssueStatus.PAUSED
    assert "10 of 150 mails came back from addresses that do not exist" in caplog.text
    assert "mailer issue resume" in caplog.text


def test_ten_dead_addresses_among_many_are_no_reason_to_stop(inbound: Inbound, sent: Sent) -> None:
    readers = addresses(201)
    deliveries = sent(*readers)
    for number in range(breaker.ADDRESSES):
        gone = failed("550 5.1.1 unknown", address=readers[number], status="5.1.1")
        inbound.take(report(gone), inbound.bounce_address(deliveries[number]))
    assert status_of_issue(inbound) == IssueStatus.SENDING


def test_three_complaints_among_a_hundred_pause_an_issue_once(
    inbound: Inbound, sent: Sent, resume: Callable[[], None]
) -> None:
    deliveries = sent(*addresses(100))
    one_process = inbound.effects
    for number, delivery_id in enumerate(deliveries[:5]):
        token = inbound.app.tokens.make(Purpose.MESSAGE_ID, delivery_id)
        octets = complaint("Feedback-Type: abuse", returned=f"Message-ID: <{token}@{DOMAIN}>\n\n")
        letter = Letter(octets=octets, road="receiver", recipient=f"fbl@{DOMAIN}", sender="loop@far.example")
        one_process.take(letter)
        assert status_of_issue(inbound) == (IssueStatus.PAUSED if number == 2 else IssueStatus.SENDING)
        if number == 2:
            resume()


def test_an_issue_that_was_resumed_is_not_paused_by_the_next_worker(
    inbound: Inbound, sent: Sent, resume: Callable[[], None]
) -> None:
    for number, delivery_id in enumerate(sent(*addresses(20))[:5]):
        complain(inbound, delivery_id)  # each time by a worker that was just started
        assert status_of_issue(inbound) == (IssueStatus.PAUSED if number == 2 else IssueStatus.SENDING)
        if number == 2:
            resume()


def test_a_complaint_counts_even_where_the_issue_cannot_be_paused(
    inbound: Inbound, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise DatabaseError("another program held the database")

    deliveries = sent(*addresses(20))[:4]
    with monkeypatch.context() as patch:
        patch.setattr(launch, "stop", busy)
        for delivery_id in deliveries[:3]:
            assert complain(inbound, delivery_id) is Effect.COMPLAINED
    assert status_of_issue(inbound) == IssueStatus.SENDING
    assert complain(inbound, deliveries[3]) is Effect.COMPLAINED
    assert status_of_issue(inbound) == IssueStatus.PAUSED  # the next one looks again


def complain(inbound: Inbound, delivery_id: int) -> Effect:
    token = inbound.app.tokens.make(Purpose.MESSAGE_ID, delivery_id)
    octets = complaint("Feedback-Type: abuse", returned=f"Message-ID: <{token}@{DOMAIN}>\n\n")
    return inbound.take(octets, f"fbl@{DOMAIN}", "loop@far.example").effect


@pytest.fixture
def resume(inbound: Inbound) -> Callable[[], None]:
    """The operator has looked."""

    def act() -> None:
        with inbound.app.database.write() as session:
            session.exec(select(Issue)).one().status = IssueStatus.SENDING

    return act
