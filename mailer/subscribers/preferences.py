"""What a reader changes from the preferences page: editions, language, a pause. Every change leaves its evidence.

Who reads one edition of a publication may take another without confirming again: the link came in a mail to that very
address. Who reads none has to ask like everybody else. The functions take a session of a writing transaction, lock
the Subscriber and never commit, as those of `subscription` do.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlmodel import Session

from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus
from mailer.subscribers.subscription import end, goes_on_as, move, publication_of, reading_of, readings, record, row_of
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import ConsentEvent, Edition, Subscriber, Subscription


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Who reads at least one edition of a publication."""

    subscriber: Subscriber
    subscriptions: Sequence[Subscription]  #: to its editions, whatever their state

    @property
    def read(self) -> list[Subscription]:
        """The confirmed ones, never empty."""
        return [each for each in self.subscriptions if each.status is SubscriptionStatus.CONFIRMED]

    @property
    def paused_until(self) -> datetime | None:
        """When the last of the pauses ends, or ended."""
        return max((each.paused_until for each in self.read if each.paused_until), default=None)


def reader_of(session: Session, subscription_id: int, *, lock: bool = False) -> Reader | None:
    """Who may act by a link that names this subscription: None where nothing (any more) is read by it.

    A link in a mail to an address that the reader has moved from is worth nothing at the new one.
    """
    row = row_of(session, subscription_id, lock=lock)
    if row is None:
        return None
    subscription, subscriber = row
    publication_id = publication_of(session, subscription)
    found = Reader(subscriber=subscriber, subscriptions=readings(session, subscription.subscriber_id, publication_id))
    held = is_suppressed(session, subscriber.address_hash, publication_id)
    return found if found.read and not held else None


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a choice changed."""

    added: Sequence[Edition] = field(default_factory=list)
    left: Sequence[Edition] = field(default_factory=list)
    language: str | None = None  #: the new one of pages and mail, where it changed


def choose(
    session: Session,
    subscription_id: int,
    editions: Sequence[Edition],
    wanted: Collection[int],
    *,
    language: str,
    wording: Callable[[Edition, bool], str],
    wording_language: str,
    source: str,
    network: str,
    now: datetime,
) -> Chosen | None:
    """The reader gets of `editions` those whose ids are `wanted`, and no others. None where nobody may choose.

    `wording`: what the page said beside an edition, checked or not, in `wording_language`. `language`: of pages and
    mail from now on.
    """
    reader = reader_of(session, subscription_id, lock=True)
    if reader is None:
        return None
    read = {each.edition_id: each for each in reader.read}
    evidence = {"language": wording_language, "source": source, "network": network}
    pause, added, left = reader.paused_until, list[Edition](), list[Edition]()
    changed = any(each.language != language for each in reader.read)
    for edition in editions:
        assert edition.id is not None
        if edition.id in wanted and edition.id not in read:
            subscription = reading_of(session, reader.subscriber, edition, language, now)
            move(session, subscription, SubscriptionEvent.CHOOSE, now)
            subscription.paused_until, subscription.language = pause, language
            record(session, subscription, ConsentEvent.CONFIRMED, now, wording=wording(edition, True), **evidence)
            added.append(edition)
        elif edition.id in read and edition.id not in wanted:
            end(session, read[edition.id], wording=wording(edition, False), now=now, undo=True, **evidence)
            left.append(edition)
    for subscription in reader.subscriptions:
        subscription.language = language
    session.flush()
    return Chosen(added=added, left=left, language=language if changed else None)


WEEKS = (2, 4, 8)
"""The pauses that are offered."""


def after_weeks(weeks: int, zone: ZoneInfo, now: datetime) -> datetime:
    """The end of a pause of so many weeks: the beginning of the day on the publication's clock. Raises ValueError for a
    pause that is not offered."""
    if weeks not in WEEKS:
        raise ValueError(weeks)
    return datetime.combine(now.astimezone(zone).date() + timedelta(weeks=weeks), time(), zone).astimezone(UTC)


def leave_everything(
    session: Session,
    subscription_id: int,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
) -> Sequence[Subscription]:
    """The reader leaves every edition of the publication, at the address where they are read now. Returns what ended
    by this act."""
    row = row_of(session, goes_on_as(session, subscription_id), lock=True)
    if row is None:
        return []
    every = readings(session, row[0].subscriber_id, publication_of(session, row[0]))
    ended = [each for each in every if each.status in (SubscriptionStatus.CONFIRMED, SubscriptionStatus.PENDING)]
    for each in ended:
        end(session, each, wording=wording, language=language, source=source, network=network, now=now)
    session.flush()
    return ended


def pause(
    session: Session,
    subscription_id: int,
    until: datetime | None,
    *,
    wording: str,
    language: str | None = None,
    source: str,
    network: str,
    now: datetime,
) -> bool | None:
    """No issue of the publication before `until`; None: from now on again. What goes out meanwhile is not sent later.

    Returns whether that changed anything; None where nobody may pause.
    """
    reader = reader_of(session, subscription_id, lock=True)
    if reader is None:
        return None
    event = ConsentEvent.PAUSED if until else ConsentEvent.RESUMED
    changed = [each for each in reader.read if _in_force(each, now) != until]
    for each in changed:
        each.paused_until = until
        record(session, each, event, now, wording=wording, language=language, source=source, network=network)
    session.flush()
    return bool(changed)


def _in_force(subscription: Subscription, now: datetime) -> datetime | None:
    until = subscription.paused_until
    return until if until and until > now else None
