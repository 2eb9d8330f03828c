"""Double opt-in: the form asks, the link in the mail confirms. GET and HEAD change nothing, whoever sends them."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from mailer import links
from mailer.delivery import automatic
from mailer.issues import published
from mailer.issues.languages import available
from mailer.issues.published import Latest
from mailer.rendering.words import words
from mailer.subscribers import address, optin
from mailer.subscribers.address import Address, AddressError
from mailer.subscribers.optin import COUNTS, Confirmation, Confirmed
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Subscriber
from mailer.tokens import Purpose
from mailer.web import asking, wording
from mailer.web.altcha import HARDER, TRIES, encoded
from mailer.web.asking import Answer, Asking, Outcome, evenly
from mailer.web.front import HONEYPOT, PROOF, STAMP, find, front_page
from mailer.web.languages import accepted
from mailer.web.mailed import AGAIN, LinkProblem, MailedLink, TheMailedLink
from mailer.web.pages import HERE, READ, AcceptLanguage, LenientFields, Site, TheFields, TheSite
from mailer.web.place import Place, Standing, of_consent_id
from mailer.web.security import WITH_SCRIPT, other_site, reader_network

router = APIRouter()


# The form


@router.api_route("/subscribe", methods=READ)
def look_for_form(language: str = "") -> Response:
    """The form is on the front page: for who reloads an answer, or types its address."""
    front = f"{HERE}/"
    return RedirectResponse(links.in_language(front, language) if language in available() else front, status_code=303)


@router.post("/subscribe")
async def subscribe(request: Request, site: TheSite, fields: TheFields, accept_language: AcceptLanguage) -> Response:
    """The same page for every address that could be one: it does not tell who reads us."""
    return await evenly(site.app.database.beside_others(partial(_subscribe, request, site, fields, accept_language)))


def _subscribe(request: Request, site: Site, fields: Mapping[str, str], accept_language: str) -> Response:
    at = find(site, fields.get("publication", ""))
    language = fields.get("language", "")
    language = language if language in at.languages else accepted(accept_language, at.languages)
    edition = at.edition(fields.get("edition", ""))
    try:
        reader = address.parse(fields.get("address", ""))
    except AddressError:  # the page says it in the reader's language
        return front_page(site, at, language, typed=fields, wrong={"edition": edition is None, "address": "typo"})
    refusal = site.policy.refusal(reader)
    if edition is None or refusal:
        return front_page(site, at, language, typed=fields, wrong={"edition": edition is None, "address": refusal})
    if fields.get(HONEYPOT):
        return _check_mailbox(site, at, language)
    is_ours = asking.is_stamped(site.app, fields.get(STAMP, ""), site.app.clock())
    if not is_ours or other_site(request, site.app.settings.link_hosts):
        # The record says that our words were agreed to: who filled in another site's form sees them on the next page.
        fields = {**fields, STAMP: "", PROOF: ""}
    asked = Asking(
        edition=edition,
        address=reader,
        language=language,
        wording=wording.agreement(words(language), at),
        source=f"form {links.front(site.app.link_host, at.slug, language)}",
        network=reader_network(request, site.app.settings.trusted_proxies),
        stamp=fields.get(STAMP, ""),
        proof=fields.get(PROOF, ""),
    )
    answer = asking.ask(site.app, site.challenges, asked)
    if answer.outcome is Outcome.RECEIVED:
        return _check_mailbox(site, at, language)
    if answer.outcome is Outcome.TOO_MANY:
        return _too_many(site, at, language, answer)
    return _one_more_step(site, at, asked, answer)


def _check_mailbox(site: Site, at: Place, language: str, *, is_read: bool = False) -> Response:
    minutes = site.app.settings.confirmation_window_minutes
    others = _fronts(at)
    return site.page("check-mailbox.html", language=language, place=at, others=others, minutes=minutes, is_read=is_read)


def _too_many(site: Site, at: Place, language: str, answer: Answer) -> Response:
    seconds = _seconds(site, answer)
    page = site.page(
        "too-many.html",
        language=language,
        place=at,
        others=_fronts(at),
        status=429,
        minutes=-(-seconds // 60),
        by_mail=site.by_mail(at),
    )
    page.headers["Retry-After"] = str(seconds)
    return page


def _one_more_step(site: Site, at: Place, asked: Asking, answer: Answer) -> Response:
    """The request once more, with a button; with a challenge where a button is not enough."""
    now = site.app.clock()
    challenge = ""
    if answer.outcome is Outcome.WAIT:
        challenge = asked.proof  # the wait goes on
    elif answer.outcome is Outcome.PRESSED:
        challenge = encoded(site.challenges.make(now, tries=HARDER * TRIES))
    fields = {
        "publication": at.slug,
        "language": asked.language,
        "edition": asked.edition.code,
        "address": asked.address.text,
        STAMP: asked.stamp or asking.stamp(site.app, now),
    }
    if answer.outcome is Outcome.TOO_SOON and site.challenges.read(asked.proof, now):
        fields[PROOF] = asked.proof  # the work is done
    page = site.page(
        "one-more-step.html",
        language=asked.language,
        place=at,
        others=_fronts(at),
        fields=fields,
        edition=asked.edition,
        proof=PROOF,
        challenge=challenge,
        seconds=_seconds(site, answer) if answer.again else None,
        agreement=asked.wording,
        by_mail=site.by_mail(at),
    )
    if challenge:
        page.headers["Content-Security-Policy"] = WITH_SCRIPT
    return page


def _fronts(at: Place) -> dict[str, str]:
    return {each: links.front(HERE, at.slug, each) for each in at.languages}


def _seconds(site: Site, answer: Answer) -> int:
    assert answer.again is not None
    return max(-int((site.app.clock() - answer.again).total_seconds() // 1), 1)


# The link in the confirmation


@router.api_route("/c/{token}", methods=READ)
def ask_to_confirm(link: TheMailedLink) -> Response:
    """A button. What opens links on its own, such as a mail gateway's scanner, presses none."""
    site = link.site
    with site.app.database.read() as session:
        consent_id = link.read(session, Purpose.CONFIRM, of_consent_id)
        foreseen = optin.foresee(session, consent_id)
        standing, latest = _standing(session, link, consent_id)
    if foreseen.outcome not in COUNTS or standing is None:
        return _outcome_page(link, foreseen, standing, latest)
    language = link.language(standing)
    question = wording.confirmation(words(language), standing.place, standing.edition.label)
    next_issue = standing.next_issue(site.app.clock())
    return link.page("confirm.html", standing, question=question, next_issue=next_issue)


