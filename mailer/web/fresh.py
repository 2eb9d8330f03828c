"""What a browser has already is not sent again: entity tags for everything public (RFC 9110 §8.8, §13)."""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OF_A_304 = ("cache-control", "content-language", "etag", "vary")


class Fresh:
    """Tags answers to GET and HEAD that may be kept, and answers 304 to whoever names the tag.

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
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = f'"{hashlib.sha256(body.get("body", b"")).hexdigest()[:24]}"'
    start = {**start, "headers": headers.raw}
    if not _has_it(asked, headers):
        return start, body
    kept = [(name, value) for name, value in headers.raw if name.decode("latin-1") in _OF_A_304]
    return {**start, "status": 304, "headers": kept}, {**body, "body": b""}


def _has_it(asked: Headers, headers: Headers) -> bool:
    """By the weak comparison (RFC 9110 §13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in ",".join(asked.getlist("if-none-match")).split(",")]
    return headers["etag"] in tags or "*" in tags
