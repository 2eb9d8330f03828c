"""The server itself: what it reads before any page is asked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from mailer.app import App
from mailer.cli.serve import serve_pages, web_server
from mailer.web.http import LARGEST_HEADER

MUCH = 50_000_000  #: octets: more than systems keep between a sender and who reads no more

pytestmark = pytest.mark.sqlite


@contextlib.asynccontextmanager
async def served(app: App) -> AsyncIterator[int]:
    """The port at which the real server answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app.settings.__dict__["listen"] = f"127.0.0.1:{port}"
    server = web_server(app)
    running = asyncio.create_task(serve_pages(server, app.settings.listen))
    while not server.started:
        await asyncio.wait({running}, timeout=0.01)
        assert not running.done(), running.exception()
    yield port
    server.should_exit = True
    await running


async def statuses(port: int, *requests: bytes) -> list[int]:
    """Of the answers to requests that come in pieces, on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    octets = b"".join(requests)
    for begin in range(0, len(octets), 1000):
        writer.write(octets[begin : begin + 1000])
        await writer.drain()
    found = []
    for _ in requests:
        await reader.readuntil(b"HTTP/1.1 ")
        found.append(int(await reader.readexactly(3)))
    writer.close()
    return found


def request(octets: int, body: bytes = b"") -> bytes:
    """With one field of so many octets."""
    head = b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n" % len(body)
    return head + b"X-Long: " + b"x" * octets + b"\r\n\r\n" + body


async def test_a_header_without_end_is_hung_up_on(app: App) -> None:
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(0)[:-4])
        sent, answer = 0, b""
        with contextlib.suppress(ConnectionError):  # the answer is lost where we go on sending
            while not reader.at_eof() and sent < MUCH:
                writer.write(b"x" * 1000)
                await writer.drain()
                sent += 1000
            answer = await reader.read()
        writer.close()
    assert sent < MUCH
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def test_a_long_body_is_no_header_and_two_requests_are_counted_apart(app: App) -> None:
    size = 2 * LARGEST_HEADER // 3
    async with served(app) as port:
        assert await statuses(port, request(10, b"x" * 2 * LARGEST_HEADER)) == [405]
        assert await statuses(port, request(size), request(size), request(size)) == [405, 405, 405]
