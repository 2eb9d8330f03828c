"""What a complaint does (RFC 5965). Our own token in the returned header is the proof, never an address."""

import logging
import re
from collections.abc import Iterator
from datetime import datetime

from sqlmodel import Session, select

from mailer.delivery.ledger import returning
from mailer.inbound.addresses import tokens_in
from mailer.inbound.done import Done
from mailer.inbound.incoming import Effect, Incoming
from mailer.inbound.mime import Message
from mailer.printable import printable
from mailer.subscribers import subscription, suppression
from mailer.tables import Subscriber, Subscription, SuppressionReason
from mailer.tokens import Purpose

log = logging.getLogger(__name__)

_UNWANTED = frozenset({"abuse", "opt-out", "opt-out-list"})


def tokens(message: Message, mail_domain: str) -> Iterator[tuple[Purpose, str]]:
    """Our tokens in a complaint: in its fields, and in the header of the message that it returns, nowhere else."""
    header = message.returned.text().lstrip("\n").partition("\n\n")[0] if message.returned else ""
    if message.returned:
        header += "\n" + "\n".join(f"{name}: {value}" for name, value in message.returned.fields.items())
    fields = "\n".join(part.text() for part in message.of_type("message/feedback-report"))
    yield from tokens_in(f"{fields}\n{header}", mail_domain)
    message_id = rf"^Message-ID[ \t]*:\s*<([0-9a-f]{{32}})@{re.escape(mail_domain)}>"
    for found in re.finditer(message_id, header, re.MULTILINE | re.IGNORECASE):
        yield Purpose.MESSAGE_ID, found.group(1).lower()


def act(
    session: Session,
    delivery_id: int | None,
    subscription_id: int | None,
    incoming: Incoming,
    now: datetime,
    *,
    by_return_path: bool,
) -> Done:
    """The reader is unsubscribed and suppressed, or no longer suppressed. Raises StillSending.

    `by_return_path`: the proof is a return path, which only servers see. What else proves it (a link, a Message-ID)
    goes along with every reply and forwarding, so it ends the subscription that it names and no more.
    """
    feedback = incoming.feedback or "abuse"
    if feedback not in _UNWANTED and feedback != "not-spam":
        log.error("a complaint of the kind %s came in from %s", *map(printable, (feedback[:40], _reporter(incoming))))
        return Done(effect=Effect.ALARM, reason=f"{feedback}: for the operator", delivery_id=delivery_id)
    reader = _reader(session, subscription_id)
    if feedback == "not-spam":
        lifted = (
            reader
            and by_return_path
            and suppression.lift(
                session, reader.address_hash, reason=SuppressionReason.COMPLAINT, by="not-spam", now=now
            )
        )
        effect = Effect.LIFTED if lifted else Effect.NOTHING
        return Done(effect=effect, reason="the reader says that it is not spam", delivery_id=delivery_id)
    if delivery_id is not None:
        returning.complain(session, delivery_id, now)
    if reader and subscription_id is not None:
        source = f"complaint ({feedback})"
        subscription.leave(session, subscription_id, source=source, network="", now=now, complained=True)
        if not by_return_path:
            return Done(effect=Effect.COMPLAINED, reason=f"{feedback}: the reader leaves", delivery_id=delivery_id)
        note = f"{feedback}, reported by {_reporter(incoming)}"
        suppression.suppress(session, reader, SuppressionReason.COMPLAINT, note=note, by="mailer", now=now)
    return Done(effect=Effect.COMPLAINED, reason=f"{feedback}: the reader is let go", delivery_id=delivery_id)


def _reporter(incoming: Incoming) -> str:
    return (incoming.reporter or "an unnamed reporter")[:100]


def _reader(session: Session, subscription_id: int | None) -> Subscriber | None:
    subscriber = select(Subscriber).join(Subscription).where(Subscription.id == subscription_id)
    return session.exec(subscriber.with_for_update(of=Subscriber)).one_or_none()
