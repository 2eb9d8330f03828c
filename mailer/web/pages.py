"""Pages from templates/web: the words of their language, their addresses, their stylesheets."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from mailer import links
from mailer.app import App
from mailer.issues.languages import available
from mailer.rendering.templates import spoken
from mailer.rendering.words import words
from mailer.resources import resource
from mailer.subscribers.policy import Policy
from mailer.web import accent
from mailer.web.altcha import Challenges
from mailer.web.card import Card
from mailer.web.place import Place
from mailer.web.reading import Readings
from mailer.web.tries import Tries

NEVER_KEPT = "no-store"
KEPT_FOR_A_MINUTE = "public, max-age=60"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"  # a year; the address changes with the content

HERE = ""
"""The host of links between our own pages: they stay on the mirror that the reader could reach."""


class Pages:
    """The templates and stylesheets."""

    def __init__(self) -> None:
        folder = resource("templates") / "web"
        self._files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".css", ".js")}
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            links=links,
            here=HERE,
            stylesheet=self.file,
            script=self.file,
            accent=accent.address,
            words_of=words,
            known_languages=available(),
        )
        self._environment.filters.update(digits=_digits)

    def render(self, template: str, language: str, **values: Any) -> str:
        """The page as text. Beside `values` it knows the language's `words`."""
        speech = words(language)
        return self._environment.get_template(template).render({**spoken(speech), "words": speech, **values})

    def file(self, name: str) -> str:
        """The address of a stylesheet or script; it holds the content's hash, so that it can be kept for ever."""
        stem, _, ending = name.rpartition(".")
        digest = hashlib.sha256(self._files[name]).hexdigest()[:12]
        return f"{HERE}/static/{stem}.{digest}.{ending}"

    def file_at(self, path: str) -> bytes | None:
        """What `file` gave this address to."""
        return next((content for name, content in self._files.items() if self.file(name) == path), None)


@functools.cache
def the_pages() -> Pages:
    """The templates, read and compiled once in a process."""
    return Pages()


@dataclass(frozen=True, kw_only=True)
class Site:
    """What an endpoint is handed."""

    app: App
    pages: Pages
    tries: Tries  #: at the console's door
    challenges: Challenges
    policy: Policy
    readings: Readings = field(default_factory=Readings)

    def page(
        self,
        template: str,
        *,
        language: str,
        place: Place | None = None,
        others: Mapping[str, str] | None = None,
        status: int = 200,
        keep: str = NEVER_KEPT,
        card: Card | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """A reader's page. `others`: the same in other languages, language -> address. `card`: of a public one."""
        known = {"place": place, "others": others or {}, "card": card, "origin": self.app.link_host}
        text = self.pages.render(template, language, **known, **values)
        return HTMLResponse(text, status_code=status, headers={"Cache-Control": keep, "Content-Language": language})

    def by_mail(self, at: Place) -> dict[str, str]:
        """Where to write to subscribe without our pages: label of the edition -> address. Empty where nobody reads."""
        if not self.app.settings.takes_mail:
            return {}
        domain = self.app.settings.mail_domain
        return {each.label: links.subscribe_by_mail(at.slug, each.code, domain) for each in at.editions}

    def console_page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of the console: English, and kept nowhere.

        Its forms tell their origin, which is checked; under no-referrer browsers say "null" (Fetch §3.2).
        """
        text = self.pages.render(template, "en", **values)
        headers = {"Cache-Control": NEVER_KEPT, "Referrer-Policy": "same-origin"}
        return HTMLResponse(text, status_code=status, headers=headers)


async def _the_site(request: Request) -> Site:
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


async def _accept_language(request: Request) -> str:
    return request.headers.get("accept-language", "")


async def _the_fields(request: Request) -> dict[str, str]:
    """The form's text fields, urlencoded or multipart; files are ignored. Raises HTTPException 400 or 413."""
    try:
        async with request.form(max_files=10, max_fields=50) as form:
            return {name: clean(value) for name, value in form.items() if isinstance(value, str)}
    except (UnicodeError, ValueError):
        raise HTTPException(400) from None


async def _the_fields_if_any(request: Request) -> dict[str, str]:
    try:
        return await _the_fields(request)
    except HTTPException:
        return {}


def clean(value: str) -> str:
    """Only what can be stored and shown: no NUL, which PostgreSQL refuses, and no lone surrogates."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


TheSite = Annotated[Site, Depends(_the_site)]
AcceptLanguage = Annotated[str, Depends(_accept_language)]
TheFields = Annotated[dict[str, str], Depends(_the_fields)]
LenientFields = Annotated[dict[str, str], Depends(_the_fields_if_any)]
"""None where the body is broken: for a request that is clear without them."""

READ = ["GET", "HEAD"]
"""The methods that change nothing."""


def _digits(number: int) -> str:
    """Grouped by thin spaces: 1 000 000."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
