"""A real mailbox, as we, other programs and its server see it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import pytest
from imapclient import IMAPClient

from mailer.inbound.effects import Effects
from mailer.inbound.mailbox import Mailbox, Patience
from mailer.inbound.ways import WAYS
from mailer.settings import MailboxAddress
from tests.inbound import dovecot
from tests.inbound.postfix import free_port


def unless_there_is_none() -> None:
    """Skips with a reason, and never in CI."""
    why_not = dovecot.why_not()
    if why_not:
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    if other := dovecot.other_version():
        pytest.skip(other)


@pytest.fixture(scope="module")
def server() -> Iterator[dovecot.Ports]:
    """A Dovecot."""
    unless_there_is_none()
    ports = dovecot.Ports(imap=free_port(), pop3=free_port())
    with dovecot.running(port=ports.imap, pop3_port=ports.pop3):
        yield ports


@pytest.fixture
def folder(server: dovecot.Ports) -> Iterator[IMAPClient]:
    """The mailbox as another program sees it, empty."""
    client = IMAPClient("127.0.0.1", server.imap, ssl=False)
    client.login("inbound", dovecot.PASSWORD)
    client.select_folder("INBOX")
    client.delete_messages(client.search())
    client.expunge()
    yield client
    client.logout()


@pytest.fixture
def wire(server: dovecot.Ports) -> Iterator[dovecot.BreakingWire]:
    """To IMAP."""
    wire = dovecot.BreakingWire(server.imap)
    yield wire
    wire.close()


@pytest.fixture
def pop3_wire(server: dovecot.Ports) -> Iterator[dovecot.BreakingWire]:
    wire = dovecot.BreakingWire(server.pop3)
    yield wire
    wire.close()


def mailbox(
    effects: Effects,
    port: int,
    password: str = dovecot.PASSWORD,
    *,
    scheme: str = "imap",
    patience: Patience | None = None,
    host: str = "127.0.0.1",
    folder: str = "",
) -> Mailbox:
    address = MailboxAddress.parse(f"{scheme}://inbound@{host}:{port}" + (f"/{folder}" if folder else ""))
    return Mailbox(address, WAYS[address.protocol](address, password), effects, patience)


def deliver(folder: IMAPClient, octets: bytes, to: str, sender: str = "") -> None:
    """As a server does: the envelope is kept in the header."""
    folder.append("INBOX", f"Return-Path: <{sender}>\nDelivered-To: {to}\n".encode() + octets)


def left(folder: IMAPClient) -> list[tuple[bytes, ...]]:
    """The flags of what is still there."""
    folder.noop()
    return [tuple(sorted(set(flags) - {b"\\Recent"})) for flags in folder.get_flags(folder.search()).values()]


@contextlib.contextmanager
def started(mailbox: Mailbox, queued: Callable[[], None] = lambda: None) -> Iterator[None]:
    mailbox.start(queued)
    try:
        yield
    finally:
        began = time.monotonic()
        mailbox.stop()
        mailbox.join()
        assert time.monotonic() - began < 1.1
        assert not mailbox.is_looking


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.01)
