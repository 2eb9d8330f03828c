"""Double opt-in: the form asks, the link in the mail confirms. GET and HEAD change nothing, whoever sends them."""

from collections.abc import Mapping
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from mailer import links
from mailer.app import App
from mailer.delivery import automatic
from mailer.rendering.words import words
from mailer.subscribers import address, subscription
from mailer.subscribers.address import Address, AddressError
from mailer.subscribers.subscription import COUNTS, Confirmation, Confirmed, Owed
from mailer.tables import Edition
from mailer.tokens import Purpose
from mailer.web import wording
from mailer.web.front import HONEYPOT, find, front_page
from mailer.web.mailed import LinkProblem, MailedLink, TheMailedLink
from mailer.web.pages import HERE, READ, TheFields, TheSite
from mailer.web.place import Place, Standing, of_consent_id, of_subscription
from mailer.web.security import reader_network

router = APIRouter()


# The form


@router.post("/subscribe")
def subscribe(request: Request, site: TheSite, fields: TheFields) -> Response:
    """The same page for every address that could be one: it does not tell who reads us."""
    at = find(site, fields.get("publication", ""))
    language = fields.get("language", "")
    language = language if language in at.languages else at.languages[0]
    edition, reader = at.edition(fields.get("edition", "")), _address(fields)
    if edition is None or reader is None:
        return front_page(
            site, at, language, typed=fields, wrong={"edition": edition is None, "address": reader is None}
        )
    if not fields.get(HONEYPOT):
        _request(request, site.app, at, edition, reader, language)
    others = {each: links.front(HERE, at.slug, each) for each in at.languages}
    minutes = site.app.settings.confirmation_window_minutes
    return site.page("check-mailbox.html", language=language, place=at, others=others, minutes=minutes)


def _address(fields: Mapping[str, str]) -> Address | None:
    try:
        return address.parse(fields.get("address", ""))
    except AddressError:
        return None  # the page says it in the reader's language


def _request(request: Request, app: App, at: Place, edition: Edition, reader: Address, language: str) -> None:
    now = app.clock()
    with app.database.write() as session:
        requested = subscription.request(
            session,
            edition=edition,
            address=reader,
            address_hash=address.hash(reader, app.settings.address_key.get_secret_value()),
            language=language,
            wording=wording.agreement(words(language), at),
            source=f"form {links.front(app.link_host, at.slug, language)}",
            network=reader_network(request, app.settings.trusted_proxies),
            window=timedelta(minutes=app.settings.confirmation_window_minutes),
            now=now,
        )
        _queue(session, app, requested.owed)


def _queue(session: Session, app: App, owed: Owed | None) -> None:
    """The mail that an act calls for, in the act's own transaction: both are kept, or neither."""
    if owed:
        automatic.queue(
            session,
            owed.kind,
            subscription=owed.subscription,
            subscriber=owed.subscriber,
            consent_id=owed.consent_id,
            now=app.clock(),
        )


# The link in the confirmation


@router.api_route("/c/{token}", methods=READ)
def ask_to_confirm(link: TheMailedLink) -> Response:
    """A button. What opens links on its own, such as a mail gateway's scanner, presses none."""
    site = link.site
    with site.app.database.read() as session:
        consent_id = link.read(session, Purpose.CONFIRM, of_consent_id)
        foreseen = subscription.foresee(session, consent_id)
        standing = of_subscription(session, foreseen.subscription)
    if foreseen.outcome not in COUNTS or standing is None:
        return _outcome_page(link, foreseen, standing)
    language = link.language(standing)
    question = wording.confirmation(words(language), standing.place, standing.edition.label)
    return link.page("confirm.html", standing, question=question)


@router.post("/c/{token}")
def confirm(request: Request, link: TheMailedLink) -> Response:
    """The button was pressed: the reader is subscribed."""
    app = link.site.app
    with app.database.write() as session:
        consent_id = link.read(session, Purpose.CONFIRM, of_consent_id)
        standing = of_subscription(session, subscription.foresee(session, consent_id).subscription)
        confirmed = subscription.confirm(
            session,
            consent_id,
            wording=_confirmation(link, standing),
            language=link.language(standing) if standing else None,
            source="link",
            network=reader_network(request, app.settings.trusted_proxies),
            now=app.clock(),
        )
        _queue(session, app, confirmed.owed)
    return _outcome_page(link, confirmed, standing)


def _confirmation(link: MailedLink, standing: Standing | None) -> str:
    if standing is None:
        return ""
    return wording.confirmation(words(link.language(standing)), standing.place, standing.edition.label)


def _outcome_page(link: MailedLink, confirmed: Confirmed, standing: Standing | None) -> Response:
    if confirmed.outcome in COUNTS or confirmed.outcome is Confirmation.ALREADY:
        return link.page("subscribed.html", standing)
    return LinkProblem(link, confirmed.outcome, standing, 410).response()
