"""One connection to a relay: opened, secured and authenticated by aiosmtplib, then handed to the pipeline.

    client = SMTP.connect() ─ STARTTLS, EHLO, AUTH ─> its transport ─ set_protocol ─> Pipeline

aiosmtplib sends one command at a time and waits for its answer; over 80 ms that is four waits a message. What the
pipeline does instead is decided here by what the relay offers and what the operator allows.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import cast

import aiosmtplib

from mailer.delivery.pipeline import Envelope, Pipeline, Settle
from mailer.delivery.reply import Reply, Stage
from mailer.settings import Pipelining, TlsPolicy

__all__ = ["Envelope", "Limits", "Relay", "RelayUnusable", "Session"]

_GOODBYE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a relay may be given. None: as much as it takes."""

    per_second: float | None = None
    per_hour: int | None = None
    per_day: int | None = None
    warm_up_from: date | None = None  #: UTC; from this day a new address gets `warm_up_first_day`, doubled each day
    warm_up_first_day: int = 200

    @property
    def are_counted(self) -> bool:
        """Whether the database counts what the relay is given."""
        return bool(self.per_hour or self.per_day or self.warm_up_from)


@dataclass(frozen=True, kw_only=True)
class Relay:
    """Our way out."""

    name: str
    host: str
    port: int
    tls: TlsPolicy
    username: str | None = None
    password: str | None = None
    connections: int = 10
    pipelining: Pipelining = Pipelining.CHUNKING  #: the most that is used of what the relay offers
    window: int = 16  #: messages a connection may have under way: what a crash can leave uncertain
    timeout_seconds: float = 60
    weight: int = 1  #: its share among several; 0: only when no other can
    limits: Limits = Limits()


class RelayUnusable(Exception):
    """No session could be opened. `reply` says at which word."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Session:
    """An open, greeted and authenticated connection."""

    def __init__(self, pipeline: Pipeline, relay: Relay) -> None:
        self._pipeline = pipeline
        self.relay = relay

    @classmethod
    async def open(cls, relay: Relay, woken: Callable[[], None] = lambda: None) -> "Session":
        """Connects by the relay's TLS policy. Raises RelayUnusable. `woken` is called when a place becomes free."""
        client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            timeout=relay.timeout_seconds,
            use_tls=relay.tls is not TlsPolicy.OFF and relay.port == 465,  # RFC 8314 §3.3
            start_tls=relay.tls is not TlsPolicy.OFF and relay.port != 465,
            tls_context=_tls_context(relay.tls),
        )
        try:
            await client.connect()
            await client.ehlo()
        except aiosmtplib.SMTPResponseException as error:
            raise RelayUnusable(_heard(error.code, error.message)) from None
        except (OSError, aiosmtplib.SMTPException, ValueError) as error:
            raise RelayUnusable(Reply(Stage.CONNECT, None, _words(error))) from None
        transport = cast(asyncio.Transport | None, client.transport)
        if transport is None or transport.is_closing():
            raise RelayUnusable(Reply(Stage.CONNECT, None, "the relay closed the connection after its greeting"))
        pipeline = Pipeline(
            pipelining=_agreed(client, relay),
            window=relay.window,
            smtputf8=client.supports_extension("smtputf8") and client.supports_extension("8bitmime"),  # RFC 6531 §3.1
            timeout_seconds=relay.timeout_seconds,
            woken=woken,
        )
        transport.set_protocol(pipeline)
        pipeline.connection_made(transport)
        return cls(pipeline, relay)

    @property
    def usable(self) -> bool:
        """Whether it takes another envelope, now or when a place is free."""
        return self._pipeline.usable

    @property
    def free(self) -> int:
        """How many more envelopes it would take now."""
        return self._pipeline.free

    @property
    def busy(self) -> int:
        """How many envelopes wait for their verdict."""
        return self._pipeline.busy

    @property
    def was_used(self) -> bool:
        """Whether it was given any mail."""
        return self._pipeline.was_used

    @property
    def ended(self) -> Reply | None:
        """Why the connection ended, where it did so before we wished it."""
        return self._pipeline.ended

    def submit(self, mails: Iterable[tuple[Envelope, Settle]]) -> None:
        """Sends as soon as it can. Each `settle` gets the reply to its envelope, exactly once, whatever happens."""
        self._pipeline.submit(mails)

    def recall(self, why: str) -> None:
        """Gives back what has not begun."""
        self._pipeline.recall(why)

    def abort(self) -> None:
        """Closes at once. What is under way is settled as far as it is known."""
        self._pipeline.abort("we closed the connection")

    async def close(self) -> None:
        """Says goodbye, briefly."""
        await self._pipeline.quit(_GOODBYE_SECONDS)


def _agreed(client: aiosmtplib.SMTP, relay: Relay) -> Pipelining:
    """The most that both sides can: BDAT without pipelining would only add words."""
    if relay.pipelining is Pipelining.OFF or not client.supports_extension("pipelining"):
        return Pipelining.OFF
    if relay.pipelining is Pipelining.CHUNKING and client.supports_extension("chunking"):
        return Pipelining.CHUNKING
    return Pipelining.PIPELINING


def _tls_context(policy: TlsPolicy) -> ssl.SSLContext | None:
    if policy is TlsPolicy.OFF:
        return None
    context = ssl.create_default_context()
    if policy is TlsPolicy.REQUIRED:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _heard(code: int, text: str) -> Reply:
    """The server's words as text that any database takes: aiosmtplib keeps octets that are no UTF-8 as surrogates.

    Its code is -1 where the server did not speak SMTP.
    """
    octets = text.encode("utf-8", "surrogateescape")
    return Reply(
        Stage.CONNECT, code if 200 <= code < 600 else None, octets.decode("utf-8", "replace").replace("\0", "")
    )


def _words(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "timed out" if isinstance(error, TimeoutError | asyncio.TimeoutError) else text.splitlines()[0]
