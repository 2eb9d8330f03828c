"""What of the issues anybody may read. Nothing here reads Markdown: lists of ten years must be quick."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from mailer.issues.states import IssueStatus
from mailer.statement import Statement, is_one_of
from mailer.tables import Commentary, Issue, Publication, Translation

_READ = sa.or_(
    is_one_of(col(Issue.status), (IssueStatus.SENDING, IssueStatus.PAUSED, IssueStatus.SENT)),
    sa.and_(col(Issue.status) == IssueStatus.CANCELLED, col(Issue.began_at).is_not(None)),
)
"""Issues that some reader has: a cancelled one too, if it had begun to go out."""


@dataclass(frozen=True, kw_only=True)
class Week:
    """An issue in one language, as a list shows it."""

    issue: Issue
    commentaries: Sequence[Commentary]


def of(publication: Publication) -> SelectOfScalar[Issue]:
    """The issues that are shown: what some reader has, and is not private."""
    shown = select(Issue).where(Issue.publication_id == publication.id, _READ, col(Issue.private).is_(False))
    return shown if publication.archive else shown.where(sa.false())


def find(session: Session, publication: Publication, slug: str) -> Issue | None:
    """The issue called `slug`, if it is shown."""
    if "\0" in slug:  # PostgreSQL refuses to be asked
        return None
    return session.exec(of(publication).where(Issue.slug == slug)).one_or_none()


def weeks(
    session: Session, publication: Publication, language: str, *, year: int | None = None, limit: int | None = None
) -> list[Week]:
    """What can be read in `language`, newest first: all, or what began in a `year`."""
    wanted = _in_language(publication, language)
    if year is not None:
        wanted = wanted.where(_began_in(year))
    found = session.exec(_newest_first(wanted).limit(limit)).all()
    headlines = commentaries(session, [issue.id for issue in found], language)
    return [Week(issue=issue, commentaries=headlines.get(issue.id, ())) for issue in found]


class Latest(NamedTuple):
    """The newest issue that can be read in a language."""

    slug: str
    first_day: date
    last_day: date


def latest(session: Session, publication: Publication, language: str) -> Latest | None:
    """None where there is none, or where the publication shows none."""
    found = _LATEST.first(session, publication_id=publication.id, language=language) if publication.archive else None
    return Latest._make(found) if found else None


_LATEST = Statement(
    sa.select(col(Issue.slug), col(Issue.first_day), col(Issue.last_day))
    .join(Translation)
    .where(
        col(Issue.publication_id) == sa.bindparam("publication_id"),
        col(Translation.language) == sa.bindparam("language"),
        _READ,
        col(Issue.private).is_(False),
    )
    .order_by(col(Issue.first_day).desc(), col(Issue.id).desc())
    .limit(1)
)


def of_year(session: Session, publication: Publication, year: int) -> Sequence[Issue]:
    """The issues that began in a year, in whatever language, newest first."""
    return session.exec(_newest_first(of(publication).where(_began_in(year)))).all()


def updated_at(session: Session, publication: Publication, language: str) -> datetime:
    """When what can be read in `language` last became more or less. It never goes back, though the newest be hidden."""
    shown = sa.case((col(Issue.private).is_(False), col(Issue.began_at)))
    veiled = sa.case((col(Issue.veiled_at) > col(Issue.began_at), col(Issue.veiled_at)))
    moments = sa.select(sa.func.max(shown), sa.func.max(veiled)).join(Translation)
    wanted = moments.where(col(Issue.publication_id) == publication.id, col(Translation.language) == language, _READ)
    found = session.execute(wanted).one()
    return max((moment for moment in found if moment), default=publication.created_at)


def years(session: Session, publication: Publication) -> dict[str, list[int]]:
    """The years that have issues, newest first, of each language that has any."""
    year = sa.extract("year", col(Issue.first_day))
    of_each = (
        of(publication).join(Translation).with_only_columns(col(Translation.language), year, maintain_column_froms=True)
    )
    found: dict[str, list[int]] = {}
    for language, number in session.execute(of_each.distinct().order_by(year.desc())):
        found.setdefault(language, []).append(int(number))
    return found


def commentaries(
    session: Session, issue_ids: Iterable[int | None], language: str | None = None
) -> Mapping[int | None, list[Commentary]]:
    """The commentaries of issues in their order: issue id -> those in `language`, or in all."""
    wanted = select(Commentary).where(col(Commentary.issue_id).in_(list(issue_ids)))
    if language:
        wanted = wanted.where(Commentary.language == language)
    found: dict[int | None, list[Commentary]] = {}
    for row in session.exec(wanted.order_by(col(Commentary.language), col(Commentary.position))):
        found.setdefault(row.issue_id, []).append(row)
    return found


def neighbours(session: Session, publication: Publication, issue: Issue, language: str) -> tuple[Issue | None, ...]:
    """The issue before and the one after, in `language`."""
    when = sa.tuple_(col(Issue.first_day), col(Issue.id))
    here = sa.tuple_(sa.literal(issue.first_day), sa.literal(issue.id))
    shown = _in_language(publication, language)
    before = _newest_first(shown.where(when < here))
    after = shown.where(when > here).order_by(col(Issue.first_day), col(Issue.id))
    return session.exec(before.limit(1)).first(), session.exec(after.limit(1)).first()


def languages(session: Session, issue: Issue) -> set[str]:
    """Those that the issue was written in."""
    return set(session.exec(select(Translation.language).where(Translation.issue_id == issue.id)))


def sisters(written: Sequence[Commentary], one: Commentary) -> dict[str, Commentary]:
    """The same commentary in each language, itself too: language -> the one at its place.

    `written`: all of its issue, in their order. A language whose verdicts are others, more, fewer or in another
    order has no sister: places say nothing there.
    """
    by_language: dict[str, list[Commentary]] = {}
    for each in written:
        by_language.setdefault(each.language, []).append(each)
    verdicts = [each.verdict for each in by_language[one.language]]
    return {
        language: each
        for language, all_ in by_language.items()
        if [each.verdict for each in all_] == verdicts
        for each in all_
        if each.position == one.position
    }


def _in_language(publication: Publication, language: str) -> SelectOfScalar[Issue]:
    return of(publication).join(Translation).where(Translation.language == language)


def _began_in(year: int) -> sa.ColumnElement[bool]:
    return col(Issue.first_day).between(date(year, 1, 1), date(year, 12, 31))


def _newest_first(issues: SelectOfScalar[Issue]) -> SelectOfScalar[Issue]:
    return issues.order_by(col(Issue.first_day).desc(), col(Issue.id).desc())
