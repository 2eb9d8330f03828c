"""The mailbox that is looked into by POP3, on a real Dovecot, and on servers that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from imapclient import IMAPClient

from mailer import retention
from mailer.delivery.states import DeliveryStatus
from mailer.inbound import pop3
from mailer.inbound.incoming import Effect
from mailer.inbound.mailbox import MailboxError
from mailer.inbound.quarantine import KEPT
from mailer.settings import MailboxAddress
from tests.conftest import HandedClock
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
    deliver(folder, letter("Hello\n.\n..dots", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    looking = mailbox(inbound.effects, server.pop3, scheme="pop3")
    looking.look()
    assert len(left(folder)) == 1
    first, second = inbound.arrivals
    assert (first.effect, second.effect) == (Effect.SUPPRESSED, Effect.QUARANTINED)
    assert second.id is not None
    assert inbound.kept(second.id).endswith(b"\r\nHello\r\n.\r\n..dots\r\n")
    looking.look()
    mailbox(inbound.effects, server.pop3, scheme="pop3").look()  # started again: it knows the mail, and lets it be
    assert (len(left(folder)), len(inbound.arrivals)) == (1, 2)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_stays_for_longer_than_arrivals_are_kept_is_no_new_mail_after_a_restart(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports, clock: HandedClock, restarted: bool
) -> None:
    """It would go to the editors again."""
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    app = inbound.app
    looking = mailbox(inbound.effects, server.pop3, scheme="pop3")
    looking.look()
    (first,) = inbound.arrivals
    clock.pass_(days=app.settings.keep_arrival_days + 1)
    (mailbox(inbound.effects, server.pop3, scheme="pop3") if restarted else looking).look()
    keep = app.settings.model_copy(update={"keep_quarantine_days": 2 * app.settings.keep_arrival_days})
    assert retention.run(app.database, keep, clock(), lambda _: False)["arrivals"] == 0
    mailbox(inbound.effects, server.pop3, scheme="pop3").look()
    assert [each.id for each in inbound.arrivals] == [first.id]
    assert len(left(folder)) == 1


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_what_was_kept_for_long_enough_goes_here_and_there(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports, clock: HandedClock, scheme: str
) -> None:
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    app = inbound.app
    looking = mailbox(inbound.effects, server.imap if scheme == "imap" else server.pop3, scheme=scheme)
    looking.look()
    clock.pass_(days=app.settings.keep_arrival_days + 1)
    looking.look()
    done = retention.run(app.database, app.settings, clock(), lambda _: False)
    assert (done["quarantine"], done["arrivals"], len(left(folder))) == (1, 0, 1)
    looking.look()
    assert left(folder) == []
    clock.pass_(days=app.settings.keep_arrival_days + 1)
    looking.look()
    assert retention.run(app.database, app.settings, clock(), lambda _: False)["arrivals"] == 1


def test_what_stays_is_not_fetched_again(inbound: Inbound, folder: IMAPClient, pop3_wire: dovecot.BreakingWire) -> None:
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    looking = mailbox(inbound.effects, pop3_wire.port, scheme="pop3")
    looking.look()
    pop3_wire.breaks_at = b"RETR"
    looking.look()
    assert (pop3_wire.connected, pop3_wire.broke) == (2, 0)


@pytest.mark.parametrize(
    ("word", "acted"), [(b"UIDL", 0), (b"RETR 1", 0), (b"DELE 1", 1), (b"RETR 2", 1), (b"QUIT", 2)]
)
def test_a_connection_that_breaks_loses_nothing_and_does_nothing_twice(
    inbound: Inbound, sent: Sent, folder: IMAPClient, pop3_wire: dovecot.BreakingWire, word: bytes, acted: int
) -> None:
    first, second = sent("first@far.example", "second@far.example")
    full = "452 4.2.2 mailbox full"
    for delivery_id, address in ((first, "first@far.example"), (second, "second@far.example")):
        octets = report(failed(full, address=address, status="4.2.2"))
        deliver(folder, octets, inbound.bounce_address(delivery_id))
    pop3_wire.breaks_at = word
    looking = mailbox(inbound.effects, pop3_wire.port, scheme="pop3")
    looking.look()
    assert (pop3_wire.broke, len(inbound.arrivals)) == (1, acted)
    looking.look()
    assert [each.effect for each in inbound.arrivals] == [Effect.BOUNCED, Effect.BOUNCED]
    assert {inbound.delivery(each).status for each in (first, second)} == {DeliveryStatus.BOUNCED}
    assert left(folder) == []


def test_of_a_long_mail_with_long_lines_so_much_is_read_as_is_looked_at(
    inbound: Inbound, folder: IMAPClient, server: dovecot.Ports
) -> None:
    deliver(folder, letter("x" * (KEPT + 200_000), sender=READER, subject="Long"), f"editors@{DOMAIN}", READER)
    deliver(folder, letter("Hello", sender=READER, subject="Hello"), f"editors@{DOMAIN}", READER)
    mailbox(inbound.effects, server.pop3, scheme="pop3").look()
    long, short = inbound.arrivals
    assert long.id is not None
    assert len(inbound.kept(long.id)) == KEPT
    assert short.effect is Effect.QUARANTINED


def test_a_wrong_password_and_a_silent_server_are_a_line_in_the_log(
    inbound: Inbound, server: dovecot.Ports, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox(inbound.effects, server.pop3, "wrong", scheme="pop3").look()
    mailbox(inbound.effects, free_port(), scheme="pop3").look()
    first, second = (record.getMessage() for record in caplog.records)
    assert "Authentication failed" in first
    assert "refused" in second


Saying = Callable[..., int]


@pytest.fixture
def saying() -> Iterator[Saying]:
    """saying(b"answer", …) -> the port of a server that says so, whatever it is asked, and then hangs up."""
    listeners = list[socket.socket]()

    def serve(listener: socket.socket, answers: tuple[bytes, ...]) -> None:
        client, _ = listener.accept()
        with client:
            for number, answer in enumerate(answers):
                if number:
                    client.recv(1000)
                client.sendall(answer)

    def start(*answers: bytes) -> int:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(listeners[-1], answers), daemon=True).start()
        return int(listeners[-1].getsockname()[1])

    yield start
    for each in listeners:
        each.close()


OPEN = (b"+OK hello\r\n", b"+OK\r\n", b"+OK\r\n")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((), "the server hung up"),
        ((b"* OK IMAP4 ready\r\n",), "IMAP4"),
        ((*OPEN, b"-ERR no such command\r\n"), "UIDL: -ERR no such command"),
        ((*OPEN, b"+OK\r\none two\r\n.\r\n"), "cannot be understood"),
        ((*OPEN, b"+OK\r\n1 \xff\xff\r\n"), "the server hung up"),
        ((*OPEN, b"+OK\r\n1 a\r\n.\r\n", b"+OK\r\n" + b"x" * 5000), "RETR 1: more than 1000 octets"),
        ((*OPEN, b"+OK\r\n1 a\r\n.\r\n", b"+OK\r\nFrom: a"), "the server hung up"),
    ],
)
def test_a_server_that_misbehaves_is_a_line_in_the_log(
    inbound: Inbound,
    saying: Saying,
    answers: tuple[bytes, ...],
    said: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pop3, "MOST", 1000)
    mailbox(inbound.effects, saying(*answers), scheme="pop3").look()
    (record,) = caplog.records
    assert said in record.getMessage()
    assert inbound.arrivals == []


def test_a_server_that_names_mails_without_end_fills_no_memory(
    inbound: Inbound, saying: Saying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pop3, "NAMES", 2)
    names = b"".join(b"%d name-%d\r\n" % (number, number) for number in range(1, 100))
    port = saying(*OPEN, b"+OK\r\n" + names + b".\r\n")
    address = MailboxAddress.parse(f"pop3://inbound@127.0.0.1:{port}")
    named = list[str]()
    with suppress(MailboxError, OSError), pop3.Pop3(address, "secret").opened() as opened:  # it hangs up at QUIT
        named += opened.waiting()
    assert named == ["name-1", "name-2"]
