"""A mail as it came in, and what it means."""

import hashlib
import re
from dataclasses import dataclass, replace

from mailer.inbound import mime
from mailer.inbound.addresses import Ours
from mailer.inbound.diagnosis import DIAGNOSTIC
from mailer.inbound.event import Event
from mailer.inbound.incoming import Incoming
from mailer.subscribers.address import Address


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail as it came in."""

    octets: bytes
    road: str  #: "receiver", "mailbox", or the provider that told of it
    recipient: str | None  #: of the envelope; None where it is gone and the header must say
    sender: str | None  #: of the envelope, "" for the null sender; None where it is gone
    size: int = 0  #: octets of the whole mail, where there are more than `octets`
    flaw: str = ""  #: why no program may act on it, such as line ends that smuggle


@dataclass(frozen=True)
class ReadLetter:
    """One that was taken apart, and what it means."""

    letter: Letter
    to: Ours | None
    message: mime.Message
    incoming: Incoming
    sender: str | None = None  #: of the envelope, as far as it is known
    author: Address | None = None  #: the one address that it is from
    event: Event | None = None  #: what a provider told instead of a mail

    @property
    def digest(self) -> str:
        return self.event.digest if self.event else digest(self.letter.octets, self.to)


def digest(octets: bytes, to: Ours | None) -> str:
    """Hex SHA-256 that knows the same mail again, on whatever way and with whatever line ends it came."""
    octets = octets.replace(b"\r\n", b"\n").lstrip(b"\n")
    header, gap, body = octets.partition(b"\n\n")
    whole = _TRACE.sub(b"", header + b"\n") + gap + body.rstrip(b"\n")
    whole += b"\0" + (to.text.lower().encode("utf-8", "replace") if to else b"")
    return hashlib.sha256(whole).hexdigest()


#: What servers on the way add.
_TRACE = re.compile(
    rb"^(?:From |(?:Received|Return-Path|Delivered-To|Envelope-To|Delivery-date|Status"
    rb"|X-(?:Original-To|Envelope-\w+|Delivered-To|UIDL?|Status|Spam-[\w-]+|Virus-[\w-]+)|Authentication-Results"
    rb"|Received-SPF)[ \t]*:).*\n(?:[ \t].*\n)*",
    re.MULTILINE | re.IGNORECASE,
)


def storable(incoming: Incoming) -> Incoming:
    """The same without what PostgreSQL refuses to store."""
    recipients = tuple(
        replace(each, diagnostic=text(each.diagnostic), status=text(each.status)) for each in incoming.recipients
    )
    return replace(incoming, recipients=recipients, feedback=text(incoming.feedback), reporter=text(incoming.reporter))


def text(value: str | None) -> str | None:
    """As every database stores it."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:DIAGNOSTIC] if value else value
