"""Amazon SES, which tells of bounces and complaints through SNS (its notification and its event format).

SNS signs with a certificate that is fetched from Amazon alone, from the region of a topic that the operator has named.
"""

import base64
import binascii
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.x509 import load_pem_x509_certificate

from mailer.inbound import notification
from mailer.inbound.event import Event
from mailer.inbound.incoming import Incoming
from mailer.inbound.providers import payload
from mailer.inbound.providers.provider import Call, Forged, NotNow, Refused, Unknown

log = logging.getLogger(__name__)

WINDOW = timedelta(minutes=70)  #: SNS signs once and tries for an hour
SECONDS = 5.0  #: for Amazon's answer
LARGEST = 64 * 1024  #: octets of it
CERTIFICATES = 16
FETCHES = 10  #: in FETCHING, so that nobody makes us ask Amazon without end
FETCHING = timedelta(minutes=1)

Fetch = Callable[[str], bytes]
"""The content at an https address. Raises NotNow."""

_FIELDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
        "SubscriptionConfirmation": (
            *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
        ),
        "UnsubscribeConfirmation": (
            *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
        ),
    }
)
_HASHES: Mapping[str, HashAlgorithm] = MappingProxyType({"1": SHA1(), "2": SHA256()})  # noqa: S303  SNS's own choice
_NOTHING = frozenset({"delivery", "send", "open", "click", "deliverydelay"})


class Ses:
    def __init__(self, topics: Sequence[str], fetch: Fetch | None = None) -> None:
        self._topics, self._fetch = frozenset(topics), fetch or fetched
        self._keys = OrderedDict[str, rsa.RSAPublicKey]()
        self._fetches = list[datetime]()
        self._lock = Lock()

    def events(self, call: Call, now: datetime) -> Sequence[Event]:
        told = payload.table(payload.parsed(call.body))
        kind, topic = payload.text(told.get("Type")), payload.text(told.get("TopicArn"))
        if kind not in _FIELDS:
            raise Unknown("it is not from SNS; switch raw message delivery off")
        if topic not in self._topics:
            raise Forged("its topic is not in MAILER_EVENTS_SES_TOPICS")
        self._verify(told, kind, topic, now)
        _check_time(payload.text(told.get("Timestamp")), now)
        if kind == "SubscriptionConfirmation":
            self._fetch(_of_amazon(payload.text(told.get("SubscribeURL")), topic, "/"))
            log.info("%s sends us its events from now on", topic, extra={"action": "events"})
            return []
        if kind == "UnsubscribeConfirmation":
            log.error("%s sends us no events any more", topic, extra={"action": "events"})
            return []
        return _events(payload.parsed(str(told.get("Message"))))

    def _verify(self, told: payload.Table, kind: str, topic: str, now: datetime) -> None:
        algorithm = _HASHES.get(payload.text(told.get("SignatureVersion")))
        if algorithm is None:
            raise Forged("its signature is of an unknown version")
        names = [name for name in _FIELDS[kind] if name != "Subject" or told.get(name) is not None]
        if not all(isinstance(told.get(name), str) for name in names):
            raise Refused("a field that is signed is missing")
        content = "".join(f"{name}\n{told[name]}\n" for name in names).encode("utf-8", "replace")
        key = self._key(_of_amazon(payload.text(told.get("SigningCertURL")), topic, _CERTIFICATE), now)
        try:
            signature = base64.b64decode(payload.text(told.get("Signature")), validate=True)
            key.verify(signature, content, padding.PKCS1v15(), algorithm)
        except (binascii.Error, ValueError, InvalidSignature):
            raise Forged("its signature is not right") from None

    def _key(self, url: str, now: datetime) -> rsa.RSAPublicKey:
        with self._lock:
            if url in self._keys:
                return self._keys[url]
            self._fetches = [each for each in self._fetches if now - FETCHING < each <= now]
            if len(self._fetches) >= FETCHES:
                raise NotNow("too many certificates were asked for")
            self._fetches.append(now)
        try:
            key = load_pem_x509_certificate(self._fetch(url)).public_key()
        except ValueError:
            raise Forged("there is no certificate at its address") from None
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("its certificate is of another kind")
        with self._lock:
            self._keys[url] = key
            while len(self._keys) > CERTIFICATES:
                self._keys.popitem(last=False)
        return key


_CERTIFICATE = r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem"
_REGION = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]{1,32}):")


def _of_amazon(url: str, topic: str, path: str) -> str:
    """`url`, where it is one of SNS in the topic's region. Raises Forged."""
    region = _REGION.match(topic)
    try:
        parts = urlsplit(url)
        plain = parts.port is None and parts.username is None
    except ValueError:
        raise Forged("its address is none") from None
    hosts = [f"sns.{region[1]}.amazonaws.com{ending}" for ending in ("", ".cn")] if region else []
    if not url.isascii() or not url.isprintable() or parts.scheme != "https" or not plain or parts.netloc not in hosts:
        raise Forged("it names an address that is not Amazon's")
    if not re.fullmatch(path, parts.path) or parts.fragment or (path == _CERTIFICATE and parts.query):
        raise Forged("it names an address that is not Amazon's")
    return url


def _check_time(timestamp: str, now: datetime) -> None:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        raise Forged("it has no time") from None
    if at.tzinfo is None or abs(now - at) > WINDOW:
        raise Forged("its time is not now; is the clock of this machine right?")


def _events(told: object) -> Sequence[Event]:
    event = payload.table(told)
    if payload.word(event.get("notificationType") or event.get("eventType")) in _NOTHING:
        return []
    found = notification.told_in(event)
    if found is None:
        return [payload.unclear("ses", told)]
    kind, recipients, feedback, reporter = found
    mail, detail = payload.table(event.get("mail")), payload.table(event.get(kind.value))
    named = payload.text(detail.get("feedbackId"))
    return [
        Event(
            provider="ses",
            id=f"{kind}\0{named}" if named else "",
            incoming=Incoming(
                kind=kind, recipients=tuple(recipients), feedback=feedback, reporter=reporter or "Amazon SES"
            ),
            return_path=payload.text(mail.get("source")),
            message_id=_message_id(mail),
            octets=payload.octets(told),
        )
    ]


def _message_id(mail: payload.Table) -> str:
    """Ours, not the one that SES gave it: both are told of."""
    for each in payload.listed(mail.get("headers")):
        if payload.word(payload.table(each).get("name")) == "message-id":
            return payload.text(payload.table(each).get("value"))
    return payload.text(payload.table(mail.get("commonHeaders")).get("messageId"))


def fetched(url: str) -> bytes:
    """The content at an https address, no redirect followed. Raises NotNow."""
    content = b""
    try:
        with httpx.Client(timeout=SECONDS, trust_env=True) as client, client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise NotNow(f"Amazon answers {answer.status_code}")
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > LARGEST:
                    raise NotNow("Amazon answers with too much")
    except httpx.HTTPError as error:
        raise NotNow(f"Amazon does not answer: {error}") from None
    return content
