"""What was sent, on the web: the weeks, an issue, a commentary, pictures. Nothing here depends on who asks."""

import re
from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from sqlmodel import Session
from starlette.exceptions import HTTPException

from mailer import links
from mailer.issues import published
from mailer.issues.published import Week
from mailer.rendering.words import words
from mailer.tables import Commentary, Issue, Picture
from mailer.web.card import Card
from mailer.web.pages import HERE, KEPT_FOR_A_MINUTE, READ, Site, TheSite
from mailer.web.place import Place, find
from mailer.web.reading import Reading

router = APIRouter()

NEWEST = 26
"""Weeks on the first page of the list: half a year. Every year has a page of its own, whose address stays."""

_PICTURES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


@router.api_route("/{publication}/{language}/issues", methods=READ)
def list_weeks(publication: str, language: str, site: TheSite, year: str = "") -> Response:
    """The newest weeks in this language, or those of a year, newest first."""
    with site.app.database.read() as session:
        at = place_of(session, publication, language)
        years = published.years(session, at.publication)
        asked = _year(year, years.get(language, ()))
        weeks = published.weeks(session, at.publication, language, year=asked, limit=None if asked else NEWEST)
    others = {
        each: links.archive(HERE, at.slug, each, asked if asked in years.get(each, ()) else None)
        for each in at.languages
    }
    return site.page(
        "archive.html",
        language=language,
        place=at,
        others=others,
        keep=KEPT_FOR_A_MINUTE,
        card=Card(
            path=others[language],
            title=f"{words(language).gettext('All issues')}{f', {asked}' if asked else ''}",
            description=words(language).gettext("A weekly commentary, sent to you by e-mail"),
            languages={each: path for each, path in others.items() if not asked or asked in years.get(each, ())},
        ),
        weeks=weeks,
        years=years.get(language, ()),
        year=asked,
    )


@router.api_route("/{publication}/{language}/issues/{slug}", methods=READ)
def show_issue(publication: str, language: str, slug: str, site: TheSite) -> Response:
    """One week, as it was written."""
    with site.app.database.read() as session:
        at = place_of(session, publication, language)
        issue = _shown(session, at, slug)
        written = published.languages(session, issue)
        if language not in written:
            return _elsewhere(
                site, at, issue, language, {each: links.issue(HERE, at.slug, each, slug) for each in written}
            )
        reading = _reading(site, session, at, issue, language)
        before, after = published.neighbours(session, at.publication, issue, language)
    others = {each: links.issue(HERE, at.slug, each, slug) for each in at.languages if each in written}
    return site.page(
        "issue.html",
        language=language,
        place=at,
        others=others,
        keep=KEPT_FOR_A_MINUTE,
        card=Card(
            path=others[language],
            title=words(language).gettext(
                "{title}, {period}",
                title=reading.title,
                period=words(language).period(issue.first_day, issue.last_day),
            ),
            description=reading.description,
            languages=others,
            picture=reading.picture,
            published=issue.began_at,
        ),
        issue=reading,
        slug=slug,
        before=before,
        after=after,
    )


@router.api_route("/{publication}/{language}/issues/{slug}/{name}", methods=READ)
def show_part(publication: str, language: str, slug: str, name: str, site: TheSite) -> Response:
    """A commentary of an issue, or a picture: no commentary has a dot in its name."""
    with site.app.database.read() as session:
        at = place_of(session, publication, language)
        issue = _shown(session, at, slug)
        written = [] if "." in name else published.commentaries(session, [issue.id]).get(issue.id, [])
        one = next((each for each in written if (each.language, each.name) == (language, name)), None)
        if one is None:
            return _of_another_language(site, at, issue, language, name, written) or _picture(session, issue, name)
        reading = _reading(site, session, at, issue, language)
    return _commentary(site, at, issue, reading, one, written)


def _of_another_language(
    site: Site, at: Place, issue: Issue, language: str, name: str, written: Sequence[Commentary]
) -> Response | None:
    """For the name of a commentary of an issue that did not appear in `language`; None for what is no such name."""
    named = {each.language for each in written if each.name == name}
    if not named or any(each.language == language for each in written):
        return None
    return _elsewhere(
        site, at, issue, language, {each: links.commentary(HERE, at.slug, each, issue.slug, name) for each in named}
    )


def _elsewhere(site: Site, at: Place, issue: Issue, language: str, found: Mapping[str, str]) -> Response:
    """404 with where the same is in other languages: language -> address. Raises HTTPException 404 for none."""
    others = {each: found[each] for each in at.languages if each in found}
    if not others:
        raise HTTPException(404)
    return site.page("elsewhere.html", language=language, place=at, others=others, status=404, issue=issue)


def _commentary(
    site: Site, at: Place, issue: Issue, reading: Reading, one: Commentary, written: Sequence[Commentary]
) -> Response:
    sisters = {
        language: links.commentary(HERE, at.slug, language, issue.slug, sister.name)
        for language, sister in published.sisters(written, one).items()
        if language in at.languages
    }
    whole = {each.language: links.issue(HERE, at.slug, each.language, issue.slug) for each in written}
    article = reading.articles[one.position - 1]
    return site.page(
        "commentary.html",
        language=one.language,
        place=at,
        others={each: sisters.get(each, whole.get(each, "")) for each in at.languages if each in whole},
        keep=KEPT_FOR_A_MINUTE,
        card=Card(
            path=sisters[one.language],
            title=one.headline,
            description=one.opening,
            languages=sisters,
            picture=article.picture,
            published=issue.began_at,
        ),
        issue=issue,
        article=article,
        before=reading.articles[one.position - 2] if one.position > 1 else None,
        after=next(iter(reading.articles[one.position :]), None),
    )


def _picture(session: Session, issue: Issue, name: str) -> Response:
    found = None if "\0" in name else session.get(Picture, (issue.id, name))
    if found is None or found.media_type not in _PICTURES:
        raise HTTPException(404)
    # No longer than the pages, so that hiding takes effect; mails bring their pictures along and ask for none here.
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": KEPT_FOR_A_MINUTE})


def latest(session: Session, at: Place, language: str) -> Week | None:
    """The newest week that can be read in `language`."""
    return next(iter(published.weeks(session, at.publication, language, limit=1)), None)


def place_of(session: Session, publication: str, language: str) -> Place:
    """The place of an address. Raises HTTPException 404."""
    at = find(session, publication)
    if at is None or language not in at.languages:
        raise HTTPException(404)
    return at


def _year(asked: str, years: Sequence[int]) -> int | None:
    """The year in the address, None where none is. Raises HTTPException 404 where nothing is of that year."""
    if not asked:
        return None
    if not re.fullmatch("[0-9]{4}", asked) or int(asked) not in years:
        raise HTTPException(404)
    return int(asked)


def _shown(session: Session, at: Place, slug: str) -> Issue:
    issue = published.find(session, at.publication, slug)
    if issue is None:
        raise HTTPException(404)
    return issue


def _reading(site: Site, session: Session, at: Place, issue: Issue, language: str) -> Reading:
    reading = site.readings.of(session, at, issue, language, HERE)
    if reading is None:
        raise HTTPException(404)
    return reading
