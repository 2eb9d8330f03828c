"""Pages behind links out of mails: whose link it is, the language to answer in, and what may be wrong with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from mailer import links
from mailer.issues.languages import available
from mailer.rendering.words import Words, words
from mailer.subscribers import optin
from mailer.subscribers.policy import Refusal
from mailer.subscribers.states import SubscriptionStatus
from mailer.tokens import Purpose, TokenError, TokenExpired, TokenInvalid
from mailer.web.languages import accepted
from mailer.web.pages import HERE, AcceptLanguage, Site, TheSite
from mailer.web.place import Standing
from mailer.web.security import reader_network


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
            problem = _EXPIRED.get(purpose, "expired")
            fresh = purpose is Purpose.CONFIRM and optin.foresee(session, expired.named).outcome in optin.COUNTS
            raise LinkProblem(self, problem, standing_of(session, expired.named), 410, expired.named, fresh) from None
        except TokenInvalid:
            raise LinkProblem(self, "invalid", None, 400) from None

    def is_for(self, purpose: Purpose) -> bool:
        """Whether the token was made for it and still counts."""
        try:
            self.site.app.tokens.read(purpose, self.token, now=self.site.app.clock())
        except TokenError:
            return False
        return True

    def preferences(self, subscription_id: int) -> str:
        """The page where the reader of this subscription changes it."""
        return self.onward(links.preferences(HERE, self.site.app.tokens.make(Purpose.PREFERENCES, subscription_id)))

    @property
    def ask_for_my_data(self) -> str:
        """The page that has the link to what we hold mailed to the reader."""
        return self.onward(links.ask_for_my_data(HERE, self.token))

    def onward(self, address: str) -> str:
        """This page of ours, in the language that was picked."""
        return links.in_language(address, self.chosen) if self.chosen in available() else address

    def language(self, standing: Standing | None) -> str:
        """What was picked, else what the reader subscribed in, else what the browser asks for."""
        known = [self.chosen, standing.subscription.language if standing else ""]
        return next((each for each in known if each in available()), accepted(self.accept_language))

    def page(
        self,
        template: str,
        standing: Standing | None,
        *,
        language: str | None = None,
        elsewhere: str = "",
        **values: Any,
    ) -> HTMLResponse:
        """A page for this link, in its reader's language, with itself in the others. `elsewhere`: the address that says
        the same, where an answer to a button would not be had by this one."""
        place = standing.place if standing else None
        return self.site.page(
            template,
            language=language or self.language(standing),
            place=place,
            others={each: links.in_language(elsewhere, each) for each in (place.languages if place else available())},
            standing=standing,
            **values,
        )


_EXPIRED = {
    Purpose.MOVE: "expired move",
    Purpose.MOVE_BACK: "expired move back",
    Purpose.MY_DATA: "expired my data",
}


class LinkProblem(Exception):
    """The link cannot be acted on. Answered with `response()`. `named`: what an expired one named. `fresh`: a fresh one
    of an expired confirm link would still count."""

    def __init__(
        self,
        link: MailedLink,
        problem: str,
        standing: Standing | None,
        status: int,
        named: int | None = None,
        fresh: bool = False,
    ) -> None:
        super().__init__(problem)
        is_read = problem == "expired" and _is(standing, SubscriptionStatus.CONFIRMED)
        self._problem = ("unanswered" if fresh else "needless") if is_read else problem
        self._link, self._standing, self._status, self._fresh = link, standing, status, fresh
        self.named = named

    def response(self) -> Response:
        """What is wrong, what to do, and the way to the form."""
        place, language = self._standing and self._standing.place, self._link.language(self._standing)
        form = (
            links.front(HERE, place.slug, language if language in place.languages else place.languages[0])
            if place
            else self._link.onward(f"{HERE}/")
        )
        return self._link.page(
            "link-problem.html",
            self._standing,
            status=self._status,
            problem=self._problem,
            form=form,
            again=AGAIN if self._may_ask_again() else "",
            my_data=self._link.ask_for_my_data if self._problem == "moved" else "",
        )

    def _may_ask_again(self) -> bool:
        """Whether a button has a new link mailed."""
        if self._problem == "expired my data":
            return self._standing is not None
        waits = self._problem == "expired" and _is(self._standing, SubscriptionStatus.PENDING)
        return self._problem == "unanswered" or (waits and self._fresh)


AGAIN = "again"
"""The field of the button that asks for a new link."""


def _is(standing: Standing | None, status: SubscriptionStatus) -> bool:
    return standing is not None and standing.subscription.status is status


Answer = Callable[[], Response]
"""A page that is still to be made. What it shows is known, and nothing is locked any more when it is."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """A button was pressed on the page behind a link, within the transaction of `session`."""

    session: Session
    request: Request
    link: MailedLink
    fields: Mapping[str, str]
    subscription_id: int
    standing: Standing  #: as it was before

    @property
    def words(self) -> Words:
        return words(self.link.language(self.standing))

    @property
    def network(self) -> str:
        return reader_network(self.request, self.link.site.app.settings.trusted_proxies)

    @property
    def now(self) -> datetime:
        return self.link.site.app.clock()


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the page of the preferences says about the act that was just done."""

    done: str = ""  #: in a word or two, also in the page's title
    changes: Sequence[str] = ()
    wrong: frozenset[str] = frozenset()  #: fields to be corrected
    refusal: Refusal | None = None  #: why the new address is wrong; None: it is none
    typed: Mapping[str, str] = field(default_factory=dict)  #: in those fields
    language: str | None = None  #: that the reader has just chosen


async def _mailed_link(token: str, site: TheSite, accept_language: AcceptLanguage, language: str = "") -> MailedLink:
    return MailedLink(site=site, token=token, chosen=language, accept_language=accept_language)


TheMailedLink = Annotated[MailedLink, Depends(_mailed_link)]
