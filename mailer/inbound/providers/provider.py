"""What a provider is: it says whether a call is its own, and what the call tells of."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mailer.inbound.event import Event


class Refused(Exception):
    """The call has no effect. `status` is that of the answer (RFC 9110 §15)."""

    status = 400  #: it cannot be read


class Forged(Refused):
    """It is not from whom it claims to be, or too old."""

    status = 403


class Unknown(Refused):
    """It does not say who it is from."""

    status = 401


class NotNow(Refused):
    """Whether it is genuine cannot be known now; it is to come again."""

    status = 503


@dataclass(frozen=True, kw_only=True)
class Call:
    """What came in by HTTP."""

    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class Provider(Protocol):
    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        """What a genuine call tells of; what asks for nothing (delivered, opened …) is left out. Raises Refused."""


def fresh(timestamp: str, now: datetime, window: timedelta) -> None:
    """Raises Forged where `timestamp` (seconds since 1970) is further than `window` from now."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 11):  # the year 5138
        raise Forged("it has no time")
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > window:
        raise Forged("its time is not now; is the clock of this machine right?")


def signed(secret: str, content: bytes, signature: str) -> None:
    """Raises Forged where `signature` is not the HMAC-SHA256 of `content`, in hexadecimal."""
    made = hmac.digest(secret.encode(), content, hashlib.sha256).hex()
    if not hmac.compare_digest(made.encode(), signature.lower().encode("utf-8", "replace")):
        raise Forged("its signature is not right")
