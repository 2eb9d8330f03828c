"""SendGrid's Event Webhook, signed: ECDSA on P-256 with SHA-256 over the timestamp and the body."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mailer.inbound.event import Event
from mailer.inbound.incoming import Category, Incoming
from mailer.inbound.providers import payload
from mailer.inbound.providers.provider import Call, Forged, Refused, Unknown, fresh
from mailer.settings import SettingsError

WINDOW = timedelta(minutes=15)
_SIGNED = "x-twilio-email-event-webhook-"

#: Its class of a bounce, and what that means where the words say nothing.
_CLASSES: Mapping[str, Category] = MappingProxyType(
    {
        "invalid address": Category.DOUBTED_USER,
        "mailbox unavailable": Category.TEMPORARY,
        "reputation": Category.BLOCKED,
        "content": Category.SPAM,
        "technical": Category.POLICY,
        "frequency or volume too high": Category.BLOCKED,
    }
)
#: Why it did not even try. What is not here stands on its lists for another reason: for the operator.
_DROPPED: Mapping[str, Category] = MappingProxyType(
    {
        "bounced address": Category.DOUBTED_USER,
        "invalid": Category.DOUBTED_USER,
        "invalid smtpapi header": Category.OUR_FAULT,
        "spam content (if spam checker app enabled)": Category.SPAM,
        "spam content": Category.SPAM,
    }
)
_NOTHING = frozenset({"processed", "delivered", "deferred", "open", "click", "group_resubscribe"})


class SendGrid:
    def __init__(self, key: str) -> None:
        """`key`: as its settings show it. Raises SettingsError."""
        try:
            found = load_der_public_key(base64.b64decode(key, validate=True))
        except (ValueError, UnsupportedAlgorithm):
            found = None
        if not isinstance(found, ec.EllipticCurvePublicKey):
            raise SettingsError("MAILER_EVENTS_SENDGRID_KEY is not SendGrid's verification key. Copy it again.")
        self._key = found

    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        timestamp, signature = (call.headers.get(_SIGNED + name, "") for name in ("timestamp", "signature"))
        if not timestamp or not signature:
            raise Unknown("it is not signed; switch on Signed Event Webhook")
        try:
            content = timestamp.encode("utf-8", "replace") + call.body
            self._key.verify(base64.b64decode(signature, validate=True), content, ec.ECDSA(SHA256()))
        except (binascii.Error, ValueError, InvalidSignature):
            raise Forged("its signature is not right") from None
        fresh(timestamp, now, WINDOW)
        told = payload.parsed(call.body)
        if not isinstance(told, list):
            raise Refused("its body is not a list of events")
        return [event for each in told if (event := _event(each)) is not None]


def _event(value: Any) -> Event | None:
    told = payload.table(value)
    kind = payload.word(told.get("event"))
    if kind in _NOTHING:
        return None
    incoming = _incoming(kind, told)
    if incoming is None:
        return payload.unclear("sendgrid", value)
    return Event(
        provider="sendgrid",
        id=payload.text(told.get("sg_event_id")),
        incoming=incoming,
        message_id=payload.text(told.get("smtp-id")),
        token=payload.text(told.get("delivery")),
        octets=payload.octets(value),
    )


def _incoming(kind: str, told: payload.Table) -> Incoming | None:
    recipient, words = payload.text(told.get("email")), payload.text(told.get("reason"))
    status = payload.status(told.get("status"))
    if kind == "bounce":
        otherwise = _CLASSES.get(payload.word(told.get("bounce_classification")), Category.UNKNOWN)
        if otherwise is Category.UNKNOWN and payload.word(told.get("type")) == "blocked":
            otherwise = Category.BLOCKED
        return payload.bounce(recipient, words, status=status, otherwise=otherwise, reporter="SendGrid")
    if kind == "dropped":
        otherwise = _DROPPED.get(words.strip().lower(), Category.BLOCKED)
        return payload.bounce(recipient, words, otherwise=otherwise, certain=True, reporter="SendGrid")
    if kind == "spamreport":
        return payload.complaint(recipient, "abuse", reporter="SendGrid")
    if kind in ("unsubscribe", "group_unsubscribe"):
        return payload.complaint(recipient, "opt-out", reporter="SendGrid")
    return None
