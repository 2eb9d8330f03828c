"""Double opt-in: somebody asks, the owner of the mailbox confirms. Each act leaves a Consent as evidence.

The functions take a session of a writing transaction and never commit. They lock the Subscriber's row before they
look at anything under it: acts on one address happen one after the other (SQLite has one writer anyway). Everybody who
is ever subscribed comes this way, and many at once, so its statements are put together once.
"""

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.statement import Statement, is_one_of
from mailer.subscribers.address import Address
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.subscribers.subscription import ASKING, lock_address, lock_reading, was_written_to
from mailer.subscribers.suppression import LIFTED_BY_CONFIRMING, holds_back, is_suppressed, lift
from mailer.tables import (
    Consent,
    ConsentEvent,
    DeliveryKind,
    Edition,
    Subscriber,
    Subscription,
    metadata,
)

# Ask


class Owed(NamedTuple):
    """An automatic mail that a reader's act calls for. The edge queues it in the same transaction."""

    kind: DeliveryKind
    subscription_id: int
    edition_id: int
    destination: str  #: the receiving domain
    consent_id: int | None = None  #: the act it answers, where that is one that counts: one mail an act


@dataclass(frozen=True, kw_only=True)
class Requested:
    """What came of a request. `owed` is None for a suppressed address and while an earlier mail is still fresh."""

    owed: Owed | None


def request(
    session: Session,
    *,
    edition: Edition,
    address: Address,
    address_hash: str,
    language: str,
    wording: str,
    source: str,
    network: str,
    window: timedelta,
    now: datetime,
) -> Requested:
    """Somebody asked for `edition` at `address`. Whether it was its owner, only the confirmation can tell.

    So nothing is written that no mail answers: not for a suppressed address, and not within `window` of the last
    automatic mail to it. Who is already confirmed is owed a welcome again, for one who forgot.
    """
    suppressed = is_suppressed(session, address_hash, edition.publication_id, for_good=True)
    _TRY.count(session)  # a suppressed address costs the same work: its time tells nothing
    evidence = {"wording": wording, "language": language, "source": source, "network": network}
    owed = _owed(session, edition, address, address_hash, evidence, window, now)
    if suppressed:
        _NEVER_MIND.count(session)
    _KEEP.count(session)
    return Requested(owed=None if suppressed else owed)


def _owed(
    session: Session,
    edition: Edition,
    address: Address,
    address_hash: str,
    evidence: dict[str, str],
    window: timedelta,
    now: datetime,
) -> Owed | None:
    assert edition.id is not None
    subscriber_id = lock_address(session, address, address_hash, now)
    if was_written_to(session, subscriber_id, since=now - window, now=now):
        return None
    language = evidence["language"]
    subscription_id, status, before = lock_reading(session, subscriber_id, edition.id, language, now)
    after = advance(status, SubscriptionEvent.REQUEST)
    if after is not status:
        _MOVE.count(session, named=subscription_id, status=after, changed_at=now)
    pending = after is SubscriptionStatus.PENDING
    if pending and language != before:  # a stranger who types a confirmed reader's address does not change theirs
        _SPEAK.count(session, named=subscription_id, language=language)
    kind = DeliveryKind.CONFIRMATION if pending else DeliveryKind.WELCOME
    consent_id = _record(session, subscription_id, ConsentEvent.REQUESTED, now, evidence)
    return Owed(kind, subscription_id, edition.id, address.domain, consent_id)


def ask_again(session: Session, subscription_id: int, now: datetime) -> Owed | None:
    """Mails to a reader fail: are they still read? None where there is nobody to ask.

    The request is our own, and confirmed like any other. It takes nothing away from the reader that does not answer.
    """
    _LOCK_READER.first(session, subscription_id=subscription_id)
    reader = _READER.first(session, subscription_id=subscription_id)
    if reader is None or reader[0] is not SubscriptionStatus.CONFIRMED:
        return None
    _, language, edition_id, domain = reader
    evidence = {"wording": "", "language": language, "source": "mailer: mails failed", "network": ""}
    consent_id = _record(session, subscription_id, ConsentEvent.REQUESTED, now, evidence)
    return Owed(DeliveryKind.WARNING, subscription_id, edition_id, domain, consent_id)


