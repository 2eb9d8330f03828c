"""What a reader changes by mail who cannot open the preferences: the same acts, at addresses that our letters hold.

The letter that answers says how things stand now, and holds these addresses again. It goes to the reader's own mailbox,
whoever wrote: a token says whose subscription it is, and no more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery import automatic
from mailer.inbound.done import Done, Unclear
from mailer.inbound.incoming import Effect
from mailer.links import Command
from mailer.rendering import ways
from mailer.rendering.words import Words, available, words
from mailer.subscribers import preferences, subscription
from mailer.subscribers.optin import Owed
from mailer.subscribers.preferences import Reader, after_weeks, reader_of
from mailer.subscribers.subscription import publication_of, row_of
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import Delivery, DeliveryKind, Edition, Publication, Subscription

SOURCE = "mail"

ANSWERS = {timedelta(hours=1): 10, timedelta(days=1): 20}
"""Letters that answer one reader within this time: whoever has a letter of the reader's can ask for them."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """What a letter asks for, of a reader who still is one."""

    session: Session
    subscription_id: int
    reader: Reader
    publication: Publication
    what: str
    words: Words
    now: datetime

    @property
    def evidence(self) -> dict[str, str]:
        """Of every consent."""
        return {"source": SOURCE, "network": ""}


def act(session: Session, command: Command, what: str, subscription_id: int, now: datetime) -> Done:
    """Does it, and answers. Raises Unclear where `what` makes no sense."""
    row = row_of(session, subscription_id, lock=True)
    if row is None:
        return Done(effect=Effect.NOTHING, reason="what it names was erased")
    named, _ = row
    publication = session.get_one(Publication, publication_of(session, named))
    spoken = words(named.language)
    if command is Command.UNDO:
        changed = _undo(session, subscription_id, spoken, now)
    elif command is Command.PREFERENCES or (reader := reader_of(session, subscription_id)) is None:
        changed = ""
    else:
        asked = Act(
            session=session,
            subscription_id=subscription_id,
            reader=reader,
            publication=publication,
            what=what,
            words=words(reader.read[0].language),
            now=now,
        )
        changed = _ACTS[command](asked)
    queued = answer(session, subscription_id, now)
    if changed:
        return Done(effect=Effect.CHANGED, reason=changed, queued=queued)
    if not queued:
        return Done(effect=Effect.NOTHING, reason="it changes nothing, and was answered so often already")
    return Done(effect=Effect.REQUESTED, reason="the reader gets the ways by mail", queued=True)


def answer(session: Session, subscription_id: int, now: datetime) -> bool:
    """Queues the letter that says how things stand, unless enough of them went to this reader."""
    row = row_of(session, subscription_id, lock=True)
    if row is None:
        return False
    named, reader = row
    if is_suppressed(session, reader.address_hash, publication_of(session, named)):
        return False
    if was_answered(session, named.subscriber_id, DeliveryKind.PREFERENCES, now):
        return False
    automatic.queue(session, Owed(DeliveryKind.PREFERENCES, subscription_id, named.edition_id, reader.domain), now)
    return True


def was_answered(session: Session, subscriber_id: int, kind: DeliveryKind, now: datetime) -> bool:
    """Whether as many letters of this kind went to the reader as may."""
    sent = (
        select(sa.func.count())
        .select_from(Delivery)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(Subscription.subscriber_id == subscriber_id, Delivery.kind == kind)
    )
    counts = ((session.exec(sent.where(Delivery.queued_at > now - time)).one(), most) for time, most in ANSWERS.items())
    return any(count >= most for count, most in counts)


def _undo(session: Session, subscription_id: int, spoken: Words, now: datetime) -> str:
    came_back = subscription.restore(
        session,
        subscription_id,
        wording=ways.undo(spoken),
        language=spoken.language,
        source=SOURCE,
        network="",
        now=now,
    )
    return "the reader took leaving back" if came_back else ""


def _pause(act: Act) -> str:
    try:
        weeks = int(act.what) if act.what.isascii() else 0
        until = after_weeks(weeks, ZoneInfo(act.publication.time_zone), act.now)
    except ValueError:
        raise Unclear("it asks for a pause that is not offered") from None
    paused = _paused(act, until, ways.pause(act.words, weeks))
    return f"the reader pauses for {weeks} weeks" if paused else ""


def _resume(act: Act) -> str:
    return "the reader ended the pause" if _paused(act, None, ways.resume(act.words)) else ""


def _paused(act: Act, until: datetime | None, wording: str) -> bool | None:
    return preferences.pause(
        act.session,
        act.subscription_id,
        until,
        wording=wording,
        language=act.words.language,
        now=act.now,
        **act.evidence,
    )


def _add(act: Act) -> str:
    edition = _edition(act)
    if not edition.offered or edition.id is None:
        raise Unclear("it asks for an edition that is not offered")
    return f"the reader takes {edition.code} too" if _chosen(act, [edition], {edition.id}) else ""


def _drop(act: Act) -> str:
    edition = _edition(act)
    return f"the reader no longer takes {edition.code}" if _chosen(act, [edition], set()) else ""


def _edition(act: Act) -> Edition:
    edition = edition_of(act.session, act.publication, act.what)
    if edition is None:
        raise Unclear("it asks for an edition that there is not")
    return edition


def edition_of(session: Session, publication: Publication, code: str) -> Edition | None:
    return session.exec(
        select(Edition).where(Edition.publication_id == publication.id, Edition.code == code)
    ).one_or_none()


def _speak(act: Act) -> str:
    if act.what not in available():
        raise Unclear("it asks for a language that there is not")
    return f"letters are in {act.what}" if _chosen(act, [], set(), language=act.what) else ""


def _chosen(act: Act, editions: list[Edition], wanted: set[int], language: str = "") -> bool:
    chosen = preferences.choose(
        act.session,
        act.subscription_id,
        editions,
        wanted,
        language=language or act.words.language,
        wording=lambda edition, added: (ways.add if added else ways.drop)(act.words, edition.label),
        wording_language=act.words.language,
        now=act.now,
        **act.evidence,
    )
    return bool(chosen and (chosen.added or chosen.left or chosen.language))


_ACTS: dict[Command, Callable[[Act], str]] = {
    Command.PAUSE: _pause,
    Command.RESUME: _resume,
    Command.ADD: _add,
    Command.DROP: _drop,
    Command.LANGUAGE: _speak,
}
"""What each does; what it comes to is for the log, "" where nothing was changed."""

COMMANDS = frozenset({*_ACTS, Command.PREFERENCES, Command.UNDO})
