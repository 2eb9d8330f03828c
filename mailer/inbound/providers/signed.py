"""Anybody who can sign: events in our own words. docs/inbound.md describes them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from mailer.inbound.event import Event
from mailer.inbound.incoming import Action, Incoming
from mailer.inbound.providers import payload
from mailer.inbound.providers.provider import Call, Refused, Unknown, fresh, signed

WINDOW = timedelta(minutes=5)
_NO_FAILURE = {each.value for each in Action} - {Action.FAILED.value}


class Signed:
    """X-Mailer-Signature: HMAC-SHA256 of X-Mailer-Timestamp, a dot, and the body."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        timestamp, signature = (call.headers.get(f"x-mailer-{name}", "") for name in ("timestamp", "signature"))
        if not timestamp or not signature:
            raise Unknown("X-Mailer-Timestamp and X-Mailer-Signature are missing")
        signed(self._secret, timestamp.encode("utf-8", "replace") + b"." + call.body, signature)
        fresh(timestamp, now, WINDOW)
        told = payload.parsed(call.body)
        if isinstance(told, dict) and "events" in told:
            told = told["events"]
        if not isinstance(told, list):
            raise Refused('its body is not {"events": [...]}')
        return [event for each in told if (event := _event(each)) is not None]


def _event(value: Any) -> Event | None:
    told = payload.table(value)
    recipient = payload.text(told.get("recipient"))
    incoming: Incoming | None = None
    if payload.word(told.get("kind")) == "bounce":
        if payload.word(told.get("action")) in _NO_FAILURE:
            return None
        incoming = payload.bounce(
            recipient,
            payload.text(told.get("diagnostic")),
            status=payload.status(told.get("status")),
            reporter=payload.text(told.get("server")) or None,
        )
    elif payload.word(told.get("kind")) == "complaint":
        incoming = payload.complaint(recipient, payload.word(told.get("feedback")) or "abuse")
    if incoming is None:
        return payload.unclear("signed", value)
    return Event(
        provider="signed",
        id=payload.text(told.get("id")),
        incoming=incoming,
        return_path=payload.text(told.get("return_path")),
        message_id=payload.text(told.get("message_id")),
        octets=payload.octets(value),
    )
