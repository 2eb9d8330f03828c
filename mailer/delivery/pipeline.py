"""Many mail transactions in one SMTP connection, without waiting where the standards need no waiting.

    off          a command at a time (RFC 5321)
    pipelining   MAIL, RCPT and DATA in one flight, the next flight behind the body (RFC 2920): a round trip a message
    chunking     MAIL, RCPT, BDAT and the body back to back, `window` messages before the first answer (RFC 3030)

Every command written adds the reply it expects to a queue, and replies are matched to it strictly in order. One
recipient a transaction, so a reply belongs to one delivery. Anything unexpected ends the connection, and each
transaction is settled as far as it is certain:

    refused before, connection lost      the refusal stands
    its last octet was written           unanswered at the dot: the relay may have it
    not so far                           unanswered before: the relay has not got it

After 421 the server closes and takes nothing more (RFC 5321 §3.8), so what was behind it has not been taken either, if
it does close.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, cast

from mailer.delivery.reply import Reply, Stage
from mailer.delivery.wire import ReplyReader, Violation, text_of
from mailer.settings import Pipelining

Settle = Callable[[Reply], None]

_DOT_SECONDS = 600.0  # RFC 5321 §4.5.3.2.6
_LINGER_SECONDS = 5.0
"""How long a server that said 421 may take to close."""

_AHEAD_SECONDS = 0.1
"""How much work a connection that goes message by message holds in advance: who leaves meanwhile still gets his."""

_PIECES = 64
"""Pieces that go to the transport together: a few messages, so that it can say when it has enough."""


class Envelope(NamedTuple):
    """One mail to one reader, ready for the wire.

    CRLF line ends, the last line ended, no line begins with a dot; ASCII, but for a recipient's own letters.
    """

    sender: str
    recipient: str
    content: Sequence[bytes]  #: pieces that are the mail when joined

    @property
    def needs_smtputf8(self) -> bool:
        """RFC 6531: the address has letters that ASCII lacks."""
        return not self.recipient.isascii()


class _Transaction:
    __slots__ = ("content_written", "envelope", "refusal", "settle")

    def __init__(self, envelope: Envelope, settle: Settle) -> None:
        self.envelope, self.settle = envelope, settle
        self.refusal: Reply | None = None
        self.content_written = False


_Expected = tuple[_Transaction | None, Stage]
_RESET: _Expected = (None, Stage.CONNECT)


class Pipeline(asyncio.Protocol):
    """Speaks for one connection. Belongs to one event loop; nothing in it waits."""

    def __init__(
        self,
        *,
        pipelining: Pipelining,
        window: int,
        smtputf8: bool,
        timeout_seconds: float,
        woken: Callable[[], None],
    ) -> None:
        self._mode, self._window = pipelining, window
        self._smtputf8 = smtputf8
        self._timeout, self._woken = timeout_seconds, woken
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._waiting = deque[_Transaction]()  # not begun
        self._unsent = deque[tuple[_Transaction | None, Stage, bytes]]()  # commands of the one that began
        self._expected = deque[_Expected]()
        self._awaits_data: _Transaction | None = None  # its 354 has not come: nothing may follow
        self._needs_reset = False
        self._paused = False
        self._said_421 = False
        self._is_closed = False  # by the server, or by the network
        self._quitting: asyncio.Future[None] | None = None
        self._average = _AHEAD_SECONDS  # seconds between verdicts while there is work
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.busy = 0
        self.was_used = False
        self.ended: Reply | None = None

    # Towards the sender

    @property
    def usable(self) -> bool:
        return self.ended is None and not self._said_421 and self._quitting is None

    @property
    def free(self) -> int:
        """Places for envelopes. Chunking fills its window; the others take no more than they send in a moment."""
        if not self.usable:
            return 0
        places = self._window
        if self._mode is not Pipelining.CHUNKING:
            places = min(places, 2 + int(_AHEAD_SECONDS / max(self._average, 1e-6)))
        return max(places - self.busy, 0)

    def submit(self, mails: Iterable[tuple[Envelope, Settle]]) -> None:
        """Takes envelopes. Each `settle` is called exactly once, perhaps at once."""
        for envelope, settle in mails:
            refusal = self._cannot_carry(envelope)
            if refusal or not self.usable:
                settle(refusal or Reply(Stage.MAIL, None, "the connection has ended"))
                continue
            if not self.busy:
                self._heard_at = self._loop.time()
                self._watch()
            self.busy += 1
            self.was_used = True
            self._waiting.append(_Transaction(envelope, settle))
        if self._waiting:
            self._pump()

    def _cannot_carry(self, envelope: Envelope) -> Reply | None:
        """What would fail for certain is not begun."""
        if envelope.needs_smtputf8 and not self._smtputf8:
            return Reply(Stage.RCPT, 553, "5.6.7 The relay does not offer SMTPUTF8, which this address needs")
        return None

    def recall(self, why: str) -> None:
        """Gives back what has not begun."""
        recalled, self._waiting = self._waiting, deque()
        self.busy -= len(recalled)
        for transaction in recalled:
            transaction.settle(Reply(Stage.MAIL, None, why))

    async def quit(self, seconds: float) -> None:
        """Ends the connection politely when nothing is under way, else at once."""
        if self.usable and not self.busy:
            self._quitting = self._loop.create_future()
            self._transport.write(b"QUIT\r\n")
            await asyncio.wait([self._quitting], timeout=seconds)
        self.abort("we closed the connection")

    def abort(self, why: str) -> None:
        """Ends the connection at once and settles everything."""
        self._end(Reply(Stage.CONNECT, None, why))

    # Writing

    def _pump(self) -> None:
        """Writes all that may be written now, in one piece."""
        pieces = list[bytes]()
        while not self._paused and not self._said_421:
            if self._unsent:
                if self._mode is Pipelining.OFF and self._expected:
                    break
                transaction, stage, command = self._unsent.popleft()
                self._expected.append((transaction, stage))
                pieces.append(command)
            elif self._waiting and self._may_begin():
                self._begin(self._waiting.popleft(), pieces)
                if len(pieces) >= _PIECES:  # the transport says when it has enough
                    self._write(pieces)
            else:
                break
        self._write(pieces)

    def _write(self, pieces: list[bytes]) -> None:
        if pieces:
            if self._encrypted:
                self._transport.write(b"".join(pieces))  # a record of its own for each piece would be dear
            else:
                self._transport.writelines(pieces)
            pieces.clear()
            self._watch()

    def _may_begin(self) -> bool:
        if self._mode is Pipelining.OFF:
            return not self._expected
        return self._awaits_data is None

    def _begin(self, transaction: _Transaction, pieces: list[bytes]) -> None:
        envelope = transaction.envelope
        options = " BODY=8BITMIME SMTPUTF8" if envelope.needs_smtputf8 else ""
        mail = f"MAIL FROM:<{envelope.sender}>{options}\r\n"
        rcpt = f"RCPT TO:<{envelope.recipient}>\r\n"
        if self._mode is Pipelining.CHUNKING:
            # A refusal leaves a transaction open (RFC 3030 §2), and the next has been written by then: RSET first.
            words = f"RSET\r\n{mail}{rcpt}BDAT {sum(map(len, envelope.content))} LAST\r\n"
            pieces += (words.encode(), *envelope.content)
            self._expected += (_RESET, (transaction, Stage.MAIL), (transaction, Stage.RCPT), (transaction, Stage.DOT))
            transaction.content_written = True
            return
        if self._needs_reset:
            self._needs_reset = False
            self._unsent.append((*_RESET, b"RSET\r\n"))
        self._unsent += (
            (transaction, Stage.MAIL, mail.encode()),
            (transaction, Stage.RCPT, rcpt.encode()),
            (transaction, Stage.DATA, b"DATA\r\n"),
        )
        self._awaits_data = transaction

    # Reading

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._encrypted = transport.get_extra_info("sslcontext") is not None

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            for code, octets in self._reader.feed(data):
                self._hear(code, octets)
        except Violation as violation:
            for transaction, _ in self._expected:  # what it said of them may have been about another
                if transaction:
                    transaction.refusal = None
            self._end(Reply(Stage.CONNECT, None, f"the relay did not keep to SMTP: {violation}"))
            return
        if self.ended is None:
            self._pump()
            self._woken()

    def _hear(self, code: int, octets: bytes) -> None:
        if self._quitting:
            if not self._quitting.done():
                self._quitting.set_result(None)
            return
        if code == 421:
            self._hear_421(octets)
            return
        if not self._expected:
            raise Violation(f"it said {code} when nothing was asked")
        transaction, stage = self._expected[0]
        if code == 250 and stage in _WORDS_ONLY and self._mode is not Pipelining.OFF:  # three of four answers
            self._expected.popleft()
            return
        _check(transaction, stage, code, octets)
        self._expected.popleft()
        if transaction is None:
            return
        if stage is Stage.DOT:
            self._finish(transaction, transaction.refusal or Reply(Stage.DOT, code, text_of(octets)))
        else:
            self._hear_word(transaction, stage, code, octets)

    def _hear_word(self, transaction: _Transaction, stage: Stage, code: int, octets: bytes) -> None:
        """The answer to MAIL, RCPT or DATA."""
        if code >= 400 and transaction.refusal is None:
            transaction.refusal = Reply(stage, code, text_of(octets))
        if self._mode is Pipelining.OFF and transaction.refusal:
            self._unsent.clear()
            self._fail(transaction)
        elif stage is Stage.DATA and code == 354:
            self._write_content(transaction)
        elif stage is Stage.DATA:
            self._fail(transaction)

    def _fail(self, transaction: _Transaction) -> None:
        """Ends a transaction before its content."""
        assert transaction.refusal is not None
        self._awaits_data = None
        self._needs_reset = True
        self._finish(transaction, transaction.refusal)

    def _write_content(self, transaction: _Transaction) -> None:
        """After 354. Where there is no recipient the server still waits for a dot (RFC 2920 §3.1)."""
        self._awaits_data = None
        self._expected.append((transaction, Stage.DOT))
        if transaction.refusal:
            self._write([b".\r\n"])
        else:
            transaction.content_written = True
            self._write([*transaction.envelope.content, b".\r\n"])

    def _finish(self, transaction: _Transaction, reply: Reply) -> None:
        now = self._loop.time()
        self._average += 0.2 * (now - self._heard_at - self._average)
        self._heard_at = now
        self.busy -= 1
        transaction.settle(reply)

    def _hear_421(self, octets: bytes) -> None:
        """The server closes. The word it answered is refused; what it says until then still counts."""
        transaction, stage = self._expected.popleft() if self._expected else (None, Stage.CONNECT)
        if not self._said_421:
            self._said_421 = True
            self._last_words = Reply(stage, 421, text_of(octets))
            self._loop.call_later(_LINGER_SECONDS, self._end, self._last_words)
        if transaction is None:
            return
        transaction.refusal = transaction.refusal or Reply(stage, 421, text_of(octets))
        if stage in (Stage.DATA, Stage.DOT):  # it has no more words to come
            self._finish(transaction, transaction.refusal)

    # The connection

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self.ended is None:
            self._pump()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed = True
        words = f"connection lost: {exc}" if exc else "the relay closed the connection"
        self._end(Reply(Stage.CONNECT, None, words))

    def _end(self, why: Reply) -> None:
        """Settles everything, once."""
        if self.ended is not None:
            return
        self.ended = self._last_words if self._said_421 else why
        if self._timer:
            self._timer.cancel()
        if self._quitting and not self._quitting.done():
            self._quitting.set_result(None)
        self._transport.abort()
        reached = dict[_Transaction, Stage]()  # the first word that was not answered
        for transaction, stage in [*self._expected, *((each, stage) for each, stage, _ in self._unsent)]:
            if transaction:
                reached.setdefault(transaction, stage)
        for transaction in self._waiting:
            reached[transaction] = Stage.MAIL
        self._expected.clear()
        self._unsent.clear()
        self._waiting.clear()
        self.busy = 0
        for transaction, stage in reached.items():  # last: what is settled may lead back here
            transaction.settle(transaction.refusal or self._unanswered(transaction, stage))
        self._woken()

    def _unanswered(self, transaction: _Transaction, stage: Stage) -> Reply:
        assert self.ended is not None
        if transaction.content_written and not (self._said_421 and self._is_closed):
            return Reply(Stage.DOT, None, self.ended.text)
        return Reply(Stage.DATA if stage is Stage.DOT else stage, None, self.ended.text)

    # Patience

    def _watch(self) -> None:
        """Looks after a while whether the server still answers."""
        self._asked_at = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.ended is not None or not self.busy:
            return
        patience = _DOT_SECONDS if self._expected and self._expected[0][1] is Stage.DOT else self._timeout
        left = max(self._heard_at, self._asked_at) + patience - self._loop.time()
        if left <= 0:
            self._end(Reply(Stage.CONNECT, None, "timed out"))
        else:
            self._timer = self._loop.call_later(min(left, self._timeout), self._look)  # what is awaited may change


def _check(transaction: _Transaction | None, stage: Stage, code: int, octets: bytes) -> None:
    """Whether this can be the answer to what was asked. Raises Violation."""
    if code not in _YES[stage] and (code < 400 or transaction is None):
        raise Violation(f"it answered {_WORDS[stage]} with {code}")
    if stage is Stage.DOT and code < 400 and transaction:
        if transaction.refusal:
            raise Violation("it took what it had refused")
        if octets.startswith((b"2.1.0", b"2.1.5")):  # RFC 3463 §3.2: of addresses, never of content
            raise Violation("its answers are out of step")


_YES = {stage: {250, 251, 252} for stage in Stage} | {Stage.DATA: {354}}
_WORDS = {**{stage: stage.upper() for stage in Stage}, Stage.CONNECT: "RSET", Stage.DOT: "the content"}
_WORDS_ONLY = {Stage.CONNECT, Stage.MAIL, Stage.RCPT}  # RSET, MAIL, RCPT: a yes to them decides nothing yet
