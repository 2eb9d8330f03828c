"""A server that mail servers hand us mail to, by LMTP (RFC 2033) or SMTP (RFC 5321) on one port.

One recipient a transaction, so that one answer says what became of the mail: 250 once its effect is committed, 451
where it cannot be now. Lines end in CRLF and nothing else: a bare CR or LF is what smuggles a second mail past a
server. A mail that has one, or is too large, is taken all the same and waits for a person: whoever handed it in would
have to return it, and a report has nobody to be returned to.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

from mailer.database import DatabaseError
from mailer.delivery.ledger.returning import StillSending
from mailer.errors import MailerError
from mailer.inbound.addresses import ours
from mailer.inbound.effects import Effects, Taken
from mailer.inbound.letter import Letter
from mailer.inbound.quarantine import KEPT, QuarantineFull
from mailer.printable import where

log = logging.getLogger(__name__)
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd's own: warnings there repeat what strangers said

SIZE = KEPT  #: octets of a mail; of a larger one the beginning is kept
READ = 10 * SIZE  #: octets of a mail that are read, kept or not; who has more is cut off
TOGETHER = 32 * 1024 * 1024  #: octets that all connections hold at once
CONNECTIONS = 20
LINE = 64 * 1024  #: octets; servers that return a message do not always fold it
TIMEOUT_SECONDS = 300.0  #: for a command, and for the whole of a mail (RFC 5321 §4.5.3.2.7 and .8)
THREADS = 2
DRAIN_SECONDS = 30.0

_BARE = "its lines do not all end in CRLF"
_LONG = f"a line of it is longer than {LINE} octets"
_LARGE = "it is too large; its beginning was kept"


class Receiver:
    """Takes mail from start() to stop()."""

    def __init__(self, listen: str, effects: Effects, mail_domain: str, *, queued: Callable[[], None]) -> None:
        """`queued` is called in the loop when a mail that came in calls for one that goes out."""
        self._listen, self._effects, self._mail_domain, self._queued = listen, effects, mail_domain, queued
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="inbound")
        self._server: asyncio.Server | None = None
        self._open = set[_Dialogue]()
        self._taking = set[asyncio.Future[Taken]]()
        self.held = 0  #: octets of mails that are coming in

    @property
    def is_listening(self) -> bool:
        return self._server is not None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises MailerError where the address is taken."""
        host, _, port = self._listen.rpartition(":")
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connect, host.strip("[]"), int(port))
        except OSError as error:
            raise MailerError(
                f"MAILER_INBOUND_LISTEN: {self._listen} cannot be used ({error.strerror or error})."
                " Is another mailer running? Stop it, or choose another port."
            ) from None

    async def stop(self) -> None:
        """What is being acted on is finished; whoever has no answer by then hands the mail in again."""
        if self._server is None:
            return
        self._server.close()
        if self._taking:
            await asyncio.wait(self._taking, timeout=DRAIN_SECONDS)
            await asyncio.sleep(0)  # their answers are written
        for dialogue in list(self._open):
            dialogue.hang_up()
        self._threads.shutdown(wait=False)
        self._server = None

    def _connect(self) -> asyncio.Protocol:
        if len(self._open) >= CONNECTIONS:
            return _Busy()
        return _Dialogue(self, self._open)

    # What aiosmtpd calls

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient at a time"
        if ours(address, self._mail_domain) is None:
            return f"550 5.7.1 Only mail for {self._mail_domain} is taken here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    def hold(self, octets: int) -> bool:
        """Whether there is room for so many more octets, over all connections. They are held until release()."""
        if self.held + octets > TOGETHER:
            return False
        self.held += octets
        return True

    def release(self, octets: int) -> None:
        self.held -= octets

    async def answer(self, letter: Letter) -> str:
        """Acts on the mail in a thread, and says what came of it."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._effects.take, letter)
        self._taking.add(future)
        future.add_done_callback(self._taking.discard)
        try:
            taken = await asyncio.shield(future)
        except StillSending as problem:
            return f"451 4.3.0 {problem}; try again"
        except QuarantineFull as problem:
            log.error("mail that came in is put off: %s", problem, extra={"action": "quarantine-full"})
            return "452 4.3.1 There is no room for it now; try again"
        except DatabaseError as problem:
            log.error("database: %s", problem, extra={"action": "inbound"})
            return "451 4.3.0 The database cannot take it now; try again"
        except Exception as error:
            log.error("a mail that came in could not be taken: %s", where(error), extra={"action": "inbound-defect"})
            return "451 4.3.0 Something is wrong here; try again"
        if taken.queued:
            self._queued()
        return f"250 2.0.0 {taken.effect}"


class _Busy(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"421 4.3.2 Too many connections; try again\r\n")
        transport.close()


class _Dialogue(SMTP):
    """One connection. Says LHLO as well, and reads a mail without a copy of each line."""

    line_length_limit = LINE

    def __init__(self, receiver: Receiver, among: set["_Dialogue"]) -> None:
        super().__init__(
            receiver,
            data_size_limit=READ,
            enable_SMTPUTF8=True,
            decode_data=False,
            ident="mailer",
            timeout=TIMEOUT_SECONDS,
            loop=asyncio.get_running_loop(),
        )
        self._receiver, self._among = receiver, among

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._among.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._among.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.close()

    @syntax("LHLO hostname")
    async def smtp_LHLO(self, arg: str) -> None:  # noqa: N802
        await self.smtp_EHLO(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if arg or not self.envelope.rcpt_tos:
            await self.push("501 5.5.4 Syntax: DATA" if arg else "503 5.5.1 RCPT comes first")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = _Content(self._receiver)
        try:
            await self._read_into(content)
            answer = content.refusal or await self._receiver.answer(
                Letter(
                    octets=bytes(content.octets),
                    road="receiver",
                    recipient=self.envelope.rcpt_tos[0],
                    sender=(self.envelope.mail_from or "").removeprefix("<>"),  # how aiosmtpd writes the null sender
                    size=content.size,
                    flaw=content.flaw,
                )
            )
        finally:
            content.release()
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(answer)
        if content.size > READ:
            self.hang_up()

    async def _read_into(self, content: "_Content") -> None:
        """The mail up to the dot that ends it, or as much of it as is read at all."""
        at_start = True
        while content.size <= READ:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as overrun:
                line = await self._reader.read(overrun.consumed)
                content.flaw = content.flaw or _LONG
            if at_start and line == b".\r\n":
                return
            content.add(line[1:] if at_start and line.startswith(b".") else line)
            at_start = line.endswith(b"\r\n")
        log.error("a mail of more than %d octets was handed in and cut off", READ, extra={"action": "inbound-large"})
        content.refuse(f"552 5.3.4 More than {READ} octets")


class _Content:
    """The octets of one mail as they come, bounded by themselves and together with those of the other connections."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.octets = bytearray()
        self.size = 0  #: of the whole mail
        self.flaw = ""  #: why no program acts on it
        self.refusal = ""

    def add(self, line: bytes) -> None:
        """A line, or a piece of one that is too long."""
        self.size += len(line)
        text = line.removesuffix(b"\r\n")
        if b"\n" in text or b"\r" in text:
            self.flaw = self.flaw or _BARE
        kept = line[: max(0, SIZE - len(self.octets))]
        if len(kept) < len(line):
            self.flaw = _LARGE
        if self.refusal or not kept:
            return
        if self._receiver.hold(len(kept)):
            self.octets += kept
        else:
            self.refuse("452 4.3.1 Too much is handed in at once; try again")

    def refuse(self, why: str) -> None:
        self.refusal = self.refusal or why
        self.release()

    def release(self) -> None:
        self._receiver.release(len(self.octets))
        self.octets = bytearray()
