"""A fast SMTP sink: takes every mail, keeps none, counts all.

    python bench/sink.py 127.0.0.1:0 --without CHUNKING --tls CERTIFICATE KEY --record FILE

Offers PIPELINING (RFC 2920), 8BITMIME, SMTPUTF8, CHUNKING (RFC 3030), ENHANCEDSTATUSCODES and, with a certificate,
STARTTLS. A mail counts when its last octet has come, whether or not its reply can still be delivered.

One command is its own: `XSTAT` answers `250 msgs=N bytes=N conns=N`. With --record each mail is a line in FILE: its
recipient, a tab, its Message-ID; XSTAT flushes it.
"""

import argparse
import asyncio
import re
import ssl
from pathlib import Path
from typing import IO, cast

from bench import loops

FEATURES = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES", "STARTTLS")
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_COMMAND = re.compile(rb"[A-Za-z]+")
_RECIPIENT = re.compile(rb"<(.*)>")


class Counts:
    """What all connections took together."""

    def __init__(self, record: IO[bytes] | None) -> None:
        self.messages = self.octets = self.connections = 0
        self._record = record

    def take(self, recipient: bytes, content: bytes | None, octets: int) -> None:
        self.messages += 1
        self.octets += octets
        if self._record and content is not None:
            found = _MESSAGE_ID.search(content)
            self._record.write(recipient + b"\t" + (found[1] if found else b"") + b"\n")

    @property
    def records(self) -> bool:
        return self._record is not None

    def told(self) -> bytes:
        if self._record:
            self._record.flush()
        return b"250 msgs=%d bytes=%d conns=%d\r\n" % (self.messages, self.octets, self.connections)


class Connection(asyncio.Protocol):
    """One client. Commands and contents are read as they come, replies to what came together leave together."""

    def __init__(self, counts: Counts, features: tuple[str, ...], tls: ssl.SSLContext | None) -> None:
        self._counts, self._features, self._tls = counts, features, tls
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._replies = bytearray()
        self._recipient = b""
        self._in_data = False
        self._searched = 0  # of DATA, so that no octet is looked at twice
        self._chunk: int | None = None
        self._last = False
        self._content = bytearray()
        self._octets = 0
        self._starting_tls: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        is_new, self._transport = self._transport is None, cast(asyncio.Transport, transport)  # uvloop's is none
        if is_new:
            self._counts.connections += 1
            self.say(b"220 sink ESMTP\r\n")

    def say(self, reply: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(reply)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass
        if self._replies:
            self.say(bytes(self._replies))
            self._replies.clear()

    def _step(self) -> bool:
        """Reads one command or content. Returns False where more octets are needed."""
        if self._in_data:
            return self._read_data()
        if self._chunk is not None:
            return self._read_chunk(self._chunk)
        end = self._buffer.find(b"\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return self._obey(line)

    def _read_data(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n", self._searched)
        if end < 0:
            self._searched = max(len(self._buffer) - 4, 0)
            return False
        self._taken(self._buffer[:end], end + 5)
        del self._buffer[: end + 5]
        self._in_data = False
        return True

    def _read_chunk(self, wanted: int) -> bool:
        """A part of a message is let go as it comes: a chunk may be large."""
        part = min(wanted, len(self._buffer))
        if self._counts.records:
            self._content += self._buffer[:part]
        self._octets += part
        del self._buffer[:part]
        self._chunk = wanted - part
        if self._chunk:
            return False
        self._chunk = None
        if self._last:
            self._taken(self._content, self._octets)
            self._content.clear()
            self._octets = 0
        else:
            self._replies += b"250 2.0.0 Ok: chunk\r\n"
        return True

    def _taken(self, content: bytearray, octets: int) -> None:
        head = bytes(content[: max(content.find(b"\r\n\r\n"), 0)]) if self._counts.records else None
        self._counts.take(self._recipient, head, octets)
        self._replies += b"250 2.0.0 Ok: queued as 4XyZ1k2Pq3z9\r\n"

    def _obey(self, line: bytes) -> bool:
        found = _COMMAND.match(line)
        match found[0].upper() if found else b"":
            case b"MAIL":
                self._replies += b"250 2.1.0 Ok\r\n"
            case b"RCPT":
                named = _RECIPIENT.search(line)
                self._recipient = named[1] if named else b""
                self._replies += b"250 2.1.5 Ok\r\n"
            case b"DATA":
                self._in_data, self._searched = True, 0
                self._replies += b"354 End data with <CR><LF>.<CR><LF>\r\n"
            case b"BDAT":
                words = line.split()
                self._chunk, self._last = int(words[1]), words[-1].upper() == b"LAST"
            case b"EHLO":
                lines = [b"sink", *(feature.encode() for feature in self._features)]
                self._replies += b"".join(b"250-%s\r\n" % each for each in lines[:-1]) + b"250 %s\r\n" % lines[-1]
            case b"HELO" | b"RSET" | b"NOOP":
                self._replies += b"250 2.0.0 Ok\r\n"
            case b"XSTAT":
                self._replies += self._counts.told()
            case b"STARTTLS" if self._tls:
                self.say(bytes(self._replies) + b"220 2.0.0 Go ahead\r\n")
                self._replies.clear()
                self._buffer.clear()  # RFC 3207 §4.2: nothing said before counts
                self._starting_tls = asyncio.get_running_loop().create_task(self._secure(self._tls))
                return False
            case b"QUIT":
                self.say(bytes(self._replies) + b"221 2.0.0 Bye\r\n")
                self._replies.clear()
                if self._transport:
                    self._transport.close()
                return False
            case _:
                self._replies += b"500 5.5.2 What?\r\n"
        return True

    async def _secure(self, context: ssl.SSLContext) -> None:
        assert self._transport is not None
        try:
            secured = await asyncio.get_running_loop().start_tls(self._transport, self, context, server_side=True)
        except OSError:
            return  # the client went away; ssl's errors are OSErrors too
        self._transport = secured


async def serve(host: str, port: int, features: tuple[str, ...], tls: ssl.SSLContext | None, counts: Counts) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts, features, tls), host, port, backlog=512)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="HOST:PORT; port 0 takes a free one, which is printed")
    parser.add_argument("--without", action="append", default=[], choices=FEATURES, help="do not offer this")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="offer STARTTLS")
    parser.add_argument("--record", type=Path, help="write down who got what")
    wanted = parser.parse_args()
    context = None
    if wanted.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*wanted.tls)
    without = {*wanted.without, *(() if context else ("STARTTLS",))}
    features = tuple(feature for feature in FEATURES if feature not in without)
    host, _, port = wanted.address.rpartition(":")
    counts = Counts(wanted.record.open("wb") if wanted.record else None)
    loops.run(serve(host, int(port), features, context, counts))


if __name__ == "__main__":
    main()
