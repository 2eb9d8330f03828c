"""Mail from people goes on to the editors: a Delivery like all mail of ours, to the publication's contact address.

The mail is attached as it came, octet for octet; what the editors read first is its text, and a reply goes to its
author. Why it is not sent on as it is: docs/decisions/0014-mail-from-people.md.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery.states import DeliveryStatus
from mailer.inbound.addresses import PURPOSES, Ours
from mailer.inbound.mime import Message
from mailer.rendering.words import Words, words
from mailer.subscribers.address import Address, AddressError, parse
from mailer.tables import (
    Arrival,
    Consent,
    Delivery,
    DeliveryKind,
    Edition,
    Forward,
    Publication,
    Quarantine,
    Subscription,
)
from mailer.tokens import Purpose, TokenError, TokenExpired, Tokens

ATTACHED = 7_000_000
"""Octets of a mail that is attached: in base64 it stays below the 10,240,000 that a Postfix takes as it comes."""

WAITING = 50_000_000
"""Octets of all forwarded mails that have not left yet."""

TEXT = 20_000  #: characters of the author's words that stand in the mail itself
SUBJECT = 150  #: characters


def forward(
    session: Session,
    arrival: Arrival,
    kept: Quarantine,
    message: Message,
    author: Address | None,
    publication: Publication | None,
    *,
    mail_domain: str,
    per_hour: int,
    now: datetime,
) -> str | None:
    """Puts the mail on its way. Returns why it stays in the quarantine, None where it goes."""
    if publication is None:
        return "there is no publication yet"
    why_not = _why_not(session, publication, kept, message, mail_domain, per_hour, now)
    if why_not:
        return why_not
    edition = session.exec(
        select(Edition).where(Edition.publication_id == publication.id).order_by(col(Edition.position)).limit(1)
    ).one()
    contact = parse(publication.contact_address)
    assert edition.id is not None
    assert arrival.id is not None
    delivery = Delivery(
        kind=DeliveryKind.FORWARD,
        edition_id=edition.id,
        recipient=contact.text,
        destination=contact.domain,
        status=DeliveryStatus.QUEUED,
        due_at=now,
        queued_at=now,
        changed_at=now,
    )
    session.add(delivery)
    session.flush()
    assert delivery.id is not None
    spoken, reply_to = words(edition.languages[0]), author.ascii if author else None
    whole = kept.kept == kept.size and kept.size <= ATTACHED
    session.add(
        Forward(
            delivery_id=delivery.id,
            arrival_id=arrival.id,
            subject=printed(message.fields.get("subject", ""))[:SUBJECT],
            reply_to=reply_to,
            text=_cover(spoken, arrival, kept, message, whole=whole, answered=reply_to is not None),
            whole=whole,
        )
    )
    session.flush()
    return None


def is_forwarded(session: Session, arrival: Arrival) -> bool:
    """Whether the mail has been put on its way. One that got nowhere may go again."""
    found = session.exec(
        select(Forward, Delivery)
        .join(Delivery, col(Delivery.id) == col(Forward.delivery_id))
        .where(Forward.arrival_id == arrival.id)
    ).one_or_none()
    if found is None:
        return False
    if found[1].status not in NOWHERE:
        return True
    session.delete(found[0])
    session.flush()
    return False


NOWHERE = (DeliveryStatus.REFUSED, DeliveryStatus.BOUNCED, DeliveryStatus.WITHDRAWN)
"""What a forward ends as that did not reach the editors."""


def forwarded(session: Session, numbers: Sequence[int]) -> dict[int, DeliveryStatus]:
    """What became of those of these mails that were put on their way."""
    found = select(Forward.arrival_id, Delivery.status).join(Delivery, col(Delivery.id) == col(Forward.delivery_id))
    rows = session.exec(found.where(col(Forward.arrival_id).in_(numbers)))
    return {number: DeliveryStatus(status) for number, status in rows}


def _why_not(
    session: Session,
    publication: Publication,
    kept: Quarantine,
    message: Message,
    mail_domain: str,
    per_hour: int,
    now: datetime,
) -> str | None:
    if message.fields.get("x-spam-flag", message.fields.get("x-spam-status", "")).strip().lower().startswith("yes"):
        return "a server on its way calls it spam"
    if per_hour == 0:
        return "MAILER_FORWARD_PER_HOUR is 0"
    try:
        contact = parse(publication.contact_address)
    except AddressError:
        return "the publication's contact address cannot be written to"
    if contact.domain == mail_domain:
        return "the publication's contact address is one that we take mail for"
    going = select(sa.func.count()).select_from(Forward).join(Delivery, col(Delivery.id) == col(Forward.delivery_id))
    if session.exec(going.where(Delivery.queued_at > now - timedelta(hours=1))).one() >= per_hour:
        return f"{per_hour} mails were forwarded within the hour"
    waiting = (
        select(sa.func.coalesce(sa.func.sum(col(Quarantine.kept)), 0))
        .join(Forward, col(Forward.arrival_id) == col(Quarantine.arrival_id))
        .join(Delivery, col(Delivery.id) == col(Forward.delivery_id))
        .where(col(Delivery.due_at).is_not(None), col(Forward.whole))
    )
    if session.exec(waiting).one() + kept.kept > WAITING:
        return "too many large mails wait to be forwarded"
    return None


def _cover(spoken: Words, arrival: Arrival, kept: Quarantine, message: Message, *, whole: bool, answered: bool) -> str:
    """What the editors read first: who wrote to whom, and what."""
    to = arrival.recipient or message.fields.get("to") or "?"
    head = [spoken.gettext("Somebody wrote to {address}.", address=printed(to))]
    if answered:
        head.append(spoken.gettext("A reply to this mail goes to its author."))
    head += [
        "",
        spoken.gettext("From: {author}", author=printed(message.fields.get("from", ""))),
        spoken.gettext("Subject: {subject}", subject=printed(message.fields.get("subject", ""))),
    ]
    if whole:
        foot = spoken.gettext("The mail as it came is attached.")
    else:
        foot = spoken.gettext(
            "The mail is too large to be attached (octets: {size}). Your operator can read it with: {command}",
            size=kept.size,
            command=f"mailer inbound show {arrival.id} --raw",
        )
    part = next(message.of_type("text/plain"), None) or next(message.of_type("text/html"), None)
    text = "\n".join(printed(line) for line in part.text().split("\n")) if part else ""
    return "\n".join(head) + f"\n\n{text[:TEXT].strip()}\n\n{'-' * 60}\n{foot}\n"


def printed(text: str) -> str:
    """One line of a stranger's text, with nothing in it that steers what shows it."""
    return "".join(char if char.isprintable() else " " for char in text).replace("=?", "= ?").strip()


