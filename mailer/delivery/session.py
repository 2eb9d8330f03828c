"""One SMTP connection to the relay, a message at a time: the plain path (RFC 5321).

Every way a transaction can end comes back as a Reply with the stage it ended at; the connection is closed whenever
what the server will say next is no longer certain. aiosmtplib connects, secures, authenticates and frames replies;
MAIL and RCPT are written here, because its own methods pass addresses through a parser that can change them.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import aiosmtplib

from mailer.delivery.reply import Reply, Stage
from mailer.settings import TlsPolicy

_DOT_TIMEOUT_SECONDS = 600.0  # RFC 5321 §4.5.3.2.6


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
    timeout_seconds: float = 60


@dataclass(frozen=True)
class Envelope:
    """One mail to one reader, ready for the wire: CRLF line ends, no line begins with a dot."""

    sender: str
    recipient: str
    octets: bytes

    @property
    def needs_smtputf8(self) -> bool:
        """RFC 6531: the address has letters that ASCII lacks."""
        return not self.recipient.isascii()


class RelayUnusable(Exception):
    """No session could be opened. `reply` says at which word."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


class Session:
    """An open, greeted and authenticated connection."""

    def __init__(self, client: aiosmtplib.SMTP, relay: Relay) -> None:
        self._client = client
        self._relay = relay

    @classmethod
    async def open(cls, relay: Relay) -> "Session":
        """Connects by the relay's TLS policy. Raises RelayUnusable."""
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
            raise RelayUnusable(_heard(Stage.CONNECT, error.code, error.message)) from None
        except (OSError, aiosmtplib.SMTPException, ValueError) as error:
            raise RelayUnusable(Reply(Stage.CONNECT, None, _words(error))) from None
        return cls(client, relay)

    @property
    def usable(self) -> bool:
        return self._client.is_connected

    @property
    def smtputf8(self) -> bool:
        return self._client.supports_extension("smtputf8")

    async def send(self, envelope: Envelope) -> Reply:
        """One transaction. Whatever happens is in the reply; afterwards `usable` says if the session goes on."""
        if envelope.needs_smtputf8 and not self.smtputf8:
            return Reply(Stage.RCPT, 553, "5.6.7 The relay does not offer SMTPUTF8, which this address needs")
        stage = Stage.MAIL
        try:
            for stage, command in self._commands(envelope):
                answer = await self._client.execute_command(command)
                if not 200 <= answer.code < 300:
                    return await self._refused(_heard(stage, answer.code, answer.message))
            stage = Stage.DOT
            answer = await self._client.data(envelope.octets, timeout=_DOT_TIMEOUT_SECONDS)
            return _heard(Stage.DOT, answer.code, answer.message)
        except aiosmtplib.SMTPDataError as error:
            return await self._refused(_heard(Stage.DOT, error.code, error.message))
        except aiosmtplib.SMTPResponseException as error:
            return await self._refused(_heard(stage, error.code, error.message))
        except (OSError, aiosmtplib.SMTPException) as error:
            self.abort()
            return Reply(stage, None, _words(error))
        except BaseException:  # cancelled: one reply is still on its way and must meet nobody
            self.abort()
            raise

    def _commands(self, envelope: Envelope) -> list[tuple[Stage, bytes]]:
        options = " SMTPUTF8" if envelope.needs_smtputf8 else ""
        options += " BODY=8BITMIME" if not envelope.octets.isascii() else ""
        return [
            (Stage.MAIL, f"MAIL FROM:<{envelope.sender}>{options}".encode()),
            (Stage.RCPT, f"RCPT TO:<{envelope.recipient}>".encode()),
        ]

    async def _refused(self, reply: Reply) -> Reply:
        """Ends the transaction, so that the next begins on clean ground."""
        if self.usable and reply.code != 421:
            try:
                answer = await self._client.rset()
                if answer.code == 250:
                    return reply
            except (OSError, aiosmtplib.SMTPException):
                pass
        self.abort()
        return reply

    def abort(self) -> None:
        """Closes at once."""
        self._client.close()

    async def close(self) -> None:
        """Says goodbye, briefly."""
        if self.usable:
            with contextlib.suppress(OSError, aiosmtplib.SMTPException):
                await self._client.quit(timeout=2)
        self.abort()


def _tls_context(policy: TlsPolicy) -> ssl.SSLContext | None:
    if policy is TlsPolicy.OFF:
        return None
    context = ssl.create_default_context()
    if policy is TlsPolicy.REQUIRED:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _heard(stage: Stage, code: int, text: str) -> Reply:
    """The server's words as text that any database takes: aiosmtplib keeps octets that are no UTF-8 as surrogates."""
    octets = text.encode("utf-8", "surrogateescape")
    return Reply(stage, code, octets.decode("utf-8", "replace").replace("\0", ""))


def _words(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "timed out" if isinstance(error, TimeoutError | asyncio.TimeoutError) else text.splitlines()[0]
