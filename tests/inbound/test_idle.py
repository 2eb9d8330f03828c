"""The mailbox in its own thread: a server that tells of mail (IMAP IDLE), one that is asked, one that falls silent."""

import asyncio

import pytest
from imapclient import IMAPClient
from pydantic import SecretStr

from mailer.inbound import imap
from mailer.inbound.incoming import Effect
from mailer.inbound.mailbox import Patience
from mailer.inbound.ways import ways_in
from tests.inbound import dovecot
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, failed, letter, report
from tests.inbound.mailboxes import deliver, left, mailbox, started, until

pytestmark = pytest.mark.sqlite  # what differs by database is tested without Dovecot

NEVER = 3600.0
QUICKLY = Patience(look=0.05, renew=0.2, again=0.05, again_at_most=0.1)
HELLO = letter("Hello", sender=READER, subject="Hello")
UNKNOWN = report(failed("550 5.1.1 no mailbox here", status="5.1.1"))


def test_mail_is_acted_on_when_it_comes(
    inbound: Inbound, sent: Sent, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    (delivery_id,) = sent(READER)
    looking = mailbox(inbound.effects, wire.port, patience=Patience(look=NEVER, renew=NEVER))
    with started(looking):
        deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
        until(lambda: len(inbound.arrivals) == 1)
        deliver(folder, UNKNOWN, inbound.bounce_address(delivery_id))
        until(lambda: len(inbound.arrivals) == 2)
        until(lambda: left(folder) == [(b"\\Flagged",)])
    assert wire.connected == 1
    assert [each.effect for each in inbound.arrivals] == [Effect.QUARANTINED, Effect.SUPPRESSED]


def test_mail_that_comes_between_a_look_and_listening_is_acted_on(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    wire.before[b"IDLE"] = lambda: deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
    with started(mailbox(inbound.effects, wire.port, patience=Patience(look=NEVER, renew=NEVER))):
        until(lambda: len(inbound.arrivals) == 1)
    assert wire.connected == 1


@pytest.mark.parametrize("word", [b"SEARCH", b"FETCH", b"STORE"])
def test_mail_that_comes_during_a_look_is_acted_on(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, word: bytes
) -> None:
    """The server has told of it before we listen, and tells of each only once."""
    another = letter("Hello again", sender=READER, subject="Hello")
    wire.before[word] = lambda: deliver(folder, another, f"editors@{DOMAIN}", READER)
    deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
    with started(mailbox(inbound.effects, wire.port, patience=Patience(look=NEVER, renew=NEVER))):
        until(lambda: len(inbound.arrivals) == 2)
    assert wire.connected == 1


def test_one_connection_is_renewed_again_and_again(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    with started(mailbox(inbound.effects, wire.port, patience=Patience(look=NEVER, renew=0.02))):
        until(lambda: wire.said.count(b"DONE") >= 3)
    assert wire.connected == 1


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("word", [b"IDLE", b"DONE", b"SEARCH", b"LOGIN"])
def test_a_connection_that_dies_is_opened_again(
    inbound: Inbound,
    folder: IMAPClient,
    wire: dovecot.BreakingWire,
    word: bytes,
    silent: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(imap, "ANSWER_SECONDS", 0.3)
    wire.breaks_at, wire.silent = word, silent
    with started(mailbox(inbound.effects, wire.port, patience=QUICKLY)):
        until(lambda: wire.broke == 1)
        deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
        until(lambda: len(inbound.arrivals) == 1)
    assert wire.connected >= 2


@pytest.mark.parametrize("word", [b"LOGIN", b"IDLE", b"FETCH"])
def test_a_server_that_is_silent_does_not_hold_up_the_end(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, word: bytes
) -> None:
    deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
    wire.breaks_at, wire.silent = word, True
    with started(mailbox(inbound.effects, wire.port)):
        until(lambda: wire.broke == 1)


def test_a_server_that_does_not_tell_is_asked(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IMAPClient, "has_capability", lambda _, name: name != "IDLE")
    with started(mailbox(inbound.effects, wire.port, patience=QUICKLY)):
        until(lambda: wire.connected >= 2)
        deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
        until(lambda: len(inbound.arrivals) == 1)
    assert wire.said.count(b"IDLE") == 0


def test_pop3_is_asked_again_and_again(inbound: Inbound, folder: IMAPClient, pop3_wire: dovecot.BreakingWire) -> None:
    with started(mailbox(inbound.effects, pop3_wire.port, scheme="pop3", patience=QUICKLY)):
        until(lambda: pop3_wire.connected >= 2)
        deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
        until(lambda: len(inbound.arrivals) == 1)


def test_a_report_that_was_put_off_is_read_again_before_the_connection_is_renewed(
    inbound: Inbound, claimed: int, folder: IMAPClient, wire: dovecot.BreakingWire
) -> None:
    deliver(folder, UNKNOWN, inbound.bounce_address(claimed))
    with started(mailbox(inbound.effects, wire.port, patience=Patience(look=0.02, renew=NEVER))):
        until(lambda: wire.said.count(b"FETCH") >= 3)
    assert (wire.connected, inbound.arrivals) == (1, [])


def test_whoever_is_confirmed_by_mail_wakes_the_sender(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, publication: object
) -> None:
    woken = list[bool]()
    octets = letter("please", sender=READER, subject="subscribe")
    with started(mailbox(inbound.effects, wire.port), lambda: woken.append(True)):
        deliver(folder, octets, f"belarus+subscribe-en@{DOMAIN}", READER)
        until(lambda: woken == [True])


def test_a_database_that_cannot_be_used_is_a_line_and_nothing_is_lost(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(folder, HELLO, f"editors@{DOMAIN}", READER)
    path = inbound.app.database.sqlite_path
    assert path is not None
    inbound.app.database.engine.dispose()
    away = path.rename(path.with_suffix(".away"))
    path.mkdir()
    with started(mailbox(inbound.effects, wire.port, patience=QUICKLY)):
        until(lambda: "cannot be opened" in caplog.text)
        path.rmdir()
        away.rename(path)
        until(lambda: len(inbound.arrivals) == 1)


async def test_a_worker_s_mailbox_is_looked_into_at_once_and_left_at_once(
    inbound: Inbound, folder: IMAPClient, wire: dovecot.BreakingWire, publication: object
) -> None:
    deliver(folder, letter("please", sender=READER, subject="subscribe"), f"belarus+subscribe-en@{DOMAIN}", READER)
    address, password = f"imap://inbound@127.0.0.1:{wire.port}/INBOX", SecretStr(dovecot.PASSWORD)
    told = {"inbound_mailbox": address, "inbound_mailbox_password": password}
    woken = asyncio.Event()
    ways = ways_in(inbound.app.settings.model_copy(update=told), inbound.effects, queued=woken.set)
    await ways.start()
    await asyncio.wait_for(woken.wait(), 20)
    async with asyncio.timeout(1.1):
        await ways.stop()
    assert ways.mailbox is not None
    assert not ways.mailbox.is_looking
