"""Providers as they call us: payloads in their formats, signed with keys made here."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TOPIC = "arn:aws:sns:eu-central-1:123456789012:newsletter"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"
SECRET = "a secret of thirty-two characters."
UNKNOWN = "550 5.1.1 no mailbox here"


@dataclass(frozen=True, kw_only=True)
class Mail:
    """What the event is about, as the provider knows it."""

    recipient: str
    token: str  #: of the Message-ID
    message_id: str  #: with brackets
    return_path: str


class Caller(Protocol):
    name: str

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any: ...

    def complaint(self, mail: Mail, id: str = "2") -> Any: ...

    def nothing(self, mail: Mail) -> Any:
        """What asks for nothing: it was delivered."""

    def strange(self) -> Any:
        """Something new."""

    def call(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        """Headers and body of a genuine call."""

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        """The same with somebody else's key."""


def _seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


def hexdigest(secret: str, content: bytes) -> str:
    return hmac.digest(secret.encode(), content, hashlib.sha256).hex()


class Signed:
    name = "signed"

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any:
        told = {"kind": "bounce", "id": id, "recipient": mail.recipient, "diagnostic": words}
        return {"events": [{**told, "message_id": mail.message_id}]}

    def complaint(self, mail: Mail, id: str = "2") -> Any:
        return {"events": [{"kind": "complaint", "recipient": mail.recipient, "return_path": mail.return_path}]}

    def nothing(self, mail: Mail) -> Any:
        return {"events": [{"kind": "bounce", "action": "delivered", "recipient": mail.recipient}]}

    def strange(self) -> Any:
        return {"events": [{"kind": "telegram"}]}

    def call(self, told: Any, at: datetime, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
        body = json.dumps(told).encode()
        made = hexdigest(secret, _seconds(at).encode() + b"." + body)
        return {"X-Mailer-Timestamp": _seconds(at), "X-Mailer-Signature": made}, body

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        return self.call(told, at, "another secret of that very length")


class Postmark:
    name = "postmark"

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any:
        return {
            "RecordType": "Bounce",
            "ID": int(id),
            "Type": "HardBounce",
            "TypeCode": 1,
            "Name": "Hard bounce",
            "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Metadata": {"delivery": mail.token},
            "Details": f"smtp;{words}",
            "Email": mail.recipient,
            "From": "editors@example.org",
            "BouncedAt": "2026-11-20T08:59:00Z",
            "Inactive": True,
        }

    def complaint(self, mail: Mail, id: str = "2") -> Any:
        return {**self.bounce(mail, "", id), "RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 512}

    def nothing(self, mail: Mail) -> Any:
        return {"RecordType": "Delivery", "Recipient": mail.recipient, "Metadata": {"delivery": mail.token}}

    def strange(self) -> Any:
        return {"RecordType": "Telegram"}

    def call(self, told: Any, at: datetime, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
        credentials = base64.b64encode(f"postmark:{secret}".encode()).decode()
        return {"Authorization": f"Basic {credentials}"}, json.dumps(told).encode()

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        return self.call(told, at, "guessed")


@dataclass
class SendGrid:
    name = "sendgrid"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def setting(self) -> str:
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(public).decode()

    def _event(self, mail: Mail, kind: str, **more: Any) -> dict[str, Any]:
        told = {"email": mail.recipient, "timestamp": 1763629140, "smtp-id": mail.message_id, "event": kind}
        return {**told, "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", **more}

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any:
        more = {"type": "bounce", "bounce_classification": "Invalid Address", "reason": words}
        return [self._event(mail, "bounce", sg_event_id=id, **more)]

    def complaint(self, mail: Mail, id: str = "2") -> Any:
        return [self._event(mail, "spamreport", sg_event_id=id)]

    def nothing(self, mail: Mail) -> Any:
        return [self._event(mail, kind) for kind in ("processed", "delivered", "open", "click", "deferred")]

    def strange(self) -> Any:
        return [{"event": "telegram"}]

    def call(
        self, told: Any, at: datetime, key: ec.EllipticCurvePrivateKey | None = None
    ) -> tuple[dict[str, str], bytes]:
        body = json.dumps(told).encode()
        made = (key or self.key).sign(_seconds(at).encode() + body, ec.ECDSA(SHA256()))
        header = "X-Twilio-Email-Event-Webhook-"
        return {f"{header}Timestamp": _seconds(at), f"{header}Signature": base64.b64encode(made).decode()}, body

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        return self.call(told, at, ec.generate_private_key(ec.SECP256R1()))


class Mailgun:
    name = "mailgun"
    calls = 0

    def _event(self, mail: Mail, kind: str, **more: Any) -> dict[str, Any]:
        headers = {"message-id": mail.message_id.strip("<>"), "to": mail.recipient, "subject": "News"}
        return {
            "event": kind,
            "timestamp": 1763629140.32,
            "recipient": mail.recipient,
            "message": {"headers": headers, "size": 20000},
            "envelope": {"sender": mail.return_path, "transport": "smtp", "targets": mail.recipient},
            "user-variables": {},
            **more,
        }

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any:
        status = {"code": 550, "message": words.removeprefix("550 "), "attempt-no": 1, "tls": True}
        return self._event(
            mail, "failed", id=id, severity="permanent", reason="bounce", **{"delivery-status": {**status}}
        )

    def complaint(self, mail: Mail, id: str = "2") -> Any:
        return self._event(mail, "complained", id=id)

    def nothing(self, mail: Mail) -> Any:
        return self._event(mail, "failed", severity="temporary", reason="generic")

    def strange(self) -> Any:
        return {"event": "telegram"}

    def call(self, told: Any, at: datetime, secret: str = SECRET) -> tuple[dict[str, str], bytes]:
        Mailgun.calls += 1
        timestamp, token = _seconds(at), f"{Mailgun.calls:050}"
        signature = {
            "timestamp": timestamp,
            "token": token,
            "signature": hexdigest(secret, (timestamp + token).encode()),
        }
        return {}, json.dumps({"signature": signature, "event-data": told}).encode()

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        return self.call(told, at, "another")


@dataclass
class Ses:
    name = "ses"
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    version: str = "2"

    @property
    def certificate(self) -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        begins = datetime(2026, 1, 1, tzinfo=UTC)
        builder = x509.CertificateBuilder(name, name, self.key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(begins).not_valid_after(begins + timedelta(days=900))
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def _mail(self, mail: Mail) -> dict[str, Any]:
        return {
            "timestamp": "2026-11-20T08:50:00.000Z",
            "source": mail.return_path,
            "sourceArn": "arn:aws:ses:eu-central-1:123456789012:identity/example.org",
            "messageId": "0107019a9f3c7d3a-1c7b-4b0e-000000",
            "destination": [mail.recipient],
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": "News <editors@example.org>"},
                {"name": "Message-ID", "value": mail.message_id},
            ],
            "commonHeaders": {"from": ["News <editors@example.org>"], "messageId": mail.message_id},
        }

    def bounce(self, mail: Mail, words: str = UNKNOWN, id: str = "1") -> Any:
        recipient = {"emailAddress": mail.recipient, "action": "failed", "diagnosticCode": f"smtp; {words}"}
        return {
            "notificationType": "Bounce",
            "bounce": {
                "feedbackId": id,
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [recipient],
                "timestamp": "2026-11-20T08:59:00.000Z",
                "reportingMTA": "dns; a8-50.smtp-out.amazonses.com",
            },
            "mail": self._mail(mail),
        }

    def complaint(self, mail: Mail, id: str = "2") -> Any:
        complaint = {"feedbackId": id, "complainedRecipients": [{"emailAddress": mail.recipient}]}
        return {
            "eventType": "Complaint",
            "complaint": {**complaint, "complaintFeedbackType": "abuse"},
            "mail": self._mail(mail),
        }

    def nothing(self, mail: Mail) -> Any:
        return {"eventType": "Delivery", "delivery": {"recipients": [mail.recipient]}, "mail": self._mail(mail)}

    def strange(self) -> Any:
        return {"eventType": "Telegram"}

    def call(self, told: Any, at: datetime, **changes: str) -> tuple[dict[str, str], bytes]:
        return {}, self.message(at, {"Type": "Notification", "Message": json.dumps(told), "Subject": "Amazon SES"})

    def message(self, at: datetime, fields: dict[str, str], key: rsa.RSAPrivateKey | None = None) -> bytes:
        """Signed as SNS does."""
        stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        whole = {"MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": TOPIC, "Timestamp": stamp, **fields}
        content = "".join(f"{name}\n{whole[name]}\n" for name in sorted(whole))
        hashed = SHA1() if self.version == "1" else SHA256()
        made = (key or self.key).sign(content.encode(), padding.PKCS1v15(), hashed)
        signature = {"SignatureVersion": self.version, "Signature": base64.b64encode(made).decode()}
        return json.dumps({**whole, **signature, "SigningCertURL": CERTIFICATE}).encode()

    def forged(self, told: Any, at: datetime) -> tuple[dict[str, str], bytes]:
        fields = {"Type": "Notification", "Message": json.dumps(told)}
        return {}, self.message(at, fields, rsa.generate_private_key(65537, 2048))
