"""Where a page stands: its publication, what can be subscribed to there, and the languages it can speak."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, SQLModel, col, select

from mailer.issues.calendar import SlotError, next_slot
from mailer.issues.languages import available
from mailer.rendering.words import in_language
from mailer.statement import Statement
from mailer.tables import Consent, Edition, Publication, Subscription, metadata

T = TypeVar("T", bound=SQLModel)

KEPT = 1000
"""Rows kept in memory."""


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
    found = _CALLED.first(session, slug=slug)
    return _place(session, _PUBLICATION.made(found)) if found else None


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


def of_subscription_id(session: Session, subscription_id: int) -> Standing | None:
    """The standing of a subscription, None where there is none (any more)."""
    subscription = session.get(Subscription, subscription_id)
    return _standing(session, subscription) if subscription else None


def of_consent_id(session: Session, consent_id: int) -> Standing | None:
    """The standing of the subscription that a consent is about, to be read and not to be acted on."""
    found = _CONSENTED.first(session, consent_id=consent_id)
    return _standing(session, Subscription(**dict(zip(_SUBSCRIPTION.keys(), found, strict=True)))) if found else None


def _standing(session: Session, subscription: Subscription) -> Standing | None:
    found = _PUBLISHING.first(session, edition_id=subscription.edition_id)
    if found is None:
        return None
    publication = _PUBLICATION.made(found)
    every = _editions(session, publication)
    edition = next(each for each in every if each.id == subscription.edition_id)
    return Standing(subscription=subscription, edition=edition, place=_place_with(publication, every))


def every_edition(session: Session, at: Place) -> Sequence[Edition]:
    """Those too that are no longer offered: who reads one keeps it."""
    return _editions(session, at.publication)


def _place(session: Session, publication: Publication) -> Place:
    return _place_with(publication, _editions(session, publication))


def _place_with(publication: Publication, every: Sequence[Edition]) -> Place:
    written = dict.fromkeys(language for edition in every for language in edition.languages)
    spoken = [language for language in written if language in available()] or list(available())
    return Place(publication=publication, editions=[each for each in every if each.offered], languages=spoken)


def _editions(session: Session, publication: Publication) -> Sequence[Edition]:
    return [_EDITION.made(row) for row in _EDITIONS.rows(session, publication_id=publication.id)]


class _Rows(Generic[T]):
    """Of a table that is read for nearly every page, and changed by none: what is as it was is not made again."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self.columns = metadata.tables[kind.__name__.lower()].c
        self._made = dict[str, T]()

    def made(self, row: Sequence[Any]) -> T:
        """Of no session: to be read only."""
        key = repr(row)
        found = self._made.get(key)
        if found is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            found = self._made[key] = self._kind(**dict(zip(self.columns.keys(), row, strict=True)))
        return found


_PUBLICATION, _EDITION = _Rows(Publication), _Rows(Edition)
_SUBSCRIPTION = metadata.tables["subscription"].c
_CALLED = Statement(sa.select(*_PUBLICATION.columns).where(_PUBLICATION.columns.slug == sa.bindparam("slug")))
_PUBLISHING = Statement(
    sa.select(*_PUBLICATION.columns).join(Edition).where(_EDITION.columns.id == sa.bindparam("edition_id"))
)
_EDITIONS = Statement(
    sa.select(*_EDITION.columns)
    .where(_EDITION.columns.publication_id == sa.bindparam("publication_id"))
    .order_by(_EDITION.columns.position, _EDITION.columns.id)
)
_CONSENTED = Statement(
    sa.select(*_SUBSCRIPTION)
    .join(Consent, col(Consent.subscription_id) == _SUBSCRIPTION.id)
    .where(col(Consent.id) == sa.bindparam("consent_id"))
)
