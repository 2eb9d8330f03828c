"""A due issue becomes deliveries: each edition rendered once, one row for each reader, all in one transaction."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer import tables
from mailer.delivery import ledger
from mailer.delivery.letterhead import head_of, letterhead_of, links_of
from mailer.issues import issue as issues
from mailer.issues.manuscript import Manuscript
from mailer.issues.states import IssueEvent, IssueStatus
from mailer.rendering.apart import Work, apart
from mailer.rendering.body import Body, Letterhead, Links
from mailer.rendering.message import Message, compose
from mailer.settings import Settings
from mailer.tables import Edition, Issue, Publication


def due_issues(session: Session, now: datetime) -> Sequence[int]:
    """Ids of scheduled issues whose time has come, the earliest first; without those that another worker begins."""
    rows = sa.select(col(Issue.id)).where(col(Issue.status) == IssueStatus.SCHEDULED, col(Issue.scheduled_at) <= now)
    rows = rows.order_by(col(Issue.scheduled_at)).with_for_update(skip_locked=True)
    return [row.id for row in session.execute(rows)]


def begin(session: Session, issue_id: int, settings: Settings, now: datetime) -> tuple[str, int] | None:
    """Renders the issue and writes its deliveries. Returns its slug and how many readers get it.

    None where another worker begins it, or somebody has just taken it off the calendar.
    """
    scheduled = select(Issue).where(Issue.id == issue_id, Issue.status == IssueStatus.SCHEDULED)
    issue = session.exec(scheduled.with_for_update(skip_locked=True)).first()
    if issue is None:
        return None
    issues.apply(session, issue, IssueEvent.BEGIN)
    issue.began_at = now
    messages = {
        edition_id: keep(session, issue, edition_id, message, now, host=settings.link_hosts[0])
        for edition_id, message in render(session, issue, settings, _apart).items()
    }
    return issue.slug, ledger.enqueue_issue(session, issue, messages, now)


Editions = Sequence[tuple[Sequence[str], Links]]
Make = Callable[[Manuscript, Letterhead, Editions], list[Body]]


def _here(manuscript: Manuscript, letterhead: Letterhead, editions: Editions) -> list[Body]:
    from mailer.rendering.html import render_editions  # 25 MB, for commands that end soon

    return render_editions(manuscript, letterhead, editions)


def _apart(manuscript: Manuscript, letterhead: Letterhead, editions: Editions) -> list[Body]:
    made: list[Body] = apart(Work.EDITIONS, manuscript, letterhead, editions)
    return made


def render(session: Session, issue: Issue, settings: Settings, make: Make = _here) -> dict[int, Message]:
    """The issue's message in each edition whose languages it has: edition id -> message.

    Raises IssueError where an edition that has readers cannot be made: nobody is passed over in silence.
    """
    publication = session.get_one(Publication, issue.publication_id)
    manuscript, host = issues.manuscript(session, issue), settings.link_hosts[0]
    editions = list[Edition]()
    for edition in session.exec(select(Edition).where(Edition.publication_id == publication.id)):
        missing = sorted(set(edition.languages) - manuscript.texts.keys())
        if missing:
            _refuse_if_read(session, issue, edition, missing)
        else:
            editions.append(edition)
    bodies = make(
        manuscript,
        letterhead_of(publication),
        [
            (
                edition.languages,
                links_of(
                    publication,
                    edition.languages,
                    issue.slug,
                    host,
                    edition=edition.code,
                    private=issue.private,
                    mail_domain=settings.mail_domain if settings.takes_mail else None,
                ),
            )
            for edition in editions
        ],
    )
    made = {}
    for edition, body in zip(editions, bodies, strict=True):
        assert edition.id is not None
        head = head_of(
            publication,
            edition.languages,
            host=host,
            mail_domain=settings.mail_domain,
            token_field=settings.events_header,
            feedback=(issue.slug, edition.code),
        )
        made[edition.id] = compose(body, head)
    return made


def _refuse_if_read(session: Session, issue: Issue, edition: Edition, missing: Sequence[str]) -> None:
    readers = ledger.count_readers(session, edition)
    if readers:
        files = ", ".join(f"{language}.md" for language in missing)
        raise issues.IssueError(
            f"{issue.slug} lacks {files}, and the edition {edition.code} has {readers} readers."
            f" Type: mailer issue cancel {issue.slug}, then add the file and queue it again."
        )


def preflight(session: Session, issue: Issue, settings: Settings) -> list[str]:
    """One line for each edition: its size, and how many readers it has today. Raises what rendering raises."""
    lines = []
    for edition_id, message in render(session, issue, settings).items():
        edition = session.get_one(Edition, edition_id)
        readers = ledger.count_readers(session, edition)
        lines.append(f"{edition.code}: {len(message.body) / 1024:.0f} KB, {readers} readers")
    return lines


def keep(
    session: Session, issue: Issue, edition_id: int, message: Message, now: datetime, *, host: str | None = None
) -> int:
    """Stores the message, once for equal bytes. `host`: where its links point. Returns its id."""
    assert issue.id is not None
    content = message.dump()
    digest = hashlib.sha256(content).hexdigest()
    same = select(tables.Message.id).where(
        tables.Message.issue_id == issue.id, tables.Message.edition_id == edition_id, tables.Message.digest == digest
    )
    known = session.exec(same).first()
    if known is not None:
        return known
    row = tables.Message(
        issue_id=issue.id, edition_id=edition_id, digest=digest, content=content, rendered_at=now, host=host
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    return row.id


def pointing_elsewhere(session: Session, host: str) -> Sequence[int]:
    """Ids of the issues going out of which something waits whose links do not point to `host`."""
    waits = sa.exists().where(
        col(tables.Delivery.issue_id) == col(tables.Message.issue_id),
        col(tables.Delivery.message_id) == col(tables.Message.id),
        col(tables.Delivery.due_at).is_not(None),
    )
    going_out = col(Issue.status).in_((IssueStatus.SENDING, IssueStatus.PAUSED))
    elsewhere = sa.select(col(Issue.id)).distinct().join(tables.Message)
    rows = session.execute(elsewhere.where(going_out, col(tables.Message.host) != host, waits))
    return [row.id for row in rows]


def point(session: Session, issue_id: int, settings: Settings, now: datetime) -> str:
    """Renders the issue anew, with the links of today, for those who still wait for it. Returns its slug.

    What has left stays what it was: its message is kept beside the new one. Raises what render raises.
    """
    issue = session.exec(select(Issue).where(Issue.id == issue_id).with_for_update()).one()
    for edition_id, message in render(session, issue, settings, _apart).items():
        message_id = keep(session, issue, edition_id, message, now, host=settings.link_hosts[0])
        ledger.exchange(session, issue_id, edition_id, message_id)
    return issue.slug


def stop(session: Session, message_id: int) -> str | None:
    """Pauses the issue of this message while it is going out. Returns its slug; None where somebody was faster."""
    issue = session.get_one(Issue, session.get_one(tables.Message, message_id).issue_id)
    if issue.status is not IssueStatus.SENDING:
        return None
    issues.apply(session, issue, IssueEvent.PAUSE)
    return issue.slug


def has_unfinished(session: Session) -> bool:
    """Whether finish() has anything to look at."""
    going = select(Issue.id).where(Issue.status == IssueStatus.SENDING)
    return session.exec(going).first() is not None or session.execute(_cancelled_with_waiting()).first() is not None


def finish(session: Session, now: datetime) -> list[Issue]:
    """Marks as sent the issues of which nothing is left to send, and withdraws the rest of cancelled ones."""
    finished = []
    going = select(Issue).where(Issue.status == IssueStatus.SENDING)
    for issue in session.exec(going.with_for_update(skip_locked=True)):  # another worker may be at it
        assert issue.id is not None
        if ledger.is_finished(session, issue.id):
            issues.apply(session, issue, IssueEvent.FINISH)
            issue.finished_at = now
            finished.append(issue)
    for issue_id in session.execute(_cancelled_with_waiting()).scalars().all():
        assert issue_id is not None
        ledger.withdraw_issue(session, issue_id, now)
    return finished


def _cancelled_with_waiting() -> sa.Select[int | None]:
    waiting = sa.exists().where(
        col(tables.Delivery.issue_id) == col(Issue.id), col(tables.Delivery.due_at).is_not(None)
    )
    return sa.select(col(Issue.id)).where(col(Issue.status) == IssueStatus.CANCELLED, waiting)
