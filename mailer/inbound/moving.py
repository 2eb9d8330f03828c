"""A change of address by mail: asked for from the new one, confirmed there by a reply, taken back at the old one."""

from datetime import datetime, timedelta

from sqlmodel import Session

from mailer.delivery import automatic
from mailer.inbound import preferences
from mailer.inbound.agreement import agrees
from mailer.inbound.done import Done, Unclear
from mailer.inbound.incoming import Effect
from mailer.inbound.mime import Message
from mailer.rendering import question, ways
from mailer.rendering.words import words
from mailer.subscribers import address, limits, moving
from mailer.subscribers.address import Address, same
from mailer.subscribers.limits import Measure
from mailer.subscribers.moving import Move, Moved
from mailer.subscribers.preferences import reader_of
from mailer.subscribers.subscription import id_of, publication_of
from mailer.tables import Publication, Subscriber


def ask(session: Session, subscription_id: int, new: Address, key: str, window: timedelta, now: datetime) -> Done:
    """The reader wants to read at the address that the letter is from: a letter asks there whether it was they.

    `key`: of the keyed hashes.
    """
    reader = reader_of(session, subscription_id, lock=True)
    if reader is None:
        return Done(effect=Effect.NOTHING, reason="it asks for another address, but nothing is read by its token")
    if limits.count(session, moving.asked_by(reader), key, now)[Measure.LINK] > moving.ASKED_AT_MOST:
        return Done(effect=Effect.NOTHING, reason="the reader asked for another address so often today")
    spoken = words(reader.read[0].language)
    asked = moving.ask(
        session,
        subscription_id,
        new,
        address.hash(new, key),
        wording=ways.new_address(spoken),
        language=spoken.language,
        network="",
        window=window,
        now=now,
    )
    automatic.queue(session, asked.owed, now)
    if asked.owed is None:
        return Done(effect=Effect.NOTHING, reason="it asks for an address that gets no mail, or was asked a moment ago")
    return Done(effect=Effect.REQUESTED, reason="the reader asked for another address, which is asked", queued=True)


_REASONS = {
    Move.DONE: "the change of address was confirmed by a reply",
    Move.ALREADY: "the change of address was done before",
    Move.OUTDATED: "the change of address is no longer asked for",
    Move.SUPPRESSED: "the address gets no mail",
    Move.UNKNOWN: "what it names was erased",
}


def confirm(session: Session, request_id: int, reply: Message, author: Address | None, now: datetime) -> Done:
    """The same as the button behind the link, where the new address says yes. Raises Unclear."""
    new = moving.foresee(session, request_id).subscription
    if new is None:
        return Done(effect=Effect.NOTHING, reason=_REASONS[Move.UNKNOWN])
    if author is None or not same(author.text, session.get_one(Subscriber, new.subscriber_id).address):
        raise Unclear("it replies to a change of address, but from another address")
    if not agrees(reply):
        raise Unclear("it replies to a change of address, but does not say yes")
    publication = session.get_one(Publication, publication_of(session, new))
    moved = moving.confirm(
        session,
        request_id,
        wording=question.moving(new.language, publication.names),
        language=new.language,
        network="",
        now=now,
    )
    return _done(session, moved, _REASONS[moved.outcome], now)


def take_back(session: Session, left_id: int, now: datetime) -> Done:
    """The same as the button behind the link at the old address."""
    old = moving.foresee_back(session, left_id).subscription
    spoken = words(old.language) if old else None
    moved = moving.take_back(
        session,
        left_id,
        wording=ways.take_back(spoken) if spoken else "",
        language=spoken.language if spoken else None,
        network="",
        now=now,
    )
    reason = "the change of address was taken back" if moved.outcome is Move.DONE else _REASONS[moved.outcome]
    return _done(session, moved, reason, now)


def _done(session: Session, moved: Moved, reason: str, now: datetime) -> Done:
    automatic.follow(session, moved, now)
    if moved.outcome is not Move.DONE or moved.subscription is None:
        return Done(effect=Effect.NOTHING, reason=reason)
    queued = preferences.answer(session, id_of(moved.subscription), now) or moved.owed is not None
    return Done(effect=Effect.CHANGED, reason=reason, queued=queued)
