"""For search engines: robots.txt (RFC 9309) and sitemaps (sitemaps.org), a file a year, so that none grows too long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from mailer import links
from mailer.issues import published
from mailer.web import place
from mailer.web.pages import HERE, KEPT_FOR_A_MINUTE, READ, Site, TheSite
from mailer.web.place import Place

router = APIRouter()

OPEN = {"static", "health"}
"""Reserved segments that a crawler may fetch: a page is judged with its stylesheet."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """An address with the same page in other languages, itself among them."""

    path: str
    languages: dict[str, str]  #: language -> path
    changed: date | None = None


@router.api_route("/robots.txt", methods=READ)
def robots(site: TheSite) -> Response:
    """Everything that is for everybody may be read."""
    closed = sorted(links.PATHS - OPEN)
    rules = [line for name in closed for line in (f"Disallow: /{name}/", f"Disallow: /{name}$")]
    text = "\n".join(["User-agent: *", *rules, "", f"Sitemap: {site.app.link_host}/sitemap.xml", ""])
    return PlainTextResponse(text, headers={"Cache-Control": KEPT_FOR_A_MINUTE})


@router.api_route("/sitemap.xml", methods=READ)
def sitemaps(site: TheSite) -> Response:
    """The sitemaps of every publication."""
    paths = []
    with site.app.database.read() as session:
        for at in place.every(session):
            paths.append(f"{HERE}/{at.slug}/sitemap.xml")
            paths += [
                f"{HERE}/{at.slug}/sitemap-{year}.xml" for year in _years(published.years(session, at.publication))
            ]
    return _xml(site, "sitemaps.xml", paths=paths)


@router.api_route("/{publication}/sitemap.xml", methods=READ)
def sitemap(publication: str, site: TheSite) -> Response:
    """A publication's front pages and lists of weeks."""
    with site.app.database.read() as session:
        at = _place(place.find(session, publication))
        years = published.years(session, at.publication)
    front = {each: links.front(HERE, at.slug, each) for each in at.languages}
    pages = _pages(front)
    for year in [None, *_years(years)]:
        listed = [each for each in at.languages if each in years and (year is None or year in years[each])]
        pages += _pages({each: links.archive(HERE, at.slug, each, year) for each in listed})
    return _xml(site, "sitemap.xml", pages=pages)


@router.api_route("/{publication}/sitemap-{year}.xml", methods=READ)
def sitemap_of_a_year(publication: str, year: str, site: TheSite) -> Response:
    """A year's issues and commentaries."""
    with site.app.database.read() as session:
        at = _place(place.find(session, publication))
        if year not in map(str, _years(published.years(session, at.publication))):
            raise HTTPException(404)
        issues = published.of_year(session, at.publication, int(year))
        written = published.commentaries(session, [issue.id for issue in issues])
    pages = list[Page]()
    for issue in issues:
        rows = [row for row in written.get(issue.id, ()) if row.language in at.languages]
        changed = issue.began_at.date() if issue.began_at else None
        pages += _pages({row.language: links.issue(HERE, at.slug, row.language, issue.slug) for row in rows}, changed)
        for row in rows:
            sisters = {
                language: links.commentary(HERE, at.slug, language, issue.slug, sister.name)
                for language, sister in published.sisters(rows, row).items()
            }
            pages.append(Page(path=sisters[row.language], languages=sisters, changed=changed))
    return _xml(site, "sitemap.xml", pages=pages)


def _years(of_languages: Mapping[str, Sequence[int]]) -> list[int]:
    return sorted({year for years in of_languages.values() for year in years}, reverse=True)


def _pages(languages: dict[str, str], changed: date | None = None) -> list[Page]:
    return [Page(path=path, languages=languages, changed=changed) for path in languages.values()]


def _place(found: Place | None) -> Place:
    if found is None:
        raise HTTPException(404)
    return found


def _xml(site: Site, template: str, **values: object) -> Response:
    text = site.pages.render(template, "en", origin=site.app.link_host, **values)
    return Response(text, media_type="application/xml", headers={"Cache-Control": KEPT_FOR_A_MINUTE})
