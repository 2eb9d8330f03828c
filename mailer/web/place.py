"""Where a page stands: its publication, what can be subscribed to there, and the languages it can speak."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from mailer.issues.calendar import SlotError, next_slot
from mailer.issues.languages import available
from mailer.rendering.words import in_language
from mailer.tables import Consent, Edition, Publication, Subscription


@dataclass(frozen=True, kw_only=True)
class Place:
    """One publication as the pages need it."""

    publication: Publication
    editions: Sequence[Edition]  #: offered, in the form's order
    languages: Sequence[str]  #: of its pages, in the editions' order

    @property
    def slug(self) -> str:
        return self.publication.slug

    def name(self, language: str) -> str:
        """What the publication is called in `language`, or else in one that it has a name in."""
        return in_language(self.publication.names, language) or self.slug

    def postal_address(self, language: str) -> str:
        return in_language(self.publication.postal_address, language)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.publication.time_zone)

    def next_issue(self, now: datetime) -> date | None:
        """The day of the next weekly slot, where the reader is to look for it; None where none is known."""
        try:
            return next_slot(self.publication.weekly_slot, self.publication.time_zone, now).astimezone(self.zone).date()
        except SlotError:
            return None

    def edition(self, code: str) -> Edition | None:
        return next((edition for edition in self.editions if edition.code == code), None)

    def edition_for(self, language: str) -> Edition | None:
        """The one to offer first to a reader of `language`: the one that begins with it."""
        ranked = sorted(
            self.editions, key=lambda edition: (language not in edition.languages, edition.languages[:1] != [language])
        )
        return ranked[0] if ranked else None


def find(session: Session, slug: str) -> Place | None:
    """The place of the publication called `slug`."""
    if "\0" in slug:  # PostgreSQL refuses to be asked
        return None
    publication = session.exec(select(Publication).where(Publication.slug == slug)).one_or_none()
    return _place(session, publication) if publication else None


def every(session: Session) -> list[Place]:
    """All of them, the oldest first."""
    return [
        _place(session, publication) for publication in session.exec(select(Publication).order_by(col(Publication.id)))
    ]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the reader of a mailed link stands."""

    subscription: Subscription
    edition: Edition
    place: Place

    def next_issue(self, now: datetime) -> date | None:
        """The day of the next issue that comes to this reader, where one is known."""
        pause = self.subscription.paused_until
        return self.place.next_issue(max(now, pause) if pause else now)


def of_subscription(session: Session, subscription: Subscription | None) -> Standing | None:
    """The standing of a subscription, None where there is none (any more)."""
    if subscription is None:
        return None
    edition = session.get_one(Edition, subscription.edition_id)
    place = _place(session, session.get_one(Publication, edition.publication_id))
    return Standing(subscription=subscription, edition=edition, place=place)


def of_subscription_id(session: Session, subscription_id: int) -> Standing | None:
    return of_subscription(session, session.get(Subscription, subscription_id))


def every_edition(session: Session, at: Place) -> Sequence[Edition]:
    """Those too that are no longer offered: who reads one keeps it."""
    return session.exec(
        select(Edition)
        .where(Edition.publication_id == at.publication.id)
        .order_by(col(Edition.position), col(Edition.id))
    ).all()


def of_consent_id(session: Session, consent_id: int) -> Standing | None:
    consent = session.get(Consent, consent_id)
    return of_subscription_id(session, consent.subscription_id) if consent else None


def _place(session: Session, publication: Publication) -> Place:
    every = session.exec(
        select(Edition).where(Edition.publication_id == publication.id).order_by(col(Edition.position), col(Edition.id))
    ).all()
    written = dict.fromkeys(language for edition in every for language in edition.languages)
    spoken = [language for language in written if language in available()] or list(available())
    return Place(publication=publication, editions=[each for each in every if each.offered], languages=spoken)
