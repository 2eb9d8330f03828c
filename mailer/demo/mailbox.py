"""The demo's relay: a real SMTP server that catches everything, refuses for some addresses, and shows what it has."""

import asyncio
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailer.rendering.decoded import parse

GREYLISTED = "451 4.7.1 Greylisted, please try again in 2 seconds"
CLOSED = "550 5.1.1 The mailbox was closed"


@dataclass(frozen=True)
class Caught:
    """One mail as it arrived."""

    number: int
    recipient: str
    subject: str
    issue: str | None  #: the first word of Feedback-ID
    languages: str
    packed: bytes = field(repr=False)

    def message(self) -> EmailMessage:
        return parse(zlib.decompress(self.packed))


class Mailbox:
    """Everybody's mailbox. Used from the event loop only."""

    def __init__(self) -> None:
        self.mails = list[Caught]()
        self.of = defaultdict[str, list[Caught]](list)
        self._arrived = defaultdict[str, asyncio.Event](asyncio.Event)
        self.refused = set[str]()  #: whose closed mailbox was knocked at
        self._closed = set[str]()
        self._greylisting = set[str]()

    def close(self, address: str) -> None:
        """From now on this mailbox does not exist."""
        self._closed.add(address)

    def greylist(self, address: str) -> None:
        """The next attempt is refused for two seconds."""
        self._greylisting.add(address)

    async def first(self, address: str, timeout_seconds: float = 60) -> Caught:
        """The first mail to `address`, as soon as it is there. Raises TimeoutError."""
        await asyncio.wait_for(self._arrived[address].wait(), timeout_seconds)
        return self.of[address][0]

    def serve(self) -> SMTP:
        """One connection's server: the factory for loop.create_server."""
        return SMTP(self, hostname="demo.mailer", enable_SMTPUTF8=True, decode_data=False)

    # aiosmtpd calls these

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self._closed:
            self.refused.add(address)
            return CLOSED
        if address in self._greylisting:
            self._greylisting.discard(address)
            return GREYLISTED
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        head = parse(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        for recipient in envelope.rcpt_tos:
            caught = Caught(
                number=len(self.mails),
                recipient=recipient,
                subject=str(head["Subject"]),
                issue=str(head["Feedback-ID"]).partition(":")[0] if head["Feedback-ID"] else None,
                languages=str(head["Content-Language"]),
                packed=zlib.compress(content, 1),
            )
            self.mails.append(caught)
            self.of[recipient].append(caught)
            self._arrived[recipient].set()
        return f"250 2.0.0 Caught as {len(self.mails) - 1}"