def about(session: Session, to: Ours | None, tokens: Tokens, now: datetime) -> Publication | None:
    """The publication that a mail to this address of ours is about: its own, or that of what its token names; else the
    first. None while there is none."""
    names = {to.publication, to.text.partition("@")[0].partition("+")[0].lower()} if to else set()
    named = session.exec(select(Publication).where(col(Publication.slug).in_(names))).first()
    if named is None and to is not None and to.token:
        named = _named(session, to, tokens, now)
    return named or session.exec(select(Publication).order_by(col(Publication.id)).limit(1)).first()


def _named(session: Session, to: Ours, tokens: Tokens, now: datetime) -> Publication | None:
    purpose = PURPOSES[to.command] if to.command else Purpose.RETURN_PATH
    try:
        row_id = tokens.read(purpose, to.token, now=now)
    except TokenExpired as late:
        row_id = late.named
    except TokenError:
        return None
    found = select(Publication).join(Edition, col(Edition.publication_id) == col(Publication.id))
    if purpose is Purpose.RETURN_PATH:
        found = found.join(Delivery, col(Delivery.edition_id) == col(Edition.id)).where(Delivery.id == row_id)
    else:
        found = found.join(Subscription, col(Subscription.edition_id) == col(Edition.id))
        if purpose in (Purpose.CONFIRM, Purpose.MOVE, Purpose.MOVE_BACK):
            found = found.join(Consent, col(Consent.subscription_id) == col(Subscription.id)).where(
                Consent.id == row_id
            )
        else:
            found = found.where(Subscription.id == row_id)
    return session.exec(found).first()
