"""What is public is sent once, and small: entity tags and gzip (RFC 9110 §8.8, §13, §12.5.3)."""

import functools
import gzip
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SMALLEST = 500
"""Octets of a body that is worth compressing."""

_TEXTS = ("text/html", "text/css", "text/javascript", "application/xml", "application/atom+xml")
"""Media types that are compressed. JSON is none of them: some of it holds what must not be guessed from a length."""

_OF_A_304 = ("cache-control", "content-language", "etag", "vary")


class Fresh:
    """Tags answers to GET and HEAD that may be kept, compresses them, and answers 304 to whoever names the tag.

    Whatever is a reader's own goes uncompressed: a length beside what a stranger chose tells secrets (BREACH).

    No time is told and none is believed (If-Modified-Since): what is shown also changes by what time does not say, as
    when an issue is hidden, and whoever asked by time would keep it.

    Our answers come in one piece, so that the whole is known before its head is sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        held: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _may_be_kept(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    start, message = _tagged(Headers(scope=scope), start, message)
                await send(start)
            await send(message)

        await self.app(scope, receive, send_tagged)


def _may_be_kept(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == 200 and headers.get("cache-control", "").startswith("public")


def _tagged(asked: Headers, start: Message, body: Message) -> tuple[Message, Message]:
    headers, content = MutableHeaders(raw=list(start["headers"])), body.get("body", b"")
    tag = hashlib.sha256(content).hexdigest()[:24]
    small = False
    if len(content) >= SMALLEST and headers.get("content-type", "").partition(";")[0] in _TEXTS:
        headers.add_vary_header("Accept-Encoding")
        small = _takes_gzip(asked)
    headers["ETag"] = f'"{tag}-gzip"' if small else f'"{tag}"'  # two forms, two tags (RFC 9110 §8.8.3.3)
    if _has_it(asked, headers):
        kept = [(name, value) for name, value in headers.raw if name.decode("latin-1") in _OF_A_304]
        return {**start, "status": 304, "headers": kept}, {**body, "body": b""}
    if small:
        content = _compressed(content)
        headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(content))
    return {**start, "headers": headers.raw}, {**body, "body": content}


@functools.lru_cache(maxsize=64)
def _compressed(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def _takes_gzip(asked: Headers) -> bool:
    """Whether it is named, and not with a weight of 0 (RFC 9110 §12.5.3). Who says nothing gets the plain form."""
    for each in ",".join(asked.getlist("accept-encoding")).split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() == "gzip":
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight, re.IGNORECASE)
    return False


def _has_it(asked: Headers, headers: Headers) -> bool:
    """By the weak comparison (RFC 9110 §13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(asked.getlist("if-none-match")).split(",")]
    return headers["etag"] in tags or "*" in tags
