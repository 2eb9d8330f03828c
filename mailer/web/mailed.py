"""Pages behind links out of mails: whose link it is, the language to answer in, and what may be wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Response
from sqlmodel import Session

from mailer import links
from mailer.issues.languages import available
from mailer.tokens import Purpose, TokenExpired, TokenInvalid
from mailer.web.languages import accepted
from mailer.web.pages import HERE, AcceptLanguage, Site, TheSite
from mailer.web.place import Standing


@dataclass(frozen=True, kw_only=True)
class MailedLink:
    """A link out of a mail, as it came in."""

    site: Site
    token: str
    chosen: str  #: language picked on the page before, "" for none
    accept_language: str

    def read(self, session: Session, purpose: Purpose, standing_of: Callable[[Session, int], Standing | None]) -> int:
        """The id that the token names. Raises LinkProblem."""
        try:
            return self.site.app.tokens.read(purpose, self.token, now=self.site.app.clock())
        except TokenExpired as expired:
            raise LinkProblem(self, "expired", standing_of(session, expired.named), 410) from None
        except TokenInvalid:
            raise LinkProblem(self, "invalid", None, 400) from None

    def language(self, standing: Standing | None) -> str:
        """What was picked, else what the reader subscribed in, else what the browser asks for."""
        known = [self.chosen, standing.subscription.language if standing else ""]
        return next((each for each in known if each in available()), accepted(self.accept_language))

    def page(self, template: str, standing: Standing | None, **values: Any) -> Response:
        """A page for this link, in its reader's language, with itself in the others."""
        place = standing.place if standing else None
        return self.site.page(
            template,
            language=self.language(standing),
            place=place,
            others={each: f"?language={each}" for each in (place.languages if place else available())},
            standing=standing,
            **values,
        )


class LinkProblem(Exception):
    """The link cannot be acted on. Answered with `response()`."""

    def __init__(self, link: MailedLink, problem: str, standing: Standing | None, status: int) -> None:
        super().__init__(problem)
        self._link, self._problem, self._standing, self._status = link, problem, standing, status

    def response(self) -> Response:
        """What is wrong, what to do, and the way to the form."""
        place, language = self._standing and self._standing.place, self._link.language(self._standing)
        form = (
            links.front(HERE, place.slug, language if language in place.languages else place.languages[0])
            if place
            else "/"
        )
        return self._link.page(
            "link-problem.html", self._standing, status=self._status, problem=self._problem, form=form
        )


def _mailed_link(token: str, site: TheSite, accept_language: AcceptLanguage, language: str = "") -> MailedLink:
    return MailedLink(site=site, token=token, chosen=language, accept_language=accept_language)


TheMailedLink = Annotated[MailedLink, Depends(_mailed_link)]
