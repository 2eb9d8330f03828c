"""What was sent, on the web: the weeks, an issue, its pictures. Nothing here depends on who asks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

import sqlalchemy as sa
from fastapi import APIRouter, Response
from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException

from mailer import links
from mailer.issues.source import parse_translation
from mailer.issues.states import IssueStatus
from mailer.rendering.fragment import Shown, fragment
from mailer.tables import Issue, Picture, Translation
from mailer.web.pages import HERE, KEPT_FOR_A_MINUTE, READ, TheSite
from mailer.web.place import Place, find

router = APIRouter()

COLUMN = 600
"""Width of the text, CSS pixels."""

PUBLIC = sa.or_(
    col(Issue.status).in_((IssueStatus.SENDING, IssueStatus.PAUSED, IssueStatus.SENT)),
    sa.and_(col(Issue.status) == IssueStatus.CANCELLED, col(Issue.began_at).is_not(None)),
)
"""Issues that some reader has: a cancelled one too, if it had begun to go out."""


@router.api_route("/{publication}/{language}/issues", methods=READ)
def list_weeks(publication: str, language: str, site: TheSite) -> Response:
    """Every week that was sent in this language, newest first."""
    with site.app.database.read() as session:
        at = _place(session, publication, language)
        found = weeks(session, at, language)
    return site.page(
        "archive.html",
        language=language,
        place=at,
        others={each: links.archive(HERE, at.slug, each) for each in at.languages},
        keep=KEPT_FOR_A_MINUTE,
        weeks=found,
    )


@router.api_route("/{publication}/{language}/issues/{slug}", methods=READ)
def show_issue(publication: str, language: str, slug: str, site: TheSite) -> Response:
    """One week, as it was written."""
    with site.app.database.read() as session:
        at = _place(session, publication, language)
        issue = _public(session, at, slug)
        written = {row.language: row for row in _translations(session, issue)}
        sizes = {name: (width, height) for name, width, height in _sizes(session, issue)}
    if language not in written:
        raise HTTPException(404)
    others = {each: links.issue(HERE, at.slug, each, slug) for each in at.languages if each in written}
    return site.page(
        "issue.html",
        language=language,
        place=at,
        others=others,
        keep=KEPT_FOR_A_MINUTE,
        issue=parse_translation(written[language].source, f"{language}.md", language),
        text=partial(fragment, show=_shown(links.issue(HERE, at.slug, language, slug), sizes)),
    )


def _shown(page: str, sizes: Mapping[str, tuple[int, int]]) -> Callable[[str], Shown]:
    """Where the page at address `page` has a picture, and how large: no wider than the column."""

    def show(name: str) -> Shown:
        width, height = sizes.get(name, (COLUMN, COLUMN))
        scale = min(1, COLUMN / width)
        return Shown(f"{page}/{quote(name)}", round(width * scale), round(height * scale))

    return show


@router.api_route("/{publication}/{language}/issues/{slug}/{name}", methods=READ)
def show_picture(publication: str, language: str, slug: str, name: str, site: TheSite) -> Response:
    """A picture of an issue."""
    with site.app.database.read() as session:
        issue = _public(session, _place(session, publication, language), slug)
        found = None if "\0" in name else session.get(Picture, (issue.id, name))
    if found is None or found.media_type not in _PICTURES:
        raise HTTPException(404)
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": "public, max-age=86400"})


_PICTURES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def weeks(session: Session, at: Place, language: str, *, limit: int | None = None) -> Sequence[Issue]:
    """Issues that can be read in `language`, newest first."""
    readable = (
        select(Issue)
        .join(Translation)
        .where(Issue.publication_id == at.publication.id, Translation.language == language, PUBLIC)
        .order_by(col(Issue.first_day).desc(), col(Issue.id).desc())
    )
    return session.exec(readable.limit(limit)).all()


def _place(session: Session, publication: str, language: str) -> Place:
    at = find(session, publication)
    if at is None or language not in at.languages:
        raise HTTPException(404)
    return at


def _public(session: Session, at: Place, slug: str) -> Issue:
    named = select(Issue).where(Issue.publication_id == at.publication.id, Issue.slug == slug, PUBLIC)
    issue = None if "\0" in slug else session.exec(named).one_or_none()
    if issue is None:
        raise HTTPException(404)
    return issue


def _translations(session: Session, issue: Issue) -> Sequence[Translation]:
    return session.exec(select(Translation).where(Translation.issue_id == issue.id)).all()


def _sizes(session: Session, issue: Issue) -> Sequence[tuple[str, int, int]]:
    return session.exec(select(Picture.name, Picture.width, Picture.height).where(Picture.issue_id == issue.id)).all()
