"""How a reader stands, for the letter that says so: read when it leaves, so that it is true."""

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from mailer.issues.languages import available
from mailer.links import LONGEST_CODE
from mailer.rendering.body import Choices
from mailer.subscribers.preferences import WEEKS, reader_of
from mailer.subscribers.subscription import can_restore
from mailer.tables import Edition, Publication, Subscription


def choices_of(session: Session, subscription_id: int, publication: Publication, now: datetime) -> Choices:
    """What the reader of this subscription gets, and can change."""
    subscription = session.get(Subscription, subscription_id)
    if subscription is None:  # erased since
        return Choices()
    reader = reader_of(session, subscription_id)
    if reader is None:
        return Choices(may_undo=can_restore(session, subscription, now))
    every = session.exec(
        select(Edition).where(Edition.publication_id == publication.id).order_by(col(Edition.position), col(Edition.id))
    ).all()
    ids = {each.edition_id for each in reader.read}
    read = [each for each in every if each.id in ids]
    short = [each for each in every if len(each.code) <= LONGEST_CODE]
    spoken = {language for edition in every for language in edition.languages} & set(available())
    until = reader.paused_until
    return Choices(
        read=[each.label for each in read],
        add={each.code: each.label for each in short if each.offered and each not in read},
        drop={each.code: each.label for each in short if each in read} if len(read) > 1 else {},
        languages=sorted(spoken - {reader.read[0].language}),
        pauses=WEEKS,
        paused_until=until.astimezone(ZoneInfo(publication.time_zone)).date() if until and until > now else None,
        may_undo=can_restore(session, subscription, now),
    )
