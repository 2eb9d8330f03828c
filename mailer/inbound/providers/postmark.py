"""Postmark's webhooks. Nothing is signed there: the operator's password, by HTTP Basic, is the proof (RFC 7617).

A relay of Postmark's changes the Message-ID; ours comes back in the metadata that MAILER_EVENTS_HEADER hands over.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from mailer.inbound.event import Event
from mailer.inbound.incoming import Category, Incoming
from mailer.inbound.providers import payload
from mailer.inbound.providers.provider import Call, Forged, Unknown

#: Its class of a bounce, and what that means where the words say nothing.
_CLASSES: Mapping[str, Category] = MappingProxyType(
    {
        "hardbounce": Category.DOUBTED_USER,
        "bademailaddress": Category.DOUBTED_USER,
        "softbounce": Category.TEMPORARY,
        "dnserror": Category.TEMPORARY,
        "blocked": Category.BLOCKED,
        "manuallydeactivated": Category.BLOCKED,
        "spamnotification": Category.SPAM,
        "virusnotification": Category.SPAM,
        "dmarcpolicy": Category.AUTHENTICATION,
        "smtpapierror": Category.OUR_FAULT,
        "unknown": Category.UNKNOWN,
    }
)
_NOTHING = frozenset(
    {"transient", "autoresponder", "addresschange", "challengeverification", "subscribe", "openrelaytest"}
)
_NOTHING_OF = frozenset({"delivery", "open", "click"})


class Postmark:
    def __init__(self, password: str) -> None:
        self._password = password

    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        self._check(call.headers.get("authorization", ""))
        told = payload.parsed(call.body)
        record = payload.word(payload.table(told).get("RecordType"))
        if record in _NOTHING_OF or payload.word(payload.table(told).get("Type")) in _NOTHING:
            return []
        incoming = _incoming(record, payload.table(told))
        if incoming is None:
            return [] if record == "subscriptionchange" else [payload.unclear("postmark", told)]
        named = "\0".join(payload.text(told.get(name)) for name in ("ID", "MessageID", "ChangedAt"))
        return [
            Event(
                provider="postmark",
                id=f"{record}\0{named}" if named.strip("\0") else "",
                incoming=incoming,
                token=payload.text(payload.table(told.get("Metadata")).get("delivery")),
                octets=payload.octets(told),
            )
        ]

    def _check(self, authorization: str) -> None:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() != "basic":
            raise Unknown("a name and a password are wanted (HTTP Basic)")
        try:
            password = base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            raise Forged("its password is not right") from None
        if not hmac.compare_digest(password, self._password.encode()):
            raise Forged("its password is not right")


def _incoming(record: str, told: payload.Table) -> Incoming | None:
    recipient = payload.text(told.get("Email") or told.get("Recipient"))
    kind = payload.word(told.get("Type"))
    if record == "spamcomplaint" or (record == "bounce" and kind == "spamcomplaint"):
        return payload.complaint(recipient, "abuse", reporter="Postmark")
    if record == "bounce" and kind == "unsubscribe":
        return payload.complaint(recipient, "opt-out", reporter="Postmark")
    if record == "bounce" and kind in _CLASSES:
        words = payload.text(told.get("Details"))
        return payload.bounce(recipient, words, otherwise=_CLASSES[kind], reporter="Postmark")
    if record == "subscriptionchange" and told.get("SuppressSending") is True:
        by_reader = payload.word(told.get("Origin")) == "recipient"
        if by_reader and payload.word(told.get("SuppressionReason")) == "manualsuppression":
            return payload.complaint(recipient, "opt-out", reporter="Postmark")
    return None
