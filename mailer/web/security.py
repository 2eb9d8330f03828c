"""What every response carries and every request must keep to, whatever page it is about."""

import ipaddress
import logging
import re
from collections.abc import Sequence

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailer.subscribers import network

LARGEST_BODY = 64 * 1024
"""Octets in a request's body; our longest form needs a few hundred."""

LARGEST_EVENTS = 1024 * 1024
"""Octets of what a provider tells at once: SendGrid up to 768 kB, SNS 256 KiB in JSON within JSON."""

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

WITH_SCRIPT = HEADERS["content-security-policy"] + "; script-src 'self'; worker-src 'self'"
"""The policy of the one page whose work a script does, from our own address."""

FOR_EVERY_ORIGIN = "/api/"
"""What pages of other sites may ask for and read, without cookies (Fetch §3.3)."""

_log = logging.getLogger(__name__)


class Guard:
    """The outermost layer: adds HEADERS, bounds the body, and lets no exception out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(FOR_EVERY_ORIGIN):
                    headers["access-control-allow-origin"] = "*"
                    headers["access-control-expose-headers"] = "Retry-After"
            await send(message)

        try:
            await self.app(scope, _bounded(scope, receive), send_with_headers)
        except Exception:
            _log.exception("action=answer outcome=failed method=%s", scope["method"])  # no path: it may hold a token
            if started:
                raise  # half a page is on the wire; the server closes the connection
            failure = PlainTextResponse("Something went wrong on our side. Please try again later.\n", status_code=500)
            await failure(scope, receive, send_with_headers)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Reads no more than is allowed. What is announced as longer is refused before it is read (RFC 9110 §15.5.14)."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    largest = LARGEST_EVENTS if scope["path"].startswith("/api/events/") else LARGEST_BODY
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        if declared.isdigit() and int(declared[:20]) > largest:
            raise HTTPException(413)
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > largest:
            raise HTTPException(413)
        return message

    return receive_bounded


def reader_network(request: Request, trusted_proxies: Sequence[str]) -> str:
    """What the consent record keeps of the reader's network address."""
    return network.truncated(client_address(request, trusted_proxies))


def client_address(request: Request, trusted_proxies: Sequence[str]) -> str | None:
    """Who asks. X-Forwarded-For is believed only as far as trusted proxies wrote it: from its right end."""
    address = request.client.host if request.client else None
    forwarded = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
    while address and _is_trusted(address, trusted_proxies) and forwarded and forwarded[-1]:
        address = forwarded.pop()
    return address


def _is_trusted(address: str, trusted_proxies: Sequence[str]) -> bool:
    """Proxies are written as addresses or networks."""
    parsed = network.read(address)
    if parsed is None:
        return address in trusted_proxies
    return any(parsed in _network(proxy) for proxy in trusted_proxies)


def _network(written: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """As addresses are read: IPv4-mapped ones as IPv4."""
    found = ipaddress.ip_network(written, strict=False)
    mapped = isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped
    return ipaddress.IPv4Network((mapped, found.prefixlen - 96)) if mapped else found


def other_site(request: Request, link_hosts: Sequence[str]) -> str:
    """The origin of another site whose page sent this, as the browser says; "" where it names none, or us.

    A browser hides it where that page asks for it; a program may write what it likes.
    """
    origin = request.headers.get("origin", "").lower()
    if origin in ("", "null") or is_from_own_page(request, link_hosts):
        return ""
    return origin if len(origin) <= LONGEST_ORIGIN and _ORIGIN.fullmatch(origin) else "an unknown site"


LONGEST_ORIGIN = 280  #: characters: a host name has up to 253
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.:\[\]_-]+")


def is_from_own_page(request: Request, link_hosts: Sequence[str]) -> bool:
    """Whether a form of ours was sent, and not one that another site shows to a signed-in browser.

    Own is what we link to, and the very origin that was asked (a console opened by its local address).
    """
    origin = request.headers.get("origin", "")
    return origin in link_hosts or origin == f"{request.scope['scheme']}://{request.headers.get('host', '')}"
