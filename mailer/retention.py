"""How long each kind of data is kept, and its end. The worker goes through the kinds once a day.

KINDS is the whole policy: what goes, after how many days, and what lets it go. Each portion is found by reading and
removed in a transaction of its own, which looks again: a sender waits for one portion at most, and whoever is killed
goes on with the next one.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from mailer import erasure
from mailer.database import Database
from mailer.delivery import ledger
from mailer.delivery.states import UNFINISHED
from mailer.issues.states import IssueStatus
from mailer.settings import Settings
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.subscribers.subscription import UNDO
from mailer.tables import (
    AddressChange,
    Arrival,
    Attempt,
    Consent,
    ConsentEvent,
    Delivery,
    Departures,
    Forward,
    Issue,
    Parting,
    Quarantine,
    Retention,
    Subscriber,
    Subscription,
    Suppression,
    UserSession,
    metadata,
)

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
PORTION = 500  #: rows, or readers
_LATELY = timedelta(days=3)  #: servers may still say something of a reader who was erased while a mail was on its way


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of data."""

    name: str
    what: str  #: a few words for the operator
    days: Callable[[Settings], int]
    key: Any  #: the column that names a row
    going: Callable[[datetime], sa.Select[Any]]  #: cutoff -> the keys of what goes; what is older than it goes
    remove: Callable[[Session, Sequence[Any], datetime, datetime], int]  #: keys, cutoff, now -> how many went
    portion: int = PORTION

    def cutoff(self, settings: Settings, now: datetime) -> datetime:
        return now - timedelta(days=self.days(settings))


def _deleting(column: Any, older: Callable[[datetime], sa.ColumnElement[bool]]) -> Any:
    """Deletes the rows of these keys that still are old enough."""

    def remove(session: Session, keys: Sequence[Any], cutoff: datetime, now: datetime) -> int:
        return _count(session, sa.delete(column.class_).where(column.in_(keys), older(cutoff)))

    return remove


def _count(session: Session, statement: Any) -> int:
    done = session.connection().execute(statement)
    return int(done.rowcount)


# Requests that nobody confirmed


def _unconfirmed(cutoff: datetime) -> sa.Select[Any]:
    """Not where the question waits, or went out since: an import spreads its questions over days."""
    asked_since = sa.exists().where(col(Consent.subscription_id) == col(Subscription.id), col(Consent.at) >= cutoff)
    mailed_since = sa.exists().where(
        col(Delivery.subscription_id) == col(Subscription.id),
        sa.or_(col(Delivery.due_at).is_not(None), col(Delivery.queued_at) >= cutoff),
    )
    return sa.select(col(Subscription.id)).where(
        col(Subscription.status) == SubscriptionStatus.PENDING,
        col(Subscription.changed_at) < cutoff,
        ~asked_since,
        ~mailed_since,
    )


