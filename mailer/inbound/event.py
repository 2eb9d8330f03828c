"""What a provider tells of one mail (mailer.inbound.providers), and whose it may be."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from mailer.inbound.addresses import Use, ours
from mailer.inbound.incoming import Incoming
from mailer.tokens import Purpose


@dataclass(frozen=True, kw_only=True)
class Event:
    """It acts on the delivery that one of our own tokens in it names."""

    provider: str
    id: str  #: of the event with the provider, "" where it has none; the same event again has no effect
    incoming: Incoming  #: `Kind.OTHER` where it is not understood
    return_path: str = ""  #: the envelope sender of the mail
    message_id: str = ""  #: the Message-ID of the mail
    token: str = ""  #: that of the Message-ID, where the provider was handed it apart (MAILER_EVENTS_HEADER)
    octets: bytes  #: of the event, for people

    @property
    def digest(self) -> str:
        """Hex SHA-256 that knows the event again."""
        known = self.id.encode("utf-8", "replace") or self.octets
        return hashlib.sha256(b"event\0" + self.provider.encode() + b"\0" + known).hexdigest()


def tokens_of(event: Event, mail_domain: str) -> Iterator[tuple[Purpose, str]]:
    """What may be our tokens in an event; not yet known to be valid."""
    to = ours(event.return_path, mail_domain)
    if to and to.use is Use.RETURN_PATH:
        yield Purpose.RETURN_PATH, to.token
    named, _, domain = event.message_id.strip().strip("<>").partition("@")
    if domain.lower() == mail_domain:
        yield Purpose.MESSAGE_ID, named
    if event.token:
        yield Purpose.MESSAGE_ID, event.token