def request_again(
    session: Session, consent_id: int, *, source: str, network: str, window: timedelta, now: datetime
) -> Requested:
    """The link of the request `consent_id` has expired, and its reader wants another one: the same request once more.

    Whoever reads already is asked once more whether mails are read, where that was the question. Owes nothing where a
    new link would be worth nothing, and within `window` of the last automatic mail.
    """
    asked = _asked(session, consent_id, lock=True)
    if asked is None or _outcome(asked) not in COUNTS:
        return Requested(owed=None)
    kinds = (*ASKING, DeliveryKind.WARNING)
    if was_written_to(session, asked.subscriber_id, since=now - window, now=now, kinds=kinds):
        return Requested(owed=None)
    kind = DeliveryKind.WARNING if _outcome(asked) is Confirmation.AGAIN else DeliveryKind.CONFIRMATION
    evidence = {"wording": asked.wording, "language": asked.wording_language, "source": source, "network": network}
    again = _record(session, asked.subscription_id, ConsentEvent.REQUESTED, now, evidence)
    return Requested(owed=_owed_for(asked, kind, again))


# Confirm


class Confirmation(enum.StrEnum):
    """What came of acting on a confirm link."""

    DONE = "done"  #: subscribed by this act
    AGAIN = "again"  #: was subscribed, was asked whether mails are read, and says so
    ALREADY = "already"  #: was subscribed before
    OUTDATED = "outdated"  #: the reader left after asking; only a fresh request counts
    SUPPRESSED = "suppressed"  #: the address gets no mail
    UNKNOWN = "unknown"  #: what the link named was erased


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """`owed` is the welcome, with DONE only; `subscription_id` is None with UNKNOWN only."""

    outcome: Confirmation
    subscription_id: int | None = None
    owed: Owed | None = None


def confirm(
    session: Session,
    consent_id: int,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
) -> Confirmed:
    """The owner of the mailbox acted on the link that names the request `consent_id`. Again, it changes nothing.

    `language` is that of the wording; the subscription's where it is not given.
    """
    asked = _asked(session, consent_id, lock=True)
    if asked is None:
        return Confirmed(outcome=Confirmation.UNKNOWN)
    outcome, named = _outcome(asked), asked.subscription_id
    if outcome not in COUNTS:
        return Confirmed(outcome=outcome, subscription_id=named)
    for reason in LIFTED_BY_CONFIRMING if asked.is_suppressed else ():
        lift(session, asked.address_hash, reason=reason, by="reader", now=now)
    if asked.status is not SubscriptionStatus.CONFIRMED:
        held = asked.status is SubscriptionStatus.SUPPRESSED
        status = advance(asked.status, SubscriptionEvent.REQUEST) if held else asked.status
        _BEGIN.count(session, named=named, status=advance(status, SubscriptionEvent.CONFIRM), changed_at=now)
    evidence = {"wording": wording, "language": language or asked.language, "source": source, "network": network}
    confirmed = _record(session, named, ConsentEvent.CONFIRMED, now, evidence, request_id=consent_id)
    owed = None if outcome is Confirmation.AGAIN else _owed_for(asked, DeliveryKind.WELCOME, confirmed)
    return Confirmed(outcome=outcome, subscription_id=named, owed=owed)


def foresee(session: Session, consent_id: int) -> Confirmed:
    """What `confirm` would come to now. Changes nothing: for the page with the button."""
    asked = _asked(session, consent_id, lock=False)
    if asked is None:
        return Confirmed(outcome=Confirmation.UNKNOWN)
    return Confirmed(outcome=_outcome(asked), subscription_id=asked.subscription_id)


COUNTS = frozenset({Confirmation.DONE, Confirmation.AGAIN})
"""What there is a button for."""


class _Asked(NamedTuple):
    """A request, and how its reader stands."""

    wording: str
    wording_language: str
    subscription_id: int
    edition_id: int
    status: SubscriptionStatus
    language: str
    subscriber_id: int
    address_hash: str
    domain: str
    is_suppressed: bool
    is_suppressed_for_good: bool
    has_left_since: bool
    has_confirmed_since: bool


def _outcome(asked: _Asked) -> Confirmation:
    if asked.is_suppressed_for_good:
        return Confirmation.SUPPRESSED
    if asked.has_left_since:
        return Confirmation.OUTDATED
    if asked.status is SubscriptionStatus.CONFIRMED:
        return Confirmation.ALREADY if asked.has_confirmed_since else Confirmation.AGAIN
    held = asked.status is SubscriptionStatus.SUPPRESSED and asked.is_suppressed
    done = held or asked.status is SubscriptionStatus.PENDING
    return Confirmation.DONE if done else Confirmation.OUTDATED


