"""The mailbox behind TLS, on a real Dovecot."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from imapclient import IMAPClient

from mailer.inbound.mailbox import Patience
from tests.inbound import dovecot
from tests.inbound.conftest import DOMAIN, Inbound
from tests.inbound.letters import READER, letter
from tests.inbound.mailboxes import deliver, mailbox, started, unless_there_is_none, until
from tests.inbound.postfix import free_port

pytestmark = pytest.mark.sqlite  # what differs by database is tested without Dovecot

HELLO = letter("Hello", sender=READER, subject="Hello")


@pytest.fixture(scope="module")
def ports(certificate: tuple[Path, Path]) -> Iterator[dict[str, int]]:
    """By scheme."""
    unless_there_is_none()
    ports = {"imap": free_port(), "imaps": free_port(), "pop3s": free_port()}
    with dovecot.running(
        port=ports["imap"], tls_port=ports["imaps"], pop3s_port=ports["pop3s"], certificate=certificate
    ):
        yield ports


@pytest.fixture
def inside(ports: dict[str, int]) -> Iterator[IMAPClient]:
    with IMAPClient("127.0.0.1", ports["imap"], ssl=False) as client:
        client.login("inbound", dovecot.PASSWORD)
        client.select_folder("INBOX")
        yield client


@pytest.mark.parametrize("scheme", ["imaps", "pop3s"])
def test_a_certificate_that_nobody_trusts_is_refused(
    inbound: Inbound, ports: dict[str, int], scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox(inbound.effects, ports[scheme], scheme=scheme).look()
    assert "certificate verify failed" in caplog.text


@pytest.mark.parametrize("scheme", ["imaps", "pop3s"])
def test_mail_is_acted_on_when_it_comes(
    inbound: Inbound,
    ports: dict[str, int],
    inside: IMAPClient,
    scheme: str,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    patience = Patience(look=0.05, renew=3600)
    with started(mailbox(inbound.effects, ports[scheme], scheme=scheme, patience=patience, host="localhost")):
        deliver(inside, HELLO + scheme.encode(), f"editors@{DOMAIN}", READER)
        until(lambda: len(inbound.arrivals) >= 1)