@router.post("/c/{token}")
async def confirm(request: Request, link: TheMailedLink, fields: LenientFields) -> Response:
    """The button was pressed: the reader is subscribed. Or that of an expired link, for a new one."""
    return await link.site.app.database.beside_others(partial(_confirm, request, link, fields))


def _confirm(request: Request, link: MailedLink, fields: Mapping[str, str]) -> Response:
    app = link.site.app
    try:
        with app.database.read() as session:
            consent_id = link.read(session, Purpose.CONFIRM, of_consent_id)
            standing, latest = _standing(session, link, consent_id)
    except LinkProblem as problem:
        if AGAIN not in fields or problem.named is None:
            raise
        return _confirm_again(request, link, problem.named)

    def act(session: Session) -> Confirmed:
        confirmed = optin.confirm(
            session,
            consent_id,
            wording=_confirmation(link, standing),
            language=link.language(standing) if standing else None,
            source="link",
            network=reader_network(request, app.settings.trusted_proxies),
            now=app.clock(),
        )
        automatic.queue(session, confirmed.owed, app.clock())
        return confirmed

    return _outcome_page(link, app.database.together(act), standing, latest)


def _standing(session: Session, link: MailedLink, consent_id: int) -> tuple[Standing | None, Latest | None]:
    """Of whom the link names, and what there is to read for them."""
    standing = of_consent_id(session, consent_id)
    if standing is None:
        return None, None
    return standing, published.latest(session, standing.place.publication, link.language(standing))


def _confirm_again(request: Request, link: MailedLink, consent_id: int) -> Response:
    """The same page whatever comes of it, where the form would give it too."""
    app, settings = link.site.app, link.site.app.settings
    network = reader_network(request, settings.trusted_proxies)

    def act(session: Session) -> tuple[Standing | None, Answer | None]:
        standing = of_consent_id(session, consent_id)
        if standing is None:
            return None, None
        reader = session.get_one(Subscriber, standing.subscription.subscriber_id)
        known = Address(text=reader.address, ascii=None, domain=reader.domain)
        return standing, asking.ask_again(session, app, known, network, partial(queue, session))

    def queue(session: Session) -> None:
        asked = optin.request_again(
            session,
            consent_id,
            source="expired link",
            network=network,
            window=timedelta(minutes=settings.confirmation_window_minutes),
            now=app.clock(),
        )
        automatic.queue(session, asked.owed, app.clock())

    standing, answer = app.database.together(act)
    if standing is None or answer is None:
        raise LinkProblem(link, "erased", None, 410)
    if answer.outcome is Outcome.TOO_MANY:
        return _too_many(link.site, standing.place, link.language(standing), answer)
    is_read = standing.subscription.status is SubscriptionStatus.CONFIRMED
    return _check_mailbox(link.site, standing.place, link.language(standing), is_read=is_read)


def _confirmation(link: MailedLink, standing: Standing | None) -> str:
    if standing is None:
        return ""
    return wording.confirmation(words(link.language(standing)), standing.place, standing.edition.label)


def _outcome_page(link: MailedLink, confirmed: Confirmed, standing: Standing | None, latest: Latest | None) -> Response:
    """`standing`: as it was before. To confirm ends a pause."""
    named, now = confirmed.subscription_id, link.site.app.clock()
    counts = confirmed.outcome in COUNTS or confirmed.outcome is Confirmation.ALREADY
    if not counts or named is None or standing is None:
        return LinkProblem(link, confirmed.outcome, standing, 410).response()
    is_new = confirmed.outcome is Confirmation.DONE
    return link.page(
        "subscribed.html",
        standing,
        latest=latest,
        next_issue=standing.place.next_issue(now) if is_new else standing.next_issue(now),
        preferences=link.preferences(named),
    )
