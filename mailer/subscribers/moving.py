"""A reader goes on at another address: asked for at the old one's link, done when the new mailbox confirms.

The new address gets subscriptions of its own; those of the old one end and name them. So a link in an old mail has no
power over the new address, except to leave, and a report about an old mail does not touch it. The old address is told
and can take it back: docs/decisions/0016-change-of-address.md. Functions lock and never commit, as those of
`subscription` do.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.subscribers.address import Address
from mailer.subscribers.limits import Measure
from mailer.subscribers.optin import Owed, Requested
from mailer.subscribers.preferences import Reader, reader_of
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus
from mailer.subscribers.subscription import (
    ENDED,
    UNDO,
    bring_back,
    end,
    goes_on_as,
    id_of,
    move,
    publication_of,
    reading_of,
    readings,
    record,
    subscriber_of,
    was_recorded,
    was_written_to,
)
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import (
    AddressChange,
    Consent,
    ConsentEvent,
    DeliveryKind,
    Edition,
    Subscriber,
    Subscription,
)

SOURCE = "change of address"
TAKEN_BACK = "change of address taken back"

_MOMENT = timedelta(microseconds=1)

ASKED_AT_MOST = 3
"""Changes that the links of one address may ask for in a day: each may be a mail to an address that was only typed."""


def asked_by(reader: Reader) -> Mapping[Measure, str]:
    """What is counted before `ask`."""
    return {Measure.LINK: str(reader.subscriber.id)}


def ask(
    session: Session,
    subscription_id: int,
    address: Address,
    address_hash: str,
    *,
    wording: str,
    language: str | None = None,
    network: str,
    window: timedelta,
    now: datetime,
) -> Requested:
    """The reader of this subscription wants to read at `address`. Owes a mail to it or nothing, and tells nobody which.

    Nothing to an address that is suppressed or was written to a moment ago, to the reader's own, nor while the reader
    is held. How often a link asks is counted before (Measure.LINK): what a typed address comes to must not show in it.
    `language`: of the wording.
    """
    reader = _who_may_ask(session, subscription_id, address_hash, now, lock=True)
    if reader is None:
        return Requested(owed=None)
    edition = session.get_one(Edition, _asking(reader, subscription_id).edition_id)
    subscriber = subscriber_of(session, address, address_hash, now)
    if was_written_to(session, id_of(subscriber), since=now - window, now=now):
        return Requested(owed=None)
    spoken = _asking(reader, subscription_id).language
    new = reading_of(session, subscriber, edition, spoken, now)
    move(session, new, SubscriptionEvent.REQUEST, now)
    if new.status is SubscriptionStatus.PENDING:
        new.language = spoken
    evidence = {"wording": wording, "source": SOURCE, "network": network}
    consent = record(session, new, ConsentEvent.REQUESTED, now, language=language, **evidence)
    session.flush()
    old = id_of(_asking(reader, subscription_id))
    session.add(AddressChange(request_id=id_of(consent), subscription_id=old, asked_at=now))
    session.flush()
    owed = Owed(DeliveryKind.NEW_ADDRESS, id_of(new), new.edition_id, subscriber.domain, id_of(consent))
    return Requested(owed=owed)


def would_owe(session: Session, subscription_id: int, address_hash: str, *, window: timedelta, now: datetime) -> bool:
    """Whether `ask` would owe a mail now. Locks and changes nothing: for who counts mails before they are asked for."""
    if _who_may_ask(session, subscription_id, address_hash, now) is None:
        return False
    known = session.exec(select(Subscriber.id).where(Subscriber.address_hash == address_hash)).first()
    return known is None or not was_written_to(session, known, since=now - window, now=now)


def _who_may_ask(
    session: Session, subscription_id: int, address_hash: str, now: datetime, *, lock: bool = False
) -> Reader | None:
    reader = reader_of(session, subscription_id, lock=lock)
    if reader is None or address_hash == reader.subscriber.address_hash or held_until(session, reader, now):
        return None
    publication_id = publication_of(session, _asking(reader, subscription_id))
    return None if is_suppressed(session, address_hash, publication_id) else reader


def _asking(reader: Reader, subscription_id: int) -> Subscription:
    """The subscription that the link names, where it is read; else another that is."""
    return next((each for each in reader.read if each.id == subscription_id), reader.read[0])


def held_until(session: Session, reader: Reader, now: datetime) -> datetime | None:
    """Until when no link moves the reader: UNDO after a change was taken back, since somebody else has a link of
    theirs then. None where they may go on."""
    taken_back = select(Consent.at).where(
        col(Consent.subscription_id).in_([id_of(each) for each in reader.subscriptions]),
        Consent.event == ConsentEvent.RESTORED,
        Consent.source == TAKEN_BACK,
        Consent.at > now - UNDO,
    )
    last = session.exec(taken_back.order_by(col(Consent.at).desc()).limit(1)).first()
    return last + UNDO if last else None


def _was_taken_back(session: Session, reader: Reader, *, since: datetime) -> bool:
    return any(
        was_recorded(session, each, ConsentEvent.RESTORED, since=since, source=TAKEN_BACK)
        for each in reader.subscriptions
    )


class Move(enum.StrEnum):
    """What came of acting on one of the two links."""

    DONE = "done"  #: by this act
    ALREADY = "already"  #: before
    OUTDATED = "outdated"  #: the reader has left since, or it was taken back
    SUPPRESSED = "suppressed"  #: the address gets no mail
    UNKNOWN = "unknown"  #: what the link named was erased


@dataclass(frozen=True, kw_only=True)
class Moved:
    """`subscription`: at the address whose link it is. `pairs`: (from, to), what waits for the one is the other's."""

    outcome: Move
    subscription: Subscription | None = None
    owed: Owed | None = None
    pairs: Sequence[tuple[int, int]] = ()
    domain: str = ""  #: where what waits goes now


