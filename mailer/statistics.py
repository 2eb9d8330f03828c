"""Statistics for editors: counts, and none so small that it could be about somebody.

Whatever is shown is a `Count`: one of the two tens around the number, and none below FEWEST. Where between two tens the
upper one begins is a secret of the installation: an editor who adds addresses of their own until a number turns learns
where it turns, and each of ten counts is as likely as before. That place is

- the same for what is the same number by nature, such as readers and the mails of each issue that they took: of many
  roundings of one number the mean would tell it. So it is in every week and issue;
- another for each other subject, so that one that is known (a new edition, a reason that nobody gives) betrays none,
  and another for each number of digits, so that who knew it when there were few does not know it later. Within one
  number of digits it stays: places that change with every ten would be a ruler for who adds many.

A total is the sum of what is shown beside it, never of what is true, so that no difference of two tells a third.
What remains: who holds a number at its turn sees that somebody came or went meanwhile; not who, nor how many there are.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery.states import DeliveryStatus
from mailer.subscribers import partings
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import (
    Consent,
    ConsentEvent,
    Delivery,
    Edition,
    Issue,
    PartingReason,
    PastDeliveries,
    Publication,
    Subscription,
)

FEWEST = 20
"""Smaller numbers are not shown; from 11 on one may be shown as this."""

ISSUES = 8
WEEKS = 12


@dataclass(frozen=True)
class Count:
    """A number as it may be shown. Made by `Rounding`, from which the true one cannot be had back."""

    tens: int
    below: int = FEWEST  #: where `tens` is 0: it is smaller than this

    def __str__(self) -> str:
        return f"{self.tens:,}" if self.tens else f"fewer than {self.below}"

    @property
    def value(self) -> int | None:
        """None for what is too small, none at all among it."""
        return self.tens or None


class Rounding:
    """How one installation rounds. `key`: its secret; another one moves every turn, and by that narrows numbers."""

    def __init__(self, key: str) -> None:
        self._key = hmac.digest(key.encode(), b"mailer statistics", hashlib.sha256)

    def shown(self, number: int, *subject: object) -> Count:
        """`subject`: what it is the number of, the same for what is the same number by nature."""
        upper = 10 * (number // 10 + 1)
        tens = upper if number >= upper - self._early(upper, subject) else upper - 10
        return Count(tens if tens >= FEWEST else 0)

    def _early(self, ten: int, subject: Sequence[object]) -> int:
        """By how much, 0 to 9, a number may be smaller than the ten as which it is shown."""
        named = " ".join(map(str, (*subject, len(str(ten)))))
        return int.from_bytes(hmac.digest(self._key, named.encode(), hashlib.sha256)) % 10


def total(counts: Iterable[Count]) -> Count:
    """Of what is shown."""
    parts = list(counts)
    tens = sum(each.tens for each in parts)
    return Count(tens) if tens else Count(0, below=sum(each.below for each in parts))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One issue in one edition, or in all of them."""

    edition: str  #: code; "" for all
    accepted: Count  #: by the reader's mail server, and heard no more of
    failed: Count  #: refused, or came back
    unwanted: Count  #: reported as spam
    left: Count  #: readers who left between this issue and the next

    @property
    def sent(self) -> Count:
        return total((self.accepted, self.failed, self.unwanted))


@dataclass(frozen=True, kw_only=True)
class IssueFigures:
    """One issue: its editions, and their sum where there are several."""

    slug: str
    began_at: datetime
    editions: Sequence[Figures]

    @property
    def whole(self) -> Figures:
        columns = {
            name: total(getattr(each, name) for each in self.editions)
            for name in ("accepted", "failed", "unwanted", "left")
        }
        return Figures(edition="", **columns)


