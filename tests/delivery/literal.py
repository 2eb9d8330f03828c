"""A relay with PIPELINING and CHUNKING (tests/delivery/relay.py has neither) that says what it is told to.

It reads commands from the stream as they come, so what a client sends ahead is answered in order, and it keeps the
rules that a client may get wrong: MAIL inside a transaction is refused, BDAT without a recipient is swallowed.
"""

import asyncio
import re
from collections.abc import Callable, Iterable

Word = tuple[str, str]
"""A verb (EHLO, MAIL, RCPT, DATA, DOT, BDAT, RSET, QUIT) and the recipient it concerns, or ""."""

CLOSE = b""
"""Instead of an answer: the connection ends."""

TAKEN_WITHOUT_A_WORD = b"250"
"""Instead of an answer to the content: it is taken, and the connection ends."""

HANG = b"..."
"""Instead of an answer: nothing, for ever."""


class LiteralRelay:
    """`says`: an answer for a word instead of the usual one; None for the usual one, several to be sent together."""

    def __init__(self, *, offers: Iterable[str] = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8")) -> None:
        self.offers = list(offers)
        self.says: Callable[[str, str], bytes | None] = lambda verb, recipient: None
        self.cuts: Callable[[bytes], list[bytes]] = lambda octets: [octets]
        self.taken = list[tuple[str, bytes]]()
        self.words = list[Word]()
        self.connections = 0
        self.greeting = b"220 relay.test ESMTP\r\n"
        self.closes_after_421 = True
        self.most_connections = 1000
        self._server: asyncio.Server | None = None
        self._tasks = set[asyncio.Task[None]]()

    async def __aenter__(self) -> "LiteralRelay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Ends every connection."""
        for task in self._tasks:
            task.cancel()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        if len([each for each in self._tasks if not each.done()]) > self.most_connections:
            writer.write(b"421 4.7.0 Too many connections\r\n")
            writer.close()
            return
        try:
            await _Conversation(self, reader, writer).hold()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


class _Conversation:
    def __init__(self, relay: LiteralRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.relay, self.reader, self.writer = relay, reader, writer
        self.sender: str | None = None
        self.recipient = ""
        self.named = ""  # whom the transaction is about, also when it was refused

    async def hold(self) -> None:
        await self.send(self.relay.greeting)
        while line := await self.reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if not await self.answer(verb.upper(), rest):
                return

    async def answer(self, verb: str, rest: str) -> bool:
        usual = b"250 2.0.0 Ok\r\n"
        if verb == "EHLO":
            lines = ["relay.test", *self.relay.offers, "ENHANCEDSTATUSCODES"]
            usual = b"".join(b"250-%s\r\n" % line.encode() for line in lines[:-1]) + b"250 %s\r\n" % lines[-1].encode()
        elif verb == "MAIL":
            usual = b"250 2.1.0 Ok\r\n" if self.sender is None else b"503 5.5.1 Nested MAIL\r\n"
        elif verb == "RCPT":
            self.named = re.search("<(.*)>", rest)[1]  # type: ignore[index]
            usual = b"250 2.1.5 Ok\r\n" if self.sender is not None else b"503 5.5.1 MAIL first\r\n"
        elif verb == "DATA":
            usual = b"354 Go on\r\n" if self.recipient else b"503 5.5.1 RCPT first\r\n"
        elif verb == "QUIT":
            usual = b"221 2.0.0 Bye\r\n"
        octets = b""
        if verb == "BDAT":
            octets = await self.reader.readexactly(int(rest.split()[0]))
            usual = b"250 2.0.0 Taken\r\n" if self.recipient else b"503 5.5.1 RCPT first\r\n"
        said = self.say(verb, usual)
        if verb == "MAIL" and said.startswith(b"250"):
            self.sender = rest
        elif verb == "RCPT" and said.startswith(b"250"):
            self.recipient = self.named
        elif verb == "RSET":
            self.sender, self.recipient = None, ""
        elif verb == "BDAT":
            self.close_transaction(said, octets)
        await self.send(said)
        if verb == "DATA" and said.startswith(b"354"):
            said = await self.take_data()
            await self.send(said)
        if said.startswith(b"421") and self.relay.closes_after_421:
            return False
        return said != CLOSE and verb != "QUIT"

    def say(self, verb: str, usual: bytes) -> bytes:
        self.relay.words.append((verb, self.named if verb in ("RCPT", "DATA", "DOT", "BDAT") else ""))
        said = self.relay.says(verb, self.named)
        return usual if said is None else said

    async def take_data(self) -> bytes:
        lines = list[bytes]()
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionResetError  # without a dot nothing has been sent
            lines.append(line.removeprefix(b"."))
        usual = b"250 2.0.0 Taken\r\n" if self.recipient else b"554 5.5.1 No valid recipients\r\n"
        said = self.say("DOT", usual)
        self.close_transaction(said, b"".join(lines))
        return said

    def close_transaction(self, said: bytes, octets: bytes) -> None:
        if said.startswith(b"250") and self.recipient:
            self.relay.taken.append((self.recipient, octets))
        self.sender, self.recipient = None, ""

    async def send(self, octets: bytes) -> None:
        if octets == HANG:
            await asyncio.Event().wait()
        if octets == TAKEN_WITHOUT_A_WORD:
            raise ConnectionAbortedError
        for piece in self.relay.cuts(octets):
            self.writer.write(piece)
            await asyncio.sleep(0)
        await self.writer.drain()
