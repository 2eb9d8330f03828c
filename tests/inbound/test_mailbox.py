"""The mailbox that is looked into, on a real Dovecot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from imapclient import IMAPClient

from mailer.delivery.states import DeliveryStatus
from mailer.inbound.incoming import Effect
from mailer.inbound.mailbox import Mailbox
from mailer.settings import MailboxAddress
from tests.delivery.readers import Subscribe
from tests.inbound import dovecot
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, failed, letter, report
from tests.inbound.postfix import free_port

pytestmark = pytest.mark.sqlite  # what differs by database is tested without Dovecot

UNKNOWN = report(failed("550 5.1.1 no mailbox here", status="5.1.1"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Dovecot."""
    why_not = dovecot.why_not()
    if why_not:
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    if other := dovecot.other_version():
        pytest.skip(other)
    port = free_port()
    with dovecot.running(port=port):
        yield port


@pytest.fixture
def folder(server: int, request: pytest.FixtureRequest) -> Iterator[IMAPClient]:
    """The mailbox as another program sees it, empty."""
    client = IMAPClient("127.0.0.1", server, ssl=False)
    client.login("inbound", dovecot.PASSWORD)
    client.select_folder("INBOX")
    client.delete_messages(client.search())
    client.expunge()
    yield client
    client.logout()


@pytest.fixture
def wire(server: int) -> Iterator[dovecot.BreakingWire]:
    wire = dovecot.BreakingWire(server)
    yield wire
    wire.close()


def mailbox(inbound: Inbound, port: int, password: str = dovecot.PASSWORD) -> Mailbox:
    return Mailbox(MailboxAddress.parse(f"imap://inbound@127.0.0.1:{port}/INBOX"), password, inbound.effects)


def deliver(folder: IMAPClient, octets: bytes, to: str, sender: str = "") -> None:
    """As a server does: the envelope is kept in the header."""
    folder.append("INBOX", f"Return-Path: <{sender}>\nDelivered-To: {to}\n".encode() + octets)


def left(folder: IMAPClient) -> list[tuple[bytes, ...]]:
    """The flags of what is still there."""
    folder.noop()
    return [tuple(sorted(set(flags) - {b"\\Recent"})) for flags in folder.get_flags(folder.search()).values()]


def test_what_was_acted_on_is_deleted_and_what_waits_for_a_person_stays(
    inbound: Inbound, sent: Sent, folder: IMAPClient, server: int
) -> None:
    (delivery_id,) = sent(READER)
    deliver(folder, UNKNOWN, inbound.bounce_address(delivery_id))
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    mailbox(inbound, server).look()
    assert left(folder) == [(b"\\Flagged",)]
    assert [each.effect for each in inbound.arrivals] == [Effect.SUPPRESSED, Effect.QUARANTINED]
    assert {each.road for each in inbound.arrivals} == {"mailbox"}
    mailbox(inbound, server).look()
    assert left(folder) == [(b"\\Flagged",)]
    assert len(inbound.arrivals) == 2


def test_a_reply_to_the_list_s_address_in_the_mailbox_unsubscribes(
    inbound: Inbound, subscribe: Subscribe, folder: IMAPClient, server: int
) -> None:
    (reader,) = subscribe(READER)
    deliver(folder, letter("", sender=READER, subject="unsubscribe"), inbound.leave_address(reader), READER)
    mailbox(inbound, server).look()
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
    looking = mailbox(inbound, wire.port)
    looking.look()
    assert (wire.broke, len(inbound.arrivals)) == (1, acted)
    looking.look()
    assert [each.effect for each in inbound.arrivals] == [Effect.BOUNCED, Effect.BOUNCED]
    assert {inbound.delivery(each).status for each in (first, second)} == {DeliveryStatus.BOUNCED}
    assert [flags for flags in left(folder) if b"\\Deleted" not in flags] == []


def test_one_that_breaks_the_connection_does_not_keep_the_others_waiting(
    inbound: Inbound, sent: Sent, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    first, second = sent("first@far.example", "second@far.example")
    for delivery_id in (first, second):
        deliver(folder, UNKNOWN, inbound.bounce_address(delivery_id))
    poisoned, _ = folder.search()
    looking = mailbox(inbound, wire.port)
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
        mailbox(inbound, wire.port).look()
    assert (wire.broke, left(folder)) == (1, [(b"\\Flagged",)])


def test_a_report_that_outruns_the_answer_waits_in_the_mailbox(
    inbound: Inbound, claimed: int, folder: IMAPClient, server: int
) -> None:
    deliver(folder, UNKNOWN, inbound.bounce_address(claimed))
    mailbox(inbound, server).look()
    assert (left(folder), inbound.arrivals) == ([()], [])


def test_a_wrong_password_and_a_silent_server_are_a_line_in_the_log(
    inbound: Inbound, server: int, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox(inbound, server, "wrong").look()
    mailbox(inbound, free_port()).look()
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("mailbox inbound@127.0.0.1: ")
    assert "wrong" not in first
    assert "refused" in second


def test_a_certificate_that_nobody_trusts_is_refused(
    inbound: Inbound, server: int, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    tls_port = free_port()
    with dovecot.running(port=free_port(), tls_port=tls_port, certificate=certificate):
        address = MailboxAddress.parse(f"imaps://inbound@127.0.0.1:{tls_port}/INBOX")
        Mailbox(address, dovecot.PASSWORD, inbound.effects).look()
    assert "certificate verify failed" in caplog.text
