"""My data: everything that is held about a reader, to read, to take along, and to erase. GET changes nothing.

Only a link that was mailed for it opens it (docs/decisions/0017-consent-chain.md): any other letter may have been
forwarded.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Response
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool

from mailer import erasure, holdings, links
from mailer.delivery import automatic
from mailer.delivery.states import DeliveryStatus
from mailer.inbound import quarantine
from mailer.rendering.words import Words, words
from mailer.subscribers import access, moving
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, Subscriber, SuppressionReason
from mailer.tokens import Purpose
from mailer.web.asking import evenly
from mailer.web.mailed import LinkProblem, MailedLink, TheMailedLink
from mailer.web.pages import HERE, NEVER_KEPT, READ
from mailer.web.place import Standing, of_subscription_id

router = APIRouter()

MAILS_SHOWN = 10
"""The rest stands in the file."""


def _standing(session: Session, link: MailedLink, purpose: Purpose) -> Standing:
    """Whose link it is. Raises LinkProblem."""
    standing = of_subscription_id(session, link.read(session, purpose, of_subscription_id))
    if standing is None:
        raise LinkProblem(link, "unknown", None, 410)
    return standing


def _reader(session: Session, link: MailedLink) -> tuple[Standing, Subscriber]:
    """Who got the letter with this link. Raises LinkProblem."""
    standing = _standing(session, link, Purpose.MY_DATA)
    return standing, session.get_one(Subscriber, standing.subscription.subscriber_id)


# Asking for the link: behind any letter's way to the preferences


@router.api_route("/p/{token}/data", methods=READ)
def ask(link: TheMailedLink, sent: str = "") -> Response:
    """One button. `sent`: it was pressed, and this is the answer in another language."""
    with link.site.app.database.read() as session:
        standing = _standing(session, link, Purpose.PREFERENCES)
    return _asking(link, standing, sent=bool(sent))


@router.post("/p/{token}/data")
async def send(link: TheMailedLink) -> Response:
    """The link goes to the reader's own address, or nothing does: the page says the same, after the same time."""
    return await evenly(run_in_threadpool(_send, link, Purpose.PREFERENCES))


@router.post("/d/{token}")
async def send_again(link: TheMailedLink) -> Response:
    """The same from the page of a link that has expired."""
    return await evenly(run_in_threadpool(_send, link, Purpose.MY_DATA))


def _send(link: MailedLink, purpose: Purpose) -> Response:
    app, now = link.site.app, link.site.app.clock()
    window = timedelta(minutes=app.settings.confirmation_window_minutes)
    with app.database.write() as session:
        try:
            named = link.read(session, purpose, of_subscription_id)
        except LinkProblem as problem:
            if problem.named is None:
                raise
            named = problem.named
        standing = of_subscription_id(session, named)
        if standing is None:
            raise LinkProblem(link, "unknown", None, 410)
        automatic.queue(session, access.ask(session, named, window=window, now=now), now)
    return _asking(link, standing, sent=True)


def _asking(link: MailedLink, standing: Standing, *, sent: bool) -> Response:
    assert standing.subscription.id is not None
    app = link.site.app
    here = links.ask_for_my_data(HERE, app.tokens.make(Purpose.PREFERENCES, standing.subscription.id))
    return link.page(
        "ask-for-my-data.html",
        standing,
        elsewhere=f"{here}?sent=yes" if sent else "",
        sent=sent,
        minutes=app.settings.confirmation_window_minutes,
        preferences=link.preferences(standing.subscription.id),
    )


# Behind the link


@router.api_route("/d/{token}", methods=READ)
def show(link: TheMailedLink) -> Response:
    """All of it, readable; the newest letters."""
    with link.site.app.database.read() as session:
        standing, subscriber = _reader(session, link)
        held = holdings.of_reader(session, subscriber)
    mails = held["mails"]
    speech = words(link.language(standing))
    return link.page(
        "my-data.html",
        standing,
        held=held,
        has_moved_here=_has_moved_here(held),
        mails=mails[:MAILS_SHOWN],
        earlier=len(mails[MAILS_SHOWN:]),
        why_listed=lambda reason: _why_listed(speech, reason),
        zone=standing.place.publication.time_zone,
        state=lambda status: _state(speech, status),
        act=lambda consent: _act(speech, ConsentEvent(consent["event"]), consent["source"]),
        came_to=lambda status: _came_to(speech, status),
        file=link.onward(links.my_data_file(HERE, link.token)),
        erase=link.onward(links.erase(HERE, link.token)),
    )


@router.api_route("/d/{token}/data.json", methods=READ)
def download(link: TheMailedLink) -> Response:
    """The same as a file."""
    with link.site.app.database.read() as session:
        _, subscriber = _reader(session, link)
        held = holdings.of_reader(session, subscriber)
    return Response(
        holdings.as_json(held),
        media_type="application/json; charset=utf-8",
        headers={
            "Cache-Control": NEVER_KEPT,
            "Content-Disposition": 'attachment; filename="my-data.json"',
        },
    )


@router.api_route("/d/{token}/erase", methods=READ)
def ask_to_erase(link: TheMailedLink) -> Response:
    """What will go and what stays, and one button. Where all has gone, that it has."""
    with link.site.app.database.read() as session:
        if of_subscription_id(session, link.read(session, Purpose.MY_DATA, of_subscription_id)) is None:
            return link.page("erased.html", None)
        standing, subscriber = _reader(session, link)
    back = link.onward(links.my_data(HERE, link.token))
    return link.page("erase.html", standing, address=subscriber.address, back=back)