def foresee(session: Session, request_id: int) -> Moved:
    """What `confirm` would come to now. Changes nothing."""
    return _foreseen(session, request_id)[0]


_Change = tuple[AddressChange, Reader, Subscription]


def _foreseen(session: Session, request_id: int) -> tuple[Moved, _Change | None]:
    change, request = session.get(AddressChange, request_id), session.get(Consent, request_id)
    new = session.get(Subscription, request.subscription_id) if request else None
    if change is None or new is None:
        return Moved(outcome=Move.UNKNOWN), None
    subscriber = session.get_one(Subscriber, new.subscriber_id)
    if is_suppressed(session, subscriber.address_hash, publication_of(session, new)):
        return Moved(outcome=Move.SUPPRESSED, subscription=new), None
    if change.done_at is not None:
        is_read = new.status is SubscriptionStatus.CONFIRMED
        return Moved(outcome=Move.ALREADY if is_read else Move.OUTDATED, subscription=new), None
    reader = reader_of(session, change.subscription_id)
    if reader is None or reader.subscriber.id == new.subscriber_id:
        return Moved(outcome=Move.OUTDATED, subscription=new), None
    if _was_taken_back(session, reader, since=change.asked_at - _MOMENT):
        return Moved(outcome=Move.OUTDATED, subscription=new), None
    return Moved(outcome=Move.DONE, subscription=new), (change, reader, new)


def confirm(
    session: Session, request_id: int, *, wording: str, language: str | None, network: str, now: datetime
) -> Moved:
    """The owner of the new mailbox acted on the link: what was read at the old address goes on there.

    Editions that are read there already are only ended here; an issue that waits for the one and not for the other goes
    there too. Again, it changes nothing. `language`: of the wording.
    """
    _lock(session, _foreseen(session, request_id)[1])
    foreseen, change = _foreseen(session, request_id)
    if change is None:
        return foreseen
    asked, reader, new = change
    subscriber = session.get_one(Subscriber, new.subscriber_id)
    pairs, told = list[tuple[int, int]](), dict[int, Consent]()
    for old in reader.read:
        edition = session.get_one(Edition, old.edition_id)
        target = reading_of(session, subscriber, edition, old.language, now)
        if target.status is not SubscriptionStatus.CONFIRMED:
            move(session, target, SubscriptionEvent.CHOOSE, now)
            target.paused_until, target.language = old.paused_until, old.language
            consent = record(
                session, target, ConsentEvent.CONFIRMED, now, wording=wording, source=SOURCE, network=network
            )
            consent.request_id, consent.language = request_id, language or target.language
        pairs.append((id_of(old), id_of(target)))
        told[id_of(old)] = end(session, old, wording="", source=SOURCE, network="", now=now, undo=False)
        old.moved_to_id = id_of(target)
    asked.done_at = now
    session.flush()
    named = _asking_of(told, asked.subscription_id)
    edition_id = session.get_one(Subscription, named).edition_id
    owed = Owed(DeliveryKind.OLD_ADDRESS, named, edition_id, reader.subscriber.domain, id_of(told[named]))
    return Moved(outcome=Move.DONE, subscription=new, owed=owed, pairs=pairs, domain=subscriber.domain)


