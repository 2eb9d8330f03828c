"""A real SMTP server that does as it is told: the relay of the tests."""

import asyncio
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

Script = Callable[[str], str | None]


class ScriptedRelay:
    """Answers by script. What it took is in `taken`: recipient -> contents, in order.

    `at_mail`, `at_rcpt`, `at_dot`: recipient's (or sender's) address -> a reply, or None for yes.
    """

    def __init__(self) -> None:
        self.taken = defaultdict[str, list[bytes]](list)
        self.senders = list[str]()
        self.at_mail: Script = lambda _: None
        self.at_rcpt: Script = lambda _: None
        self.at_dot: Script = lambda _: None
        self.drops_after_dot = set[str]()  #: takes the mail, then closes the connection without a word
        self.connections = 0
        self.options: dict[str, Any] = {}
        self._server: asyncio.Server | None = None
        self._protocols = list[SMTP]()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._connect, "127.0.0.1", port)

    async def stop(self) -> None:
        """Goes away with all its connections."""
        if self._server is None:
            return
        self._server.close()
        for protocol in self._protocols:
            _abort(protocol)
        await asyncio.sleep(0)
        self._server = None

    def _connect(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings(action="ignore"):  # aiosmtpd warns of login without TLS; here that is meant
            options: dict[str, Any] = {"enable_SMTPUTF8": True, **self.options}
            protocol = SMTP(self, hostname="relay.test", decode_data=False, **options)
        self._protocols.append(protocol)
        return protocol

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self.at_mail(address)
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        self.senders.append(address)
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self.at_rcpt(address)
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        (recipient,) = envelope.rcpt_tos
        refusal = self.at_dot(recipient)
        if refusal:
            return refusal
        assert isinstance(envelope.content, bytes)
        self.taken[recipient].append(envelope.content)
        if recipient in self.drops_after_dot:
            self.drops_after_dot.discard(recipient)
            _abort(server)
        return "250 2.0.0 Taken"


def _abort(protocol: SMTP) -> None:
    if isinstance(protocol.transport, asyncio.WriteTransport):
        protocol.transport.abort()