@router.post("/d/{token}/erase")
def erase(link: TheMailedLink) -> Response:
    """Everything goes. Again, it says the same."""
    app = link.site.app
    with app.database.write() as session:
        standing = of_subscription_id(session, link.read(session, Purpose.MY_DATA, of_subscription_id))
        erased = list[str]()
        if standing is not None:
            reader_id = standing.subscription.subscriber_id
            erased = erasure.erase_person(session, reader_id, by="reader", now=app.clock())
    if erased:
        quarantine.discard_mail(app.database, erased)
    return link.page("erased.html", standing)


def _has_moved_here(held: Mapping[str, Any]) -> bool:
    """By what is held of this address alone: what became of the former one is not told here."""
    acts = (consent for each in held["subscriptions"] for consent in each["consents"])
    return any(act["event"] == ConsentEvent.CONFIRMED and act["source"] == moving.SOURCE for act in acts)


def _state(words: Words, status: SubscriptionStatus) -> str:
    return {
        SubscriptionStatus.PENDING: words.gettext("waits for your confirmation"),
        SubscriptionStatus.CONFIRMED: words.gettext("subscribed"),
        SubscriptionStatus.UNSUBSCRIBED: words.gettext("unsubscribed"),
        SubscriptionStatus.SUPPRESSED: words.gettext(
            "stopped: your address is on the list of those we do not write to"
        ),
    }[status]


def _act(words: Words, event: ConsentEvent, source: str) -> str:
    """Who did it, as far as the source says: the reader, their mail provider, we, or nobody who is known."""
    taken_back = words.gettext("The change was taken back")
    by_link = words.gettext("You unsubscribed by a link in one of our letters")
    said = {
        (ConsentEvent.REQUESTED, ""): words.gettext("Somebody asked for the subscription"),
        (ConsentEvent.REQUESTED, "mail"): words.gettext("Somebody asked for the subscription by mail"),
        (ConsentEvent.REQUESTED, "expired link"): words.gettext("A new confirmation link was asked for"),
        (ConsentEvent.REQUESTED, "mailer:"): words.gettext("We asked whether our letters reach you"),
        (ConsentEvent.REQUESTED, moving.SOURCE): words.gettext(
            "Somebody asked for the letters to come to this address"
        ),
        (ConsentEvent.CONFIRMED, ""): words.gettext("You confirmed it"),
        (ConsentEvent.CONFIRMED, "mail"): words.gettext("You confirmed it by mail"),
        (ConsentEvent.CONFIRMED, "preferences"): words.gettext("You chose this edition"),
        (ConsentEvent.CONFIRMED, moving.SOURCE): words.gettext("You confirmed it as your new address"),
        (ConsentEvent.LEFT, ""): words.gettext("The subscription ended"),
        (ConsentEvent.LEFT, "link"): by_link,
        (ConsentEvent.LEFT, "preferences"): by_link,
        (ConsentEvent.LEFT, "one-click"): words.gettext("You unsubscribed by a button of your mail program"),
        (ConsentEvent.LEFT, "mail"): words.gettext("You unsubscribed by mail"),
        (ConsentEvent.LEFT, "complaint"): words.gettext("Your mail provider told us that you do not want the letters"),
        (ConsentEvent.LEFT, "operator"): words.gettext("We ended the subscription"),
        (ConsentEvent.LEFT, "import"): words.gettext(
            "The list that we took it over from said that you had unsubscribed"
        ),
        (ConsentEvent.LEFT, moving.SOURCE): words.gettext("The letters went on to another address"),
        (ConsentEvent.LEFT, moving.TAKEN_BACK): taken_back,
        (ConsentEvent.IMPORTED, ""): words.gettext("Your subscription was brought over from another list"),
        (ConsentEvent.RESTORED, ""): words.gettext("You restored the subscription"),
        (ConsentEvent.RESTORED, moving.TAKEN_BACK): taken_back,
        (ConsentEvent.PAUSED, ""): words.gettext("You paused the subscription"),
        (ConsentEvent.RESUMED, ""): words.gettext("You ended the pause"),
    }
    found = (said.get((event, each)) for each in (source, source.partition(" ")[0], ""))
    return next(each for each in found if each)


def _why_listed(words: Words, reason: SuppressionReason) -> str:
    return {
        SuppressionReason.BOUNCE: words.gettext("Letters cannot be delivered to it."),
        SuppressionReason.COMPLAINT: words.gettext("A letter was reported as unwanted."),
        SuppressionReason.OPERATOR: words.gettext("We put it there ourselves."),
        SuppressionReason.ERASED: words.gettext("Your data were erased."),
        SuppressionReason.UNREACHABLE: words.gettext("Letters to it failed for a long time."),
    }[reason]


def _came_to(words: Words, status: DeliveryStatus) -> str:
    said = {
        DeliveryStatus.ACCEPTED: words.gettext("delivered to your mail provider"),
        DeliveryStatus.REFUSED: words.gettext("not delivered"),
        DeliveryStatus.BOUNCED: words.gettext("not delivered"),
        DeliveryStatus.WITHDRAWN: words.gettext("not sent"),
        DeliveryStatus.COMPLAINED: words.gettext("reported as unwanted"),
    }
    return said.get(status, words.gettext("on its way"))
