"""What readers do by mail, where the site is blocked and mail is not: leave, confirm, subscribe, and, without a token,
ask for the ways to do more (see `preferences`)."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from mailer.delivery import automatic
from mailer.inbound import preferences
from mailer.inbound.addresses import Ours
from mailer.inbound.agreement import agrees
from mailer.inbound.done import Done, Unclear
from mailer.inbound.incoming import Effect
from mailer.inbound.mime import Message
from mailer.inbound.preferences import SOURCE
from mailer.links import Command
from mailer.rendering.question import question
from mailer.subscribers import optin, subscription
from mailer.subscribers.address import Address, same
from mailer.subscribers.optin import Confirmation, Owed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Delivery, DeliveryKind, Edition, Publication, Subscriber, Subscription

ANSWERS_AN_HOUR = 4
"""Automatic mails to one address, after which nobody's mail causes another one for an hour."""

_ANSWERED = "the address gets no mail, or was answered a moment ago"


def leave(session: Session, subscription_id: int, now: datetime) -> Done:
    """The same as the one-click link."""
    left = subscription.leave(session, subscription_id, source=SOURCE, network="", now=now)
    if left.first:
        return Done(effect=Effect.LEFT, reason="the reader unsubscribed by mail")
    return Done(effect=Effect.NOTHING, reason="the reader had left before")


_REASONS = {
    Confirmation.DONE: "the reader confirmed by replying",
    Confirmation.AGAIN: "the reader says that our mails are read",
    Confirmation.ALREADY: "the reader had confirmed before",
    Confirmation.OUTDATED: "the reader left after asking; only a fresh request counts",
    Confirmation.SUPPRESSED: "the address gets no mail",
    Confirmation.UNKNOWN: "what it confirms was erased",
}


def confirm(session: Session, consent_id: int, reply: Message, author: Address | None, now: datetime) -> Done:
    """The same as the button behind the confirm link, where the reader says yes. The wording is that of the mail that
    was replied to. Raises Unclear."""
    named = optin.foresee(session, consent_id).subscription_id
    wording = ""
    if named is not None:
        asked = session.get_one(Subscription, named)
        reader = session.get_one(Subscriber, asked.subscriber_id)
        if author is None or not same(author.text, reader.address):
            raise Unclear("it replies to a confirmation, but from another address")
        if not agrees(reply):
            raise Unclear("it replies to a confirmation, but does not say yes")
        edition = session.get_one(Edition, asked.edition_id)
        publication = session.get_one(Publication, edition.publication_id)
        wording = " ".join(question(asked.language, publication.names, edition.label))
    confirmed = optin.confirm(session, consent_id, wording=wording, source=SOURCE, network="", now=now)
    automatic.queue(session, confirmed.owed, now)
    effect = Effect.CONFIRMED if confirmed.outcome in optin.COUNTS else Effect.NOTHING
    return Done(effect=effect, reason=_REASONS[confirmed.outcome], queued=confirmed.owed is not None)


def subscribe(session: Session, to: Ours, author: Address, address_hash: str, window: timedelta, now: datetime) -> Done:
    """The same as the form: a confirmation goes out, at most one in the window. Raises Unclear."""
    edition = session.exec(
        select(Edition)
        .join(Publication)
        .where(Publication.slug == to.publication, Edition.code == to.edition, Edition.offered)
    ).one_or_none()
    if edition is None:
        raise Unclear("it asks for a publication or an edition that there is not")
    if _was_answered(session, address_hash, window, now):
        return Done(effect=Effect.NOTHING, reason=_ANSWERED)
    requested = optin.request(
        session,
        edition=edition,
        address=author,
        address_hash=address_hash,
        language=edition.languages[0],
        wording=f"A mail to {to.text}",
        source=SOURCE,
        network="",
        window=window,
        now=now,
    )
    automatic.queue(session, requested.owed, now)
    if requested.owed is None:
        return Done(effect=Effect.NOTHING, reason=_ANSWERED)
    return Done(effect=Effect.REQUESTED, reason=f"a subscription to {to.edition} was asked for", queued=True)


def ask_to_leave(
    session: Session, to: Ours, author: Address, address_hash: str, window: timedelta, now: datetime
) -> Done:
    """A mail goes out that asks whether it was the reader, at most one in the window. Who reads nothing here hears
    nothing. Raises Unclear."""
    publication = _called(session, to.publication)
    found = _read_by(session, publication, address_hash)
    if found is None or found[1].status is not SubscriptionStatus.CONFIRMED:
        return Done(effect=Effect.NOTHING, reason="it asks to leave, but the address reads nothing here")
    reader, subscribed = found
    assert subscribed.id is not None
    if _was_answered(session, address_hash, window, now) or preferences.was_answered(
        session, subscribed.subscriber_id, DeliveryKind.GOODBYE, now
    ):
        return Done(effect=Effect.NOTHING, reason=_ANSWERED)
    owed = Owed(DeliveryKind.GOODBYE, subscribed.id, subscribed.edition_id, reader.domain)
    automatic.queue(session, owed, now)
    return Done(
        effect=Effect.REQUESTED, reason="the reader asked to leave, and is asked whether it was they", queued=True
    )


def ask_for_ways(
    session: Session, to: Ours, author: Address, address_hash: str, window: timedelta, now: datetime
) -> Done:
    """A mail goes out with the addresses at which everything is changed, also to who has left, at most one in the
    window. Who is not known here hears nothing. Raises Unclear."""
    found = _read_by(session, _called(session, to.publication), address_hash)
    if found is None or found[1].id is None:
        return Done(effect=Effect.NOTHING, reason="it asks for the ways by mail, but the address is not known here")
    if _was_answered(session, address_hash, window, now):
        return Done(effect=Effect.NOTHING, reason=_ANSWERED)
    return preferences.act(session, Command.PREFERENCES, "", found[1].id, now)


def _called(session: Session, slug: str) -> Publication:
    publication = session.exec(select(Publication).where(Publication.slug == slug)).one_or_none()
    if publication is None:
        raise Unclear("it is about a publication that there is not")
    return publication


def _read_by(session: Session, publication: Publication, address_hash: str) -> tuple[Subscriber, Subscription] | None:
    """Who has this address, locked, and a subscription of theirs: the last one that is read, else the last one."""
    reader = session.exec(
        select(Subscriber).where(Subscriber.address_hash == address_hash).with_for_update()
    ).one_or_none()
    if reader is None:
        return None
    of_reader = (
        select(Subscription)
        .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        .where(Subscription.subscriber_id == reader.id, Edition.publication_id == publication.id)
        .order_by((col(Subscription.status) == SubscriptionStatus.CONFIRMED).desc(), col(Subscription.id).desc())
    )
    subscription = session.exec(of_reader.limit(1)).first()
    return (reader, subscription) if subscription else None


def _was_answered(session: Session, address_hash: str, window: timedelta, now: datetime) -> bool:
    """Whether automatic mail to this address was queued within the window, or too much of it within the hour. Leaving
    does not lift that here: two programs that answer each other could do it for ever."""
    since = now - max(window, timedelta(hours=1))
    written = session.exec(
        select(Delivery.queued_at)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .where(Subscriber.address_hash == address_hash, col(Delivery.issue_id).is_(None), Delivery.queued_at > since)
    ).all()
    return len(written) >= ANSWERS_AN_HOUR or any(each > now - window for each in written)
