"""Mailgun's webhooks. The signature (HMAC-SHA256) covers a time and a token of the call, not what it tells: a token is
therefore taken once, or again with the same body."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType

from mailer.inbound.event import Event
from mailer.inbound.incoming import Category, Incoming
from mailer.inbound.providers import payload
from mailer.inbound.providers.provider import Call, Forged, Unknown, fresh, signed

WINDOW = timedelta(minutes=15)
REMEMBERED = 20_000  #: tokens

#: Why it gave up, where the words say nothing; suppress-…: it stands on its own lists and was not tried.
_REASONS: Mapping[str, Category] = MappingProxyType(
    {
        "suppress-bounce": Category.DOUBTED_USER,
        "suppress-complaint": Category.BLOCKED,
        "suppress-unsubscribe": Category.BLOCKED,
        "espblock": Category.BLOCKED,
        "old": Category.TEMPORARY,
    }
)
_NOTHING = frozenset({"accepted", "delivered", "opened", "clicked", "stored", "list_member_uploaded"})


class Mailgun:
    def __init__(self, key: str) -> None:
        self._key = key
        self._taken = OrderedDict[str, bytes]()
        self._lock = Lock()

    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        told = payload.table(payload.parsed(call.body))
        signature = payload.table(told.get("signature"))
        timestamp, token, made = (payload.text(signature.get(name)) for name in ("timestamp", "token", "signature"))
        if not timestamp or not token or not made:
            raise Unknown("it is not signed")
        signed(self._key, (timestamp + token).encode("utf-8", "replace"), made)
        fresh(timestamp, now, WINDOW)
        self._once(token, call.body)
        event = _event(told.get("event-data"))
        return [] if event is None else [event]

    def _once(self, token: str, body: bytes) -> None:
        content = hashlib.sha256(body).digest()
        with self._lock:
            if self._taken.setdefault(token, content) != content:
                raise Forged("its token was used before")
            while len(self._taken) > REMEMBERED:
                self._taken.popitem(last=False)


def _event(value: object) -> Event | None:
    told = payload.table(value)
    kind = payload.word(told.get("event"))
    if kind in _NOTHING or (kind == "failed" and payload.word(told.get("severity")) == "temporary"):
        return None
    incoming = _incoming(kind, told)
    if incoming is None:
        return payload.unclear("mailgun", value)
    return Event(
        provider="mailgun",
        id=payload.text(told.get("id")),
        incoming=incoming,
        return_path=payload.text(payload.table(told.get("envelope")).get("sender")),
        message_id=payload.text(payload.table(payload.table(told.get("message")).get("headers")).get("message-id")),
        token=payload.text(payload.table(told.get("user-variables")).get("delivery")),
        octets=payload.octets(value),
    )


def _incoming(kind: str, told: payload.Table) -> Incoming | None:
    recipient, status = payload.text(told.get("recipient")), payload.table(told.get("delivery-status"))
    if kind == "failed":
        reason = payload.word(told.get("reason"))
        words = payload.text(status.get("message")) or payload.text(status.get("description"))
        code = payload.text(status.get("code"))
        if len(code) == 3 and code[0] in "45" and not words.startswith(code[0]):
            words = f"{code} {words}"
        return payload.bounce(
            recipient,
            words,
            status=payload.status(status.get("enhanced-code")),
            otherwise=_REASONS.get(reason, Category.UNKNOWN),
            certain=reason.startswith("suppress-"),
            reporter="Mailgun",
        )
    if kind == "complained":
        return payload.complaint(recipient, "abuse", reporter="Mailgun")
    if kind == "unsubscribed":
        return payload.complaint(recipient, "opt-out", reporter="Mailgun")
    return None
