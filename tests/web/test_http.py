"""The server itself: what it reads before any page is asked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mailer.app import App
from mailer.cli.serve import serve_pages, web_server
from mailer.web.http import LARGEST_HEADER

MUCH = 50_000_000  #: octets: more than systems keep between a sender and who reads no more

pytestmark = pytest.mark.sqlite


@contextlib.asynccontextmanager
async def served(app: App, pages: ASGIApp | None = None) -> AsyncIterator[int]:
    """The port at which the real server answers, with pages of ours or others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app.settings.__dict__["listen"] = f"127.0.0.1:{port}"
    server = web_server(app)
    server.config.app = pages or server.config.app
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


HEADER = request(0)[:-4]  #: one whose last field goes on
TRAILER = (
    b"POST /subscribe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n"
)


@pytest.mark.parametrize(
    ("begun", "goes_on"),
    [(HEADER, b"x" * 1000), (TRAILER, b"a: b\r\n" * 167), (TRAILER + b"X-Long: ", b"x" * 1000)],
    ids=["header", "trailers", "one trailer"],
)
async def test_fields_without_end_are_hung_up_on(app: App, begun: bytes, goes_on: bytes) -> None:
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < MUCH:
                writer.write(goes_on)
                await writer.drain()
                sent += len(goes_on)
        writer.close()
    assert sent < MUCH


@pytest.mark.parametrize("begun", [HEADER, TRAILER + b"X-Long: "], ids=["header", "trailer"])
async def test_a_header_that_is_too_large_is_answered_431(app: App, begun: bytes) -> None:
    async with served(app) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(1) + begun)
        await reader.readuntil(b"HTTP/1.1 405 ")  # so what is counted comes in pieces of its own
        writer.write(b"x" * (LARGEST_HEADER + 1))
        answer = await reader.read()
        writer.close()
    assert b"HTTP/1.1 431 Request Header Fields Too Large\r\n" in answer


async def test_no_431_is_read_as_the_answer_to_the_request_before(app: App) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await go_on.wait()
        await PlainTextResponse("")(scope, receive, send)

    async with served(app, slow) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(1) + HEADER)
        await asked.wait()
        writer.write(b"x" * (LARGEST_HEADER + 1))
        assert await reader.read() == b""
        go_on.set()
        writer.close()


async def test_what_follows_the_body_is_no_header(app: App) -> None:
    """Else a trailer would say what a proxy says of who asks, and its own header has been seen through."""
    seen = list[Any]()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(scope["headers"])
        await PlainTextResponse("")(scope, receive, send)

    async with served(app, noting) as port:
        assert await statuses(port, TRAILER + b"X-Forwarded-For: 203.0.113.7\r\n\r\n", request(1)) == [200, 200]
    assert [value for name, value in seen if name == b"transfer-encoding"] == [b"chunked"]
    assert b"x-forwarded-for" not in dict(seen)


async def test_a_long_body_is_no_header_and_two_requests_are_counted_apart(app: App) -> None:
    size = 2 * LARGEST_HEADER // 3
    async with served(app) as port:
        assert await statuses(port, request(10, b"x" * 2 * LARGEST_HEADER)) == [405]
        assert await statuses(port, request(size), request(size), request(size)) == [405, 405, 405]


async def test_who_hangs_up_in_the_midst_of_a_form_leaves_no_traceback(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    for whole in (TRAILER, request(1, b"x" * 9).replace(b"/health", b"/api/subscribe")):
        async with served(app) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(whole[:-5])
            await writer.drain()
            writer.close()
            assert await statuses(port, request(1)) == [405]
    assert [each.getMessage() for each in caplog.records if each.exc_info] == []