def _drop_unconfirmed(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    """One that was confirmed or left earlier is what it was before it was asked for again: a former reader's, since the
    reader's own last act."""
    _lock(session, sa.select(col(Subscription.subscriber_id)).where(col(Subscription.id).in_(keys)))
    ids = session.exec(
        select(Subscription.id, Subscription.subscriber_id).where(
            col(Subscription.id).in_(keys), col(Subscription.id).in_(_unconfirmed(cutoff))
        )
    ).all()
    before = set(
        session.exec(
            select(Consent.subscription_id).where(
                col(Consent.subscription_id).in_([each for each, _ in ids]), col(Consent.event).in_(_TOLD)
            )
        )
    )
    left = advance(SubscriptionStatus.PENDING, SubscriptionEvent.LEAVE)
    since = sa.select(sa.func.max(col(Consent.at), type_=Subscription.__table__.c.changed_at.type)).where(  # type: ignore[attr-defined]
        col(Consent.subscription_id) == col(Subscription.id), col(Consent.event).in_(_TOLD)
    )
    back = sa.update(Subscription).where(col(Subscription.id).in_(before))
    session.connection().execute(back.values(status=left, changed_at=since.scalar_subquery()))
    going = [each for each, _ in ids if each not in before]
    chosen = sa.select(col(Subscription.id)).where(col(Subscription.id).in_(going))
    erasure.forget_subscriptions(session, chosen, "unconfirmed", now)
    session.connection().execute(sa.delete(Subscription).where(col(Subscription.id).in_(going)))
    others = sa.exists().where(col(Subscription.subscriber_id) == col(Subscriber.id))
    alone = sa.delete(Subscriber).where(col(Subscriber.id).in_({each for _, each in ids}), ~others)
    session.connection().execute(alone)
    return len(ids)


_TOLD = (ConsentEvent.CONFIRMED, ConsentEvent.LEFT)
"""Acts that only a reader can have done."""


def _lock(session: Session, subscriber_ids: sa.Select[Any] | Sequence[int]) -> None:
    """Readers who act at this moment have done so, or wait, once this returns: what is asked now stays true."""
    rows = sa.select(col(Subscriber.id)).where(col(Subscriber.id).in_(subscriber_ids)).order_by(col(Subscriber.id))
    session.connection().execute(rows.with_for_update())


# Readers who left


def _former(cutoff: datetime) -> sa.Select[Any]:
    """Who reads nothing, and did nothing since. A request that nobody confirmed is nobody's act: anybody can type an
    address into the form, and must not prolong by it how long its former reader is known here."""
    theirs = col(Subscription.subscriber_id) == col(Subscriber.id)
    status, changed_at = col(Subscription.status), col(Subscription.changed_at)
    is_asked = status == SubscriptionStatus.PENDING
    later = sa.orm.aliased(Consent)
    came_back = sa.exists().where(
        col(later.subscription_id) == col(Consent.subscription_id),
        col(later.event).in_((ConsentEvent.CONFIRMED, ConsentEvent.RESTORED)),
        col(later.id) > col(Consent.id),
    )
    had_left = sa.exists().where(  # whatever became of a mail that somebody else caused since
        col(Consent.subscription_id) == col(Subscription.id), col(Consent.event) == ConsentEvent.LEFT, ~came_back
    )
    ended = sa.and_(~is_asked, changed_at >= cutoff, ~had_left)
    still = sa.exists().where(theirs, sa.or_(status == SubscriptionStatus.CONFIRMED, ended))
    acts = sa.select(col(Consent.id)).join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
    acted = acts.where(theirs, col(Consent.event) != ConsentEvent.REQUESTED, col(Consent.at) >= cutoff)
    was_one = sa.or_(
        ~sa.exists().where(theirs, is_asked),
        sa.exists().where(theirs, ~is_asked),
        acts.where(theirs, col(Consent.event).in_(_TOLD)).exists(),
    )
    return sa.select(col(Subscriber.id)).where(~still, ~acted.exists(), was_one, col(Subscriber.created_at) < cutoff)


def _left_behind(cutoff: datetime) -> sa.Select[Any]:
    """Who moved from there was erased, and nothing is read there."""
    target = sa.orm.aliased(Subscription)
    lost = sa.exists().where(
        col(Subscription.subscriber_id) == col(Subscriber.id),
        col(Subscription.moved_to_id).is_not(None),
        ~sa.exists().where(col(target.id) == col(Subscription.moved_to_id)),
    )
    return _former(cutoff).where(lost)


def _erasing(going: Callable[[datetime], sa.Select[Any]]) -> Any:
    """Erases those of these subscribers that still are to go."""

    def remove(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
        _lock(session, keys)
        ids = session.connection().execute(going(cutoff).where(col(Subscriber.id).in_(keys))).scalars().all()
        return sum(erasure.erase(session, each, by="retention", why="expired", now=now) for each in ids)

    return remove


# Networks in consents


def _with_network(cutoff: datetime) -> sa.Select[Any]:
    return sa.select(col(Consent.id)).where(col(Consent.network_salt).is_not(None), col(Consent.at) < cutoff)


def _blank_networks(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    """The chain keeps its digest; see subscribers.chain."""
    blanking = sa.update(Consent).where(col(Consent.id).in_(keys), col(Consent.network_salt).is_not(None))
    return _count(session, blanking.values(network="", network_salt=None))


# The send log


def _old_deliveries(cutoff: datetime) -> sa.Select[Any]:
    going_out = sa.exists().where(
        col(Issue.id) == col(Delivery.issue_id), col(Issue.status).in_((IssueStatus.SENDING, IssueStatus.PAUSED))
    )
    return sa.select(col(Delivery.id)).where(
        col(Delivery.queued_at) < cutoff, col(Delivery.status).not_in(UNFINISHED), ~going_out
    )


def _discard_deliveries(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
    return ledger.discard(session, keys)


# What servers said of readers who were erased while a mail was on its way


def _without_reader() -> sa.ColumnElement[bool]:
    return sa.and_(col(Delivery.subscription_id).is_(None), col(Delivery.recipient).is_(None))


def _words_of_relays(cutoff: datetime) -> sa.Select[Any]:
    before = (
        sa.select(col(Attempt.id)).where(col(Attempt.started_at) < cutoff).order_by(col(Attempt.id).desc()).limit(1)
    )
    return (
        sa.select(col(Attempt.id))
        .join(Delivery, col(Delivery.id) == col(Attempt.delivery_id))
        .where(
            col(Attempt.id) > sa.func.coalesce(before.scalar_subquery(), 0),
            col(Attempt.reply).is_not(None),
            col(Attempt.outcome).is_not(None),
            _without_reader(),
        )
    )


def _words_of_reports(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Arrival.id))
        .join(Delivery, col(Delivery.id) == col(Arrival.delivery_id))
        .where(col(Arrival.diagnostic).is_not(None), _without_reader())
    )


def _blanking(column: Any, key: Any) -> Any:
    def remove(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
        return _count(session, sa.update(column.class_).where(key.in_(keys)).values({column: None}))

    return remove


# What came in


def _old_quarantine(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Quarantine.arrival_id))
        .join(Arrival, col(Arrival.id) == col(Quarantine.arrival_id))
        .where(col(Arrival.arrived_at) < cutoff)
    )


def _old_forwards(cutoff: datetime) -> sa.Select[Any]:
    return (
        sa.select(col(Forward.arrival_id))
        .join(Arrival, col(Arrival.id) == col(Forward.arrival_id))
        .where(col(Arrival.arrived_at) < cutoff)
    )


def _old_arrivals(cutoff: datetime) -> sa.Select[Any]:
    kept = sa.exists().where(col(Quarantine.arrival_id) == col(Arrival.id))
    return sa.select(col(Arrival.id)).where(_is_past(cutoff), ~kept)


def _is_past(cutoff: datetime) -> sa.ColumnElement[bool]:
    """Not what still lies in the mailbox: it would be a new mail when it is read again, and go to the editors again."""
    not_there = sa.or_(col(Arrival.listed_at).is_(None), col(Arrival.listed_at) < cutoff)
    return sa.and_(col(Arrival.arrived_at) < cutoff, not_there)


KINDS: Sequence[Kind] = (
    Kind(
        name="unconfirmed",
        what="requests that nobody confirmed, with their addresses",
        days=lambda settings: settings.keep_unconfirmed_days,
        key=col(Subscription.id),
        going=_unconfirmed,
        remove=_drop_unconfirmed,
        portion=100,
    ),
    Kind(
        name="former",
        what="readers who left, or whose address is dead; a keyed hash stays",
        days=lambda settings: settings.keep_former_days,
        key=col(Subscriber.id),
        going=_former,
        remove=_erasing(_former),
        portion=20,
    ),
    Kind(
        name="left-behind",
        what="former addresses of readers who were erased at their new one",
        days=lambda settings: UNDO.days,
        key=col(Subscriber.id),
        going=_left_behind,
        remove=_erasing(_left_behind),
        portion=20,
    ),
    Kind(
        name="changes",
        what="that a change of address was asked for",
        days=lambda settings: max(UNDO.days, -(-settings.confirmation_hours // 24)),
        key=col(AddressChange.request_id),
        going=lambda cutoff: sa.select(col(AddressChange.request_id)).where(col(AddressChange.asked_at) < cutoff),
        remove=_deleting(AddressChange.request_id, lambda cutoff: col(AddressChange.asked_at) < cutoff),
    ),
    Kind(
        name="partings",
        what="why readers left; nobody knows who",
        days=lambda settings: settings.keep_log_days,
        key=col(Parting.id),
        going=lambda cutoff: sa.select(col(Parting.id)).where(col(Parting.month) < cutoff.date()),
        remove=_deleting(Parting.id, lambda cutoff: col(Parting.month) < cutoff.date()),
    ),
    Kind(
        name="networks",
        what="networks in consents",
        days=lambda settings: settings.keep_network_days,
        key=col(Consent.id),
        going=_with_network,
        remove=_blank_networks,
    ),
    Kind(
        name="deliveries",
        what="deliveries with every attempt; counts by issue stay",
        days=lambda settings: settings.keep_log_days,
        key=col(Delivery.id),
        going=_old_deliveries,
        remove=_discard_deliveries,
    ),
    Kind(
        name="replies",
        what="words of servers about readers who were erased",
        days=lambda settings: _LATELY.days,
        key=col(Attempt.id),
        going=_words_of_relays,
        remove=_blanking(col(Attempt.reply), col(Attempt.id)),
    ),
    Kind(
        name="reports",
        what="words of reports about readers who were erased",
        days=lambda settings: 0,
        key=col(Arrival.id),
        going=_words_of_reports,
        remove=_blanking(col(Arrival.diagnostic), col(Arrival.id)),
    ),
    Kind(
        name="quarantine",
        what="the text of mail that came in",
        days=lambda settings: settings.keep_quarantine_days,
        key=col(Quarantine.arrival_id),
        going=_old_quarantine,
        remove=lambda session, keys, cutoff, now: _count(
            session, sa.delete(Quarantine).where(col(Quarantine.arrival_id).in_(keys))
        ),
        portion=20,
    ),
    Kind(
        name="forwards",
        what="the text of mail that went on to the editors",
        days=lambda settings: settings.keep_quarantine_days,
        key=col(Forward.arrival_id),
        going=_old_forwards,
        remove=lambda session, keys, cutoff, now: _count(
            session, sa.delete(Forward).where(col(Forward.arrival_id).in_(keys))
        ),
    ),
    Kind(
        name="arrivals",
        what="what is known of mail that came in",
        days=lambda settings: settings.keep_arrival_days,
        key=col(Arrival.id),
        going=_old_arrivals,
        remove=_deleting(Arrival.id, _is_past),
    ),
    Kind(
        name="lifted",
        what="entries of the suppression list that were lifted",
        days=lambda settings: settings.keep_log_days,
        key=col(Suppression.id),
        going=lambda cutoff: sa.select(col(Suppression.id)).where(col(Suppression.lifted_at) < cutoff),
        remove=_deleting(Suppression.id, lambda cutoff: col(Suppression.lifted_at) < cutoff),
    ),
    Kind(
        name="sessions",
        what="browsers that are no longer signed in",
        days=lambda settings: 0,
        key=col(UserSession.id),
        going=lambda cutoff: sa.select(col(UserSession.id)).where(col(UserSession.expires_at) < cutoff),
        remove=_deleting(UserSession.id, lambda cutoff: col(UserSession.expires_at) < cutoff),
    ),
    Kind(
        name="departures",
        what="how many mails a relay was given, five minutes each",
        days=lambda settings: 2,
        key=col(Departures.relay),
        going=lambda cutoff: sa.select(col(Departures.relay)).where(col(Departures.began_at) < cutoff).distinct(),
        remove=_deleting(Departures.relay, lambda cutoff: col(Departures.began_at) < cutoff),
    ),
)


# Going through them

Pause = Callable[[float], bool]
"""Waits so many seconds; True where it is time to stop."""


def run(database: Database, settings: Settings, now: datetime, pause: Pause) -> dict[str, int]:
    """Goes through every kind that was not gone through for a day. Returns how much of each has gone.

    Between two portions it rests at least as long as one took: others who write have the database half of the time.
    """
    done = dict[str, int]()
    with database.read() as session:
        last = {row.kind: row.done_at for row in session.exec(select(Retention))}
    for kind in KINDS:
        if kind.name in last and now - last[kind.name] < EVERY:
            continue
        gone, whole = _go_through(database, kind, kind.cutoff(settings, now), now, pause)
        done[kind.name] = gone
        if not whole:
            break
        with database.write() as session:
            _note(session, kind.name, gone, now)
    went = ", ".join(f"{number} {name}" for name, number in done.items() if number)
    if went:
        log.info("retention: %s", went)
    return done


def _go_through(database: Database, kind: Kind, cutoff: datetime, now: datetime, pause: Pause) -> tuple[int, bool]:
    gone, after = 0, None
    while True:
        going = kind.going(cutoff).order_by(kind.key).limit(kind.portion)
        with database.read() as session:
            found = going if after is None else going.where(kind.key > after)
            keys = session.connection().execute(found).scalars().all()
        if not keys:
            return gone, True
        began = time.monotonic()
        with database.write() as session:
            gone += kind.remove(session, keys, cutoff, now)
        after = keys[-1]
        if pause(max(0.02, time.monotonic() - began)):
            return gone, False


def _note(session: Session, kind: str, gone: int, now: datetime) -> None:
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    writing = insert(metadata.tables["retention"]).values(kind=kind, done_at=now, gone=gone, ever=gone)
    again = {"done_at": now, "gone": gone, "ever": Retention.ever + gone}
    session.connection().execute(writing.on_conflict_do_update(index_elements=["kind"], set_=again))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A kind of data now."""

    kind: Kind
    days: int
    going: int  #: rows that would go now
    last: Retention | None


def standing(session: Session, settings: Settings, now: datetime) -> list[Standing]:
    """What would go now, and what has gone. Changes nothing."""
    last = {row.kind: row for row in session.exec(select(Retention))}
    return [
        Standing(
            kind=kind,
            days=kind.days(settings),
            going=session.connection()
            .execute(sa.select(sa.func.count()).select_from(kind.going(kind.cutoff(settings, now)).subquery()))
            .scalar_one(),
            last=last.get(kind.name),
        )
        for kind in KINDS
    ]
