"""The way in: a publication's page with the subscribe form."""

from collections.abc import Mapping

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from mailer import links
from mailer.issues.languages import available
from mailer.issues.published import Week
from mailer.rendering.words import words
from mailer.web import archive, place, wording
from mailer.web.asking import stamp
from mailer.web.card import Card
from mailer.web.languages import accepted
from mailer.web.pages import HERE, KEPT_FOR_A_MINUTE, NEVER_KEPT, READ, AcceptLanguage, Site, TheSite
from mailer.web.place import Place

router = APIRouter()

HONEYPOT = "website"
"""A field that people do not see and programs fill in."""

STAMP = "stamp"
"""A hidden field: when the form was made."""

PROOF = "altcha"
"""A field for a proof of work, called as altcha's own widget calls it."""


@router.api_route("/", methods=READ)
def home(site: TheSite, accept_language: AcceptLanguage, language: str = "") -> Response:
    """The one publication, or the list of them. `language`: picked on a page before, and taken along."""
    with site.app.database.read() as session:
        places = place.every(session)
    picked = language if language in available() else ""
    onward = {each.slug: f"{HERE}/{each.slug}" for each in places}
    if picked:
        onward = {slug: links.in_language(address, picked) for slug, address in onward.items()}
    if len(places) == 1:
        return _redirect(onward[places[0].slug])
    page = site.page(
        "home.html",
        language=picked or accepted(accept_language),
        others={each: f"?language={each}" for each in available()},
        places=places,
        onward=onward,
    )
    page.headers["Vary"] = "Accept-Language"
    return page


@router.api_route("/{publication}", methods=READ)
def choose_language(publication: str, site: TheSite, accept_language: AcceptLanguage, language: str = "") -> Response:
    """On to the page in the language that was picked before, or else that the browser asks for."""
    at = find(site, publication)
    spoken = language if language in at.languages else accepted(accept_language, at.languages)
    return _redirect(links.front(HERE, at.slug, spoken))


@router.api_route("/{publication}/{language}", methods=READ)
def front(publication: str, language: str, site: TheSite) -> Response:
    """What there is to read, and the form."""
    return front_page(site, find(site, publication, language), language)


def find(site: Site, publication: str, language: str | None = None) -> Place:
    """The place of an address. Raises HTTPException 404 where there is none, or not in this language."""
    with site.app.database.read() as session:
        at = place.find(session, publication)
    if at is None or (language is not None and language not in at.languages):
        raise HTTPException(404)
    return at


def front_page(
    site: Site,
    at: Place,
    language: str,
    *,
    typed: Mapping[str, str] | None = None,
    wrong: Mapping[str, object] | None = None,
) -> Response:
    """The form, again with what was `typed` where some fields were `wrong`: an address as a "typo" or for a Refusal."""
    with site.app.database.read() as session:
        latest = archive.latest(session, at, language)
    preferred = at.edition_for(language)
    others = {each: links.front(HERE, at.slug, each) for each in at.languages}
    return site.page(
        "front.html",
        language=language,
        place=at,
        others=others,
        status=422 if wrong else 200,
        keep=NEVER_KEPT if wrong else KEPT_FOR_A_MINUTE,
        card=None if wrong else _card(at, language, others, latest),
        latest=None if wrong else latest,
        typed={"edition": preferred.code if preferred else "", "address": "", **(typed or {})},
        wrong={"edition": False, "address": None, **(wrong or {})},
        honeypot=HONEYPOT,
        stamp=(typed or {}).get(STAMP) or stamp(site.app, site.app.clock()),
        by_mail=site.by_mail(at),
        agreement=wording.agreement(words(language), at),
    )


def _card(at: Place, language: str, others: Mapping[str, str], latest: Week | None) -> Card:
    headlines = " · ".join(each.headline for each in latest.commentaries) if latest else ""
    return Card(
        path=others[language],
        title=at.name(language),
        description=headlines or words(language).gettext("A weekly commentary, sent to you by e-mail"),
        languages={**others, "x-default": f"{HERE}/{at.slug}"},
    )


def _redirect(path: str) -> Response:
    return RedirectResponse(path, status_code=307, headers={"Vary": "Accept-Language", "Cache-Control": "no-cache"})
