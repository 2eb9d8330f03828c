"""Issues as rows: taken in from a folder, scheduled, stopped. Every change of state goes through issues.states."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.errors import MailerError
from mailer.issues.calendar import next_slot
from mailer.issues.manuscript import Manuscript, PictureSource
from mailer.issues.states import IssueEvent, IssueStatus, advance
from mailer.tables import Commentary, Edition, Issue, Picture, Publication, Translation

if TYPE_CHECKING:
    from mailer.issues.source import IssueSource  # a worker goes without what reads Markdown


class IssueError(MailerError):
    """What was asked for cannot be done with this issue; the message says what can."""


def apply(session: Session, issue: Issue, event: IssueEvent) -> None:
    """Moves the issue along `event`. Raises IllegalTransition, and IssueError where another process moved it first."""
    after = advance(issue.status, event)
    moved = sa.update(Issue).where(col(Issue.id) == issue.id, col(Issue.status) == issue.status).values(status=after)
    if session.connection().execute(moved).rowcount != 1:
        raise IssueError(f"{issue.slug} has just been changed by somebody else. Look at it again, and try again.")
    issue.status = after


def find(session: Session, publication: Publication, slug: str) -> Issue:
    """The issue called `slug`. Raises IssueError naming the ones there are."""
    found = session.exec(select(Issue).where(Issue.publication_id == publication.id, Issue.slug == slug)).first()
    if found is None:
        recent = select(Issue.slug).where(Issue.publication_id == publication.id).order_by(col(Issue.slug).desc())
        known = ", ".join(session.exec(recent.limit(5))) or "none yet; type: mailer issue add FOLDER"
        raise IssueError(f"There is no issue {slug} in {publication.slug}. Issues: {known}.")
    return found


def add(session: Session, publication: Publication, source: "IssueSource", now: datetime) -> tuple[Issue, bool]:
    """Takes a folder in, or updates the issue of that name. Returns it and whether it is new.

    Raises IllegalTransition for an issue that is scheduled or has begun to go out.
    """
    assert publication.id is not None
    found = select(Issue).where(Issue.publication_id == publication.id, Issue.slug == source.slug)
    issue, is_new = session.exec(found).first(), False
    if issue is None:
        is_new = True
        issue = Issue(
            publication_id=publication.id,
            slug=source.slug,
            first_day=source.first_day,
            last_day=source.last_day,
            added_at=now,
            private=source.private,
        )
        session.add(issue)
        session.flush()
    else:
        _refuse_if_begun(issue)
        apply(session, issue, IssueEvent.ADD)
        issue.first_day, issue.last_day, issue.added_at = source.first_day, source.last_day, now
        issue.private = source.private
    _replace_content(session, issue, source)
    return issue, is_new


def veil(issue: Issue, private: bool, now: datetime) -> None:
    """Takes an issue off the web, or shows it there. Lists of issues are changed from now on."""
    if issue.private is not private:
        issue.private, issue.veiled_at = private, now


def _refuse_if_begun(issue: Issue) -> None:
    """A cancelled issue that had begun is in some mailboxes: its row says who has it, and must go on saying so."""
    if issue.status is IssueStatus.CANCELLED and issue.began_at:
        raise IssueError(
            f"{issue.slug} was cancelled while it was going out, and some readers have it."
            f" Give the folder another name, such as {issue.slug[:62]}-2, and add that."
        )


def _replace_content(session: Session, issue: Issue, source: "IssueSource") -> None:
    assert issue.id is not None
    for table in (Translation, Commentary, Picture):
        session.connection().execute(sa.delete(table).where(col(table.issue_id) == issue.id))
    session.flush()
    for language, translation in source.translations.items():
        session.add(
            Translation(issue_id=issue.id, language=language, title=translation.title, source=translation.source)
        )
        session.add_all(
            Commentary(
                issue_id=issue.id,
                language=language,
                position=position,
                name=commentary.name,
                headline=commentary.headline,
                verdict=commentary.verdict,
                opening=commentary.opening,
            )
            for position, commentary in enumerate(translation.commentaries, 1)
        )
    for picture in source.pictures.values():
        session.add(
            Picture(
                issue_id=issue.id,
                name=picture.name,
                media_type=picture.media_type,
                width=picture.width,
                height=picture.height,
                content=picture.content,
            )
        )


def manuscript(session: Session, issue: Issue) -> Manuscript:
    """The issue as it was written."""
    written = session.exec(select(Translation).where(Translation.issue_id == issue.id))
    kept = session.exec(select(Picture).where(Picture.issue_id == issue.id))
    return Manuscript(
        texts={row.language: row.source for row in written},
        pictures={
            row.name: PictureSource(
                name=row.name, media_type=row.media_type, width=row.width, height=row.height, content=row.content
            )
            for row in kept
        },
    )


def check(session: Session, publication: Publication, issue: Issue) -> None:
    """Preflight: every edition of the publication can be made from the issue's languages. The issue becomes ready.

    Raises IssueError naming what is missing.
    """
    has = set(session.exec(select(Translation.language).where(Translation.issue_id == issue.id)))
    editions = session.exec(select(Edition).where(Edition.publication_id == publication.id)).all()
    missing = sorted({language for edition in editions for language in edition.languages} - has)
    if missing:
        files = ", ".join(f"{language}.md" for language in missing)
        raise IssueError(
            f"{issue.slug} lacks {files}; the editions {_codes_with(editions, missing)} need it."
            f" Add the file and type: mailer issue add FOLDER"
        )
    apply(session, issue, IssueEvent.CHECK)


def _codes_with(editions: Sequence[Edition], languages: Sequence[str]) -> str:
    return ", ".join(edition.code for edition in editions if set(edition.languages) & set(languages))


def schedule(session: Session, issue: Issue, at: datetime) -> None:
    """Puts the issue on the calendar. The worker begins it at `at` (UTC), or at once where that has passed."""
    apply(session, issue, IssueEvent.SCHEDULE)
    issue.scheduled_at = at


def next_free_slot(session: Session, publication: Publication, issue: Issue, now: datetime) -> datetime:
    """The publication's next weekly slot that no other issue has (UTC)."""
    slot = next_slot(publication.weekly_slot, publication.time_zone, now)
    while _is_taken(session, publication, issue, slot):
        slot = next_slot(publication.weekly_slot, publication.time_zone, slot)
    return slot


def _is_taken(session: Session, publication: Publication, issue: Issue, at: datetime) -> bool:
    """Whether another issue of the publication already goes out at `at`."""
    taken = select(Issue.id).where(
        Issue.publication_id == publication.id,
        Issue.status == IssueStatus.SCHEDULED,
        col(Issue.scheduled_at) == at,
        Issue.id != issue.id,
    )
    return session.exec(taken).first() is not None


def newest(session: Session, publication: Publication, limit: int = 100) -> Sequence[Issue]:
    """The publication's issues, the latest period first."""
    rows = select(Issue).where(Issue.publication_id == publication.id)
    return session.exec(rows.order_by(col(Issue.first_day).desc(), col(Issue.id).desc()).limit(limit)).all()