def _asking_of(told: dict[int, Consent], subscription_id: int) -> int:
    return subscription_id if subscription_id in told else next(iter(told))


def _lock(session: Session, change: _Change | None) -> None:
    if change is not None:
        _, reader, new = change
        lock(session, [id_of(reader.subscriber), new.subscriber_id])


def lock(session: Session, subscriber_ids: Sequence[int]) -> None:
    """The subscribers' rows, always in the same order; what was read before is read anew."""
    rows = sa.select(col(Subscriber.id)).where(col(Subscriber.id).in_(subscriber_ids)).order_by(col(Subscriber.id))
    session.connection().execute(rows.with_for_update())
    session.expire_all()


# Back


def foresee_back(session: Session, left_id: int) -> Moved:
    """What `take_back` would come to now. Changes nothing."""
    left = session.get(Consent, left_id)
    old = session.get(Subscription, left.subscription_id) if left and left.event is ConsentEvent.LEFT else None
    if left is None or old is None:
        return Moved(outcome=Move.UNKNOWN)
    subscriber = session.get_one(Subscriber, old.subscriber_id)
    if is_suppressed(session, subscriber.address_hash, publication_of(session, old)):
        return Moved(outcome=Move.SUPPRESSED, subscription=old)
    if was_recorded(session, old, ConsentEvent.RESTORED, since=left.at - _MOMENT, source=TAKEN_BACK):
        return Moved(outcome=Move.ALREADY, subscription=old)
    done = _was_moved_at(session, old, left.at)
    return Moved(outcome=Move.DONE if done else Move.OUTDATED, subscription=old)


def _was_moved_at(session: Session, subscription: Subscription, moment: datetime) -> bool:
    """Whether the change of that moment is what ended it last."""
    if subscription.moved_to_id is None or subscription.status not in ENDED:
        return False
    ends = select(Consent).where(Consent.subscription_id == subscription.id, Consent.event == ConsentEvent.LEFT)
    last = session.exec(ends.order_by(col(Consent.id).desc()).limit(1)).first()
    return last is not None and last.source == SOURCE and last.at == moment


def take_back(
    session: Session, left_id: int, *, wording: str, language: str | None = None, network: str, now: datetime
) -> Moved:
    """The old address wants its subscriptions back: they are as they were, and what the change began elsewhere ends.

    For UNDO after that no link changes the address. `language`: of the wording.
    """
    foreseen = foresee_back(session, left_id)
    if foreseen.outcome is not Move.DONE or foreseen.subscription is None:
        return foreseen
    lock(session, _along(session, foreseen.subscription))
    foreseen = foresee_back(session, left_id)
    if foreseen.outcome is not Move.DONE or foreseen.subscription is None:
        return foreseen
    named = foreseen.subscription
    moved_at = session.get_one(Consent, left_id).at
    subscriber = session.get_one(Subscriber, named.subscriber_id)
    pairs = list[tuple[int, int]]()
    for old in readings(session, named.subscriber_id, publication_of(session, named)):
        if old.moved_to_id is None or not _was_moved_at(session, old, moved_at):
            continue
        target = session.get(Subscription, goes_on_as(session, old.moved_to_id))
        began_there = session.get(Subscription, old.moved_to_id)
        bring_back(session, old, now)
        evidence = {"wording": wording, "source": TAKEN_BACK, "network": network}
        record(session, old, ConsentEvent.RESTORED, now, language=language, **evidence)
        if target is None or began_there is None or target.status is not SubscriptionStatus.CONFIRMED:
            continue
        if was_recorded(session, began_there, ConsentEvent.CONFIRMED, since=moved_at - _MOMENT, source=SOURCE):
            end(session, target, wording="", source=TAKEN_BACK, network="", now=now, undo=False)
            target.taken_back_to_id = id_of(old)
            pairs.append((id_of(target), id_of(old)))
    session.flush()
    return Moved(outcome=Move.DONE, subscription=named, pairs=pairs, domain=subscriber.domain)


def _along(session: Session, subscription: Subscription) -> list[int]:
    """The subscribers at both ends."""
    end_of_it = session.get(Subscription, goes_on_as(session, id_of(subscription)))
    return [subscription.subscriber_id, *([end_of_it.subscriber_id] if end_of_it else [])]
