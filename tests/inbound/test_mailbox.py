"""The mailbox that is looked into, on a real Dovecot."""

import pytest
from imapclient import IMAPClient

from mailer.delivery.states import DeliveryStatus
from mailer.inbound import quarantine
from mailer.inbound.incoming import Effect
from tests.delivery.readers import Subscribe
from tests.inbound import dovecot
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, failed, letter, report
from tests.inbound.mailboxes import deliver, left, mailbox
from tests.inbound.postfix import free_port

pytestmark = pytest.mark.sqlite  # what differs by database is tested without Dovecot

UNKNOWN = report(failed("550 5.1.1 no mailbox here", status="5.1.1"))


def test_what_was_acted_on_is_deleted_and_what_waits_for_a_person_stays(
    inbound: Inbound, sent: Sent, folder: IMAPClient, server: dovecot.Ports
) -> None:
    (delivery_id,) = sent(READER)
    deliver(folder, UNKNOWN, inbound.bounce_address(delivery_id))
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    mailbox(inbound.effects, server.imap).look()
    assert left(folder) == [(b"\\Flagged",)]
    assert [each.effect for each in inbound.arrivals] == [Effect.SUPPRESSED, Effect.QUARANTINED]
    assert {each.road for each in inbound.arrivals} == {"mailbox"}
    mailbox(inbound.effects, server.imap).look()
    assert left(folder) == [(b"\\Flagged",)]
    assert len(inbound.arrivals) == 2


def test_a_reply_to_the_list_s_address_in_the_mailbox_unsubscribes(
    inbound: Inbound, subscribe: Subscribe, folder: IMAPClient, server: dovecot.Ports
) -> None:
    (reader,) = subscribe(READER)
    deliver(folder, letter("", sender=READER, subject="unsubscribe"), inbound.leave_address(reader), READER)
    mailbox(inbound.effects, server.imap).look()
    assert (left(folder), [each.effect for each in inbound.arrivals]) == ([], [Effect.LEFT])


@pytest.mark.parametrize(
    ("word", "acted"), [(b"FETCH", 0), (b"STORE", 1), (b"EXPUNGE", 1), (b"SEARCH", 0), (b"LOGOUT", 2)]
)
def test_a_connection_that_breaks_loses_nothing_and_does_nothing_twice(
    inbound: Inbound, sent: Sent, folder: IMAPClient, wire: dovecot.BreakingWire, word: bytes, acted: int
) -> None:
    first, second = sent("first@far.example", "second@far.example")
    full = "452 4.2.2 mailbox full"
    for delivery_id, address in ((first, "first@far.example"), (second, "second@far.example")):
        octets = report(failed(full, address=address, status="4.2.2"))
        deliver(folder, octets, inbound.bounce_address(delivery_id))
    wire.breaks_at = word
    looking = mailbox(inbound.effects, wire.port)
    looking.look()
    assert (wire.broke, len(inbound.arrivals)) == (1, acted)
    looking.look()
    assert [each.effect for each in inbound.arrivals] == [Effect.BOUNCED, Effect.BOUNCED]
    assert {inbound.delivery(each).status for each in (first, second)} == {DeliveryStatus.BOUNCED}
    assert [flags for flags in left(folder) if b"\\Deleted" not in flags] == []


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.inbound.mailbox.AT_ONCE", 2)


@pytest.mark.usefixtures("two_at_once")
def test_mails_that_were_put_off_do_not_keep_the_others_waiting(
    inbound: Inbound, claimed: int, folder: IMAPClient, server: dovecot.Ports
) -> None:
    for number in range(4):
        octets = report(failed("550 5.1.1 no mailbox here", status="5.1.1"), subject=f"{number}")
        deliver(folder, octets, inbound.bounce_address(claimed))
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    looking = mailbox(inbound.effects, server.imap)
    for _ in range(3):
        looking.look()
    assert left(folder) == [(), (), (), (), (b"\\Flagged",)]
    assert [each.effect for each in inbound.arrivals] == [Effect.QUARANTINED]