@dataclass(frozen=True, kw_only=True)
class Week:
    """A week that begins on Monday, in the publication's zone."""

    first_day: date
    confirmed: Count
    left: Count


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A publication in numbers."""

    publication: str  #: slug
    readers: Mapping[str, Count]  #: edition -> confirmed now
    issues: Sequence[IssueFigures]  #: the newest first
    weeks: Sequence[Week]  #: the newest first; the running one is not among them
    reasons: Mapping[str, Count]  #: why readers left, where they said so


def of_publication(session: Session, publication: Publication, rounding: Rounding, now: datetime) -> Statistics:
    editions = session.exec(
        select(Edition).where(Edition.publication_id == publication.id).order_by(col(Edition.position))
    ).all()
    return Statistics(
        publication=publication.slug,
        readers=_readers(session, editions, rounding),
        issues=_issues(session, publication, editions, rounding, now),
        weeks=_weeks(session, publication, editions, rounding, now),
        reasons={
            str(reason): rounding.shown(number, "reason", publication.id, reason)
            for reason, number in _reasons(session, publication)
        },
    )


def _readers(session: Session, editions: Sequence[Edition], rounding: Rounding) -> dict[str, Count]:
    reading = [
        sa.select(sa.func.count())
        .where(col(Subscription.edition_id) == each.id, col(Subscription.status) == SubscriptionStatus.CONFIRMED)
        .scalar_subquery()
        for each in editions
    ]
    counts = session.execute(sa.select(*reading)).one() if reading else ()
    return {each.code: rounding.shown(number, READERS, each.id) for each, number in zip(editions, counts, strict=True)}


READERS = "readers"
"""The subject of readers now, and of those whose server took an issue: the same number where nothing changes."""


def _issues(
    session: Session, publication: Publication, editions: Sequence[Edition], rounding: Rounding, now: datetime
) -> list[IssueFigures]:
    begun = session.exec(
        select(Issue)
        .where(Issue.publication_id == publication.id, col(Issue.began_at).is_not(None))
        .order_by(col(Issue.began_at).desc())
        .limit(ISSUES)
    ).all()
    counts = _deliveries(session, [each.id for each in begun], [each.id for each in editions])
    until, figures = now, list[IssueFigures]()
    for issue in begun:
        assert issue.began_at is not None
        left = _acts(session, ConsentEvent.LEFT, editions, issue.began_at, until)
        until = issue.began_at
        figures.append(
            IssueFigures(
                slug=issue.slug,
                began_at=issue.began_at,
                editions=[
                    Figures(
                        edition=each.code,
                        accepted=rounding.shown(
                            counts.get((issue.id, each.id, DeliveryStatus.ACCEPTED), 0), READERS, each.id
                        ),
                        failed=rounding.shown(
                            counts.get((issue.id, each.id, DeliveryStatus.REFUSED), 0)
                            + counts.get((issue.id, each.id, DeliveryStatus.BOUNCED), 0),
                            "failed",
                            each.id,
                        ),
                        unwanted=rounding.shown(
                            counts.get((issue.id, each.id, DeliveryStatus.COMPLAINED), 0), "unwanted", each.id
                        ),
                        left=rounding.shown(left.get(each.id, 0), "left", each.id),
                    )
                    for each in editions
                ],
            )
        )
    return figures


_Cell = tuple[int | None, int | None, DeliveryStatus]


_TOLD = (
    DeliveryStatus.ACCEPTED,
    DeliveryStatus.REFUSED,
    DeliveryStatus.BOUNCED,
    DeliveryStatus.COMPLAINED,
)


def _deliveries(
    session: Session, issue_ids: Sequence[int | None], edition_ids: Sequence[int | None]
) -> Mapping[_Cell, int]:
    """Those that are kept, and those that are only counted any more. Each cell is a count along an index: on SQLite
    several times as fast as one grouped walk."""
    found = Counter[_Cell]()
    cells = list(product(issue_ids, edition_ids, _TOLD))
    if not cells:
        return found
    counts = [
        sa.select(sa.func.count())
        .where(col(Delivery.issue_id) == issue, col(Delivery.status) == status, col(Delivery.edition_id) == edition)
        .scalar_subquery()
        for issue, edition, status in cells
    ]
    for at in range(0, len(cells), _TOGETHER):
        numbers = session.execute(sa.select(*counts[at : at + _TOGETHER])).one()
        found.update(dict(zip(cells[at:], numbers, strict=False)))
    past_by = (col(PastDeliveries.issue_id), col(PastDeliveries.edition_id), col(PastDeliveries.status))
    past = sa.select(*past_by, col(PastDeliveries.count)).where(past_by[0].in_(issue_ids))
    for issue_id, edition_id, status, number in session.execute(past):
        found[issue_id, edition_id, status] += number
    return found


_TOGETHER = 100
"""Counts in one statement."""


def _acts(
    session: Session, event: ConsentEvent, editions: Sequence[Edition], since: datetime, until: datetime
) -> dict[int | None, int]:
    """Edition -> readers who did this in that time: along an index of these acts, where their word is no parameter."""
    if not editions:
        return {}
    readers = sa.func.count(sa.distinct(col(Consent.subscription_id)))
    counts = session.execute(
        sa.select(*(readers.filter(col(Subscription.edition_id) == each.id) for each in editions))
        .select_from(Consent)
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .where(
            col(Consent.event) == sa.literal_column(f"'{event}'"),
            col(Consent.at) >= since,
            col(Consent.at) < until,
        )
    ).one()
    return {each.id: number for each, number in zip(editions, counts, strict=True)}


def _weeks(
    session: Session, publication: Publication, editions: Sequence[Edition], rounding: Rounding, now: datetime
) -> list[Week]:
    zone = ZoneInfo(publication.time_zone)
    today = now.astimezone(zone).date()
    this = today - timedelta(days=today.weekday())
    mondays = [this - timedelta(weeks=number) for number in range(WEEKS + 1)]
    bounds = [datetime(each.year, each.month, each.day, tzinfo=zone) for each in mondays]
    return [
        Week(
            first_day=mondays[number + 1],
            **{
                name: rounding.shown(
                    sum(_acts(session, event, editions, bounds[number + 1], bounds[number]).values()),
                    *("week", publication.id, name),
                )
                for name, event in (("confirmed", ConsentEvent.CONFIRMED), ("left", ConsentEvent.LEFT))
            },
        )
        for number in range(WEEKS)
    ]


def _reasons(session: Session, publication: Publication) -> Sequence[tuple[PartingReason, int]]:
    """Every reason, in the order of the form: that of their frequency, or none for what nobody gave, would tell small
    numbers."""
    assert publication.id is not None
    given = partings.counts(session, publication.id)
    return [(reason, given.get(reason, 0)) for reason in PartingReason]
