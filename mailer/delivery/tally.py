"""How far an issue is: readers by status, the rate of the last minute, the time that is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery.states import UNFINISHED, AttemptOutcome, DeliveryStatus
from mailer.issues.states import IssueStatus
from mailer.tables import Attempt, Delivery, Issue, PastDeliveries

WINDOW = timedelta(minutes=1)
"""What the rate is measured over."""

SAMPLE = 5_000
"""The newest attempts that are looked at for it, so that the question costs the same at every size."""


LEFT = (DeliveryStatus.ACCEPTED, DeliveryStatus.BOUNCED, DeliveryStatus.COMPLAINED)
"""Mails that the relay took."""

COMPLAINTS_SHARE, COMPLAINTS = 0.001, 2
"""From the second complaint on, and above this share: large receivers begin to think ill of a sender there."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """One issue's deliveries."""

    counts: Mapping[DeliveryStatus, int]  #: every status, also those with none
    began_at: datetime | None = None
    last_at: datetime | None = None  #: the newest answer while it is sending, then when it was finished
    rate_per_second: float = 0.0  #: answers over the last minute, while it is sending

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def remaining(self) -> int:
        """Those that are not finished: they wait, are on the wire, or their answer is not known."""
        return sum(self.counts[status] for status in UNFINISHED)

    @property
    def done(self) -> int:
        return self.total - self.remaining

    @property
    def remaining_seconds(self) -> float | None:
        """At the rate of the last minute; None where nothing moves."""
        return self.remaining / self.rate_per_second if self.rate_per_second else None

    @property
    def warning(self) -> str | None:
        """What somebody should look at."""
        return many_complaints(self.counts[DeliveryStatus.COMPLAINED], sum(self.counts[status] for status in LEFT))


def many_complaints(complained: int, left: int) -> str | None:
    """What is to be said where too many of the readers whose mail has left complained."""
    if complained < COMPLAINTS or complained <= COMPLAINTS_SHARE * left:
        return None
    return f"{complained:,} of {left:,} readers complained, more than {COMPLAINTS_SHARE:.1%}"


def tally(session: Session, issue_id: int, now: datetime) -> Tally:
    """How far this issue is at `now`. An unknown issue has no deliveries."""
    issue = session.get(Issue, issue_id)
    return tallies(session, [issue], now)[0] if issue else Tally(counts=dict.fromkeys(DeliveryStatus, 0))


def unfinished(session: Session, now: datetime) -> list[tuple[str, Tally]]:
    """The issues that are going out or paused, by their slugs, as far as anything of them remains."""
    rows = sa.select(Issue).where(col(Issue.status).in_((IssueStatus.SENDING, IssueStatus.PAUSED)))
    issues = session.execute(rows).scalars().all()
    counted = zip(issues, tallies(session, issues, now), strict=True)
    return [(issue.slug, tally) for issue, tally in counted if tally.remaining]


def tallies(session: Session, issues: Sequence[Issue], now: datetime) -> list[Tally]:
    """The same for several issues, in their order: one walk over their deliveries."""
    counted = _counts(session, [issue.id for issue in issues if issue.id is not None])
    return [_tally(session, issue, counted.get(issue.id or 0, {}), now) for issue in issues]


def _tally(session: Session, issue: Issue, counted: Mapping[DeliveryStatus, int], now: datetime) -> Tally:
    rate, last_at = 0.0, None
    if issue.status is IssueStatus.SENDING and issue.id is not None:
        rate, last_at = _pace(session, issue.id, issue.began_at, now)
    return Tally(
        counts={status: counted.get(status, 0) for status in DeliveryStatus},
        began_at=issue.began_at,
        last_at=last_at or issue.finished_at,
        rate_per_second=rate,
    )


def _counts(session: Session, issue_ids: Sequence[int]) -> dict[int, dict[DeliveryStatus, int]]:
    """A count along (issue_id, status) for each pair: on SQLite twice as fast as one grouped walk."""
    pairs = list(product(issue_ids, DeliveryStatus))
    if not pairs:
        return {}
    one_by_one = (
        sa.select(sa.func.count()).where(col(Delivery.issue_id) == issue_id, col(Delivery.status) == status)
        for issue_id, status in pairs
    )
    counted = session.execute(sa.select(*(count.scalar_subquery() for count in one_by_one))).one()
    found: dict[int, dict[DeliveryStatus, int]] = {issue_id: {} for issue_id in issue_ids}
    for (issue_id, status), count in zip(pairs, counted, strict=True):
        found[issue_id][status] = count
    for issue_id, status, count in session.execute(
        sa.select(col(PastDeliveries.issue_id), col(PastDeliveries.status), sa.func.sum(col(PastDeliveries.count)))
        .where(col(PastDeliveries.issue_id).in_(issue_ids))
        .group_by(col(PastDeliveries.issue_id), col(PastDeliveries.status))
    ):
        found[issue_id][status] += int(count)
    return found


def _pace(session: Session, issue_id: int, began_at: datetime | None, now: datetime) -> tuple[float, datetime | None]:
    """Answers a second, and the moment of the newest one."""
    newest = session.execute(sa.select(sa.func.max(col(Attempt.id)))).scalar() or 0
    mine = sa.and_(col(Delivery.issue_id) == issue_id, col(Attempt.outcome) != AttemptOutcome.UNSENT)
    recent = sa.and_(mine, col(Attempt.finished_at) > now - WINDOW)
    answered = sa.func.count().filter(recent)
    last = sa.func.max(col(Attempt.finished_at)).filter(mine)
    sample = (
        sa.select(answered, last, sa.func.min(col(Attempt.started_at)))
        .join(Delivery, col(Delivery.id) == col(Attempt.delivery_id))
        .where(col(Attempt.id) > newest - SAMPLE)
    )
    count, last_at, first_at = session.execute(sample).one()
    if not count:
        return 0.0, last_at
    earlier_are_unseen = newest > SAMPLE
    since = max(now - WINDOW, began_at or now - WINDOW, first_at if earlier_are_unseen else now - WINDOW)
    return count / max((now - since).total_seconds(), 1.0), last_at
