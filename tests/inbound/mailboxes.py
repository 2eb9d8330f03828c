"""A real mailbox, as we, other programs and its server see it."""

import os
from collections.abc import Iterator

import pytest
from imapclient import IMAPClient

from mailer.inbound.effects import Effects
from mailer.inbound.mailbox import Mailbox, Patience
from mailer.inbound.ways import WAYS
from mailer.settings import MailboxAddress
from tests.inbound import dovecot
from tests.inbound.postfix import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[dovecot.Ports]:
    """A Dovecot."""
    why_not = dovecot.why_not()
    if why_not:
        if os.environ.get("CI") == "true":
            pytest.fail(why_not)
        pytest.skip(why_not)
    if other := dovecot.other_version():
        pytest.skip(other)
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
) -> Mailbox:
    address = MailboxAddress.parse(f"{scheme}://inbound@127.0.0.1:{port}")
    return Mailbox(address, WAYS[address.protocol](address, password), effects, patience)


def deliver(folder: IMAPClient, octets: bytes, to: str, sender: str = "") -> None:
    """As a server does: the envelope is kept in the header."""
    folder.append("INBOX", f"Return-Path: <{sender}>\nDelivered-To: {to}\n".encode() + octets)


def left(folder: IMAPClient) -> list[tuple[bytes, ...]]:
    """The flags of what is still there."""
    folder.noop()
    return [tuple(sorted(set(flags) - {b"\\Recent"})) for flags in folder.get_flags(folder.search()).values()]