def test_one_that_breaks_the_connection_does_not_keep_the_others_waiting(
    inbound: Inbound, sent: Sent, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    first, second = sent("first@far.example", "second@far.example")
    for delivery_id in (first, second):
        deliver(folder, UNKNOWN, inbound.bounce_address(delivery_id))
    poisoned, _ = folder.search()
    looking = mailbox(inbound.effects, wire.port)
    for _ in range(2):
        wire.breaks_at = f"FETCH {poisoned} ".encode()
        looking.look()
    assert wire.broke == 2
    assert [each.delivery_id for each in inbound.arrivals] == [second]


def test_a_quarantined_mail_is_never_deleted_after_a_break(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    wire.breaks_at = b"STORE"
    for _ in range(2):
        mailbox(inbound.effects, wire.port).look()
    assert (wire.broke, left(folder)) == (1, [(b"\\Flagged",)])


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_letter_of_an_erased_reader_stays_in_no_mailbox(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports, scheme: str, restarted: bool
) -> None:
    port = server.imap if scheme == "imap" else server.pop3
    for sender, words in ((READER, "Hello"), ("boris@far.example", "Hello"), ("boris@far.example", f"Ask {READER}.")):
        deliver(folder, letter(words, sender=sender, subject=words), f"editors@{DOMAIN}", sender)
    looking = mailbox(inbound.effects, port, scheme=scheme)
    looking.look()
    assert len(left(folder)) == 3
    assert quarantine.discard_mail(inbound.app.database, [READER]).mails == 2
    if restarted:
        looking = mailbox(Inbound(inbound.app).effects, port, scheme=scheme)
    looking.look()
    folder.noop()
    assert [len(folder.search(["SUBJECT", each])) for each in ("Hello", "Ask")] == [1, 0]
    assert folder.search(["FROM", READER]) == []
    looking.look()
    assert (len(left(folder)), len(inbound.arrivals)) == (1, 3)


def test_what_somebody_else_flagged_is_let_be(inbound: Inbound, folder: IMAPClient, server: dovecot.Ports) -> None:
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    folder.add_flags(folder.search(), [b"\\Flagged"])
    looking = mailbox(inbound.effects, server.imap)
    for _ in range(2):
        looking.look()
    assert (left(folder), inbound.arrivals) == ([(b"\\Flagged",)], [])


@pytest.mark.usefixtures("two_at_once")
def test_after_a_restart_what_was_thrown_away_goes_some_at_a_time(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports
) -> None:
    for number in range(5):
        deliver(folder, letter("Hello", sender=READER, subject=f"{number}"), f"editors@{DOMAIN}", READER)
    looking = mailbox(inbound.effects, server.imap)
    for _ in range(3):
        looking.look()
    quarantine.discard_mail(inbound.app.database, [READER])
    looking = mailbox(inbound.effects, server.imap)
    found = list[int]()
    for _ in range(3):
        looking.look()
        found.append(len(left(folder)))
    assert found == [3, 1, 0]


def test_a_mailbox_that_was_made_anew_loses_no_letter_for_an_old_one(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports
) -> None:
    """Its numbers begin again (RFC 9051 §2.3.1.1)."""
    folder.create_folder("Anew")
    try:
        folder.select_folder("Anew")
        folder.append("Anew", letter("Hello", sender=READER, subject="Hello"))
        looking = mailbox(inbound.effects, server.imap, folder="Anew")
        looking.look()
        folder.unselect_folder()
        folder.delete_folder("Anew")
        folder.create_folder("Anew")
        folder.append("Anew", letter("Other", sender="boris@far.example", subject="Other"), [b"\\Flagged"])
        quarantine.discard_mail(inbound.app.database, [READER])
        looking.look()
        folder.select_folder("Anew")
        assert len(folder.search()) == 1
    finally:
        folder.select_folder("INBOX")
        folder.delete_folder("Anew")


def test_a_report_that_outruns_the_answer_waits_in_the_mailbox(
    inbound: Inbound, claimed: int, folder: IMAPClient, server: dovecot.Ports
) -> None:
    deliver(folder, UNKNOWN, inbound.bounce_address(claimed))
    mailbox(inbound.effects, server.imap).look()
    assert (left(folder), inbound.arrivals) == ([()], [])


def test_a_wrong_password_and_a_silent_server_are_a_line_in_the_log(
    inbound: Inbound, server: dovecot.Ports, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox(inbound.effects, server.imap, "wrong").look()
    mailbox(inbound.effects, free_port()).look()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("mailbox inbound@127.0.0.1: ")
    assert "wrong" not in first
    assert "refused" in second