def _owed_for(asked: _Asked, kind: DeliveryKind, consent_id: int) -> Owed:
    return Owed(kind, asked.subscription_id, asked.edition_id, asked.domain, consent_id)


def _asked(session: Session, consent_id: int, *, lock: bool) -> _Asked | None:
    if lock:  # first: what is found beside a row that was waited for is as old as the waiting
        _LOCK_ASKED.first(session, consent_id=consent_id)
    found = _ASKED.first(session, consent_id=consent_id)
    return _Asked._make(found) if found else None


def _record(
    session: Session,
    subscription_id: int,
    event: ConsentEvent,
    now: datetime,
    evidence: dict[str, str],
    request_id: int | None = None,
) -> int:
    row = _RECORD.first(
        session, subscription_id=subscription_id, event=event, at=now, request_id=request_id, **evidence
    )
    assert row is not None
    return int(row[0])


# Statements

_CONSENT, _SUBSCRIPTION = metadata.tables["consent"], metadata.tables["subscription"]
_LATER = _CONSENT.alias("later")
_REQUESTS = (ConsentEvent.REQUESTED, ConsentEvent.IMPORTED)


def _came_later(event: ConsentEvent) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        _LATER.c.subscription_id == _CONSENT.c.subscription_id,
        _LATER.c.event == event,
        _LATER.c.id > _CONSENT.c.id,
    )


def _held_back(*, for_good: bool) -> sa.ColumnElement[bool]:
    return sa.exists().where(holds_back(col(Subscriber.address_hash), col(Edition.publication_id), for_good=for_good))


_TRY, _NEVER_MIND, _KEEP = (
    Statement(sa.text(words))
    for words in ("SAVEPOINT trying", "ROLLBACK TO SAVEPOINT trying", "RELEASE SAVEPOINT trying")
)
_OF_REQUEST = (_CONSENT.c.id == sa.bindparam("consent_id"), is_one_of(_CONSENT.c.event, _REQUESTS))

_ASKED = Statement(
    sa.select(
        _CONSENT.c.wording,
        _CONSENT.c.language,
        _SUBSCRIPTION.c.id,
        _SUBSCRIPTION.c.edition_id,
        _SUBSCRIPTION.c.status,
        _SUBSCRIPTION.c.language,
        col(Subscriber.id),
        col(Subscriber.address_hash),
        col(Subscriber.domain),
        _held_back(for_good=False),
        _held_back(for_good=True),
        _came_later(ConsentEvent.LEFT),
        _came_later(ConsentEvent.CONFIRMED),
    )
    .select_from(_CONSENT)
    .join(Subscription, _SUBSCRIPTION.c.id == _CONSENT.c.subscription_id)
    .join(Subscriber)
    .join(Edition, col(Edition.id) == _SUBSCRIPTION.c.edition_id)
    .where(*_OF_REQUEST)
)

_READER = Statement(
    sa.select(_SUBSCRIPTION.c.status, _SUBSCRIPTION.c.language, _SUBSCRIPTION.c.edition_id, col(Subscriber.domain))
    .join(Subscriber)
    .where(_SUBSCRIPTION.c.id == sa.bindparam("subscription_id"))
)


def _locking(*which: sa.ColumnElement[bool]) -> Statement:
    subscriber = sa.select(col(Subscriber.id)).join(Subscription)
    joined = (
        subscriber.join(Consent, _CONSENT.c.subscription_id == _SUBSCRIPTION.c.id) if len(which) > 1 else subscriber
    )
    return Statement(joined.where(*which).with_for_update(of=Subscriber))


_LOCK_ASKED = _locking(*_OF_REQUEST)
_LOCK_READER = _locking(_SUBSCRIPTION.c.id == sa.bindparam("subscription_id"))


def _change(**values: Any) -> Statement:
    return Statement(sa.update(_SUBSCRIPTION).where(_SUBSCRIPTION.c.id == sa.bindparam("named")).values(values))


_MOVED: dict[str, Any] = {name: sa.bindparam(name) for name in ("status", "changed_at")}
_MOVE = _change(**_MOVED)
_BEGIN = _change(**_MOVED, undo_until=None, moved_to_id=None, taken_back_to_id=None, paused_until=None)
_SPEAK = _change(language=sa.bindparam("language"))

_EVIDENCE = ("subscription_id", "event", "at", "wording", "language", "source", "network", "request_id")
_RECORD = Statement(
    sa.insert(_CONSENT).values({name: sa.bindparam(name) for name in _EVIDENCE}).returning(_CONSENT.c.id)
)
