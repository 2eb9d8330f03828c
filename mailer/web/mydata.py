"""My data: everything that is held about a reader, to read, to take along, and to erase. GET changes nothing."""

import json

from fastapi import APIRouter, Response
from sqlmodel import Session

from mailer import erasure, holdings, links
from mailer.delivery.states import DeliveryStatus
from mailer.rendering.words import Words, words
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import ConsentEvent, Subscriber
from mailer.tokens import Purpose
from mailer.web.mailed import LinkProblem, MailedLink, TheMailedLink
from mailer.web.pages import HERE, NEVER_KEPT, READ
from mailer.web.place import Standing, of_subscription_id

router = APIRouter()

MAILS_SHOWN = 10
"""The rest stands in the file."""


def _reader(link: MailedLink, session: Session) -> tuple[Standing, Subscriber]:
    """Whose link it is. Raises LinkProblem."""
    standing = of_subscription_id(session, link.read(session, Purpose.PREFERENCES, of_subscription_id))
    if standing is None:
        raise LinkProblem(link, "unknown", None, 410)
    return standing, session.get_one(Subscriber, standing.subscription.subscriber_id)


@router.api_route("/p/{token}/data", methods=READ)
def show(link: TheMailedLink) -> Response:
    """All of it, readable; the letters as far as a page holds them."""
    with link.site.app.database.read() as session:
        standing, subscriber = _reader(link, session)
        held = holdings.of_subscriber(session, subscriber)
    speech = words(link.language(standing))
    return link.page(
        "my-data.html",
        standing,
        held=held,
        mails=held["mails"][:MAILS_SHOWN],
        zone=standing.place.publication.time_zone,
        state=lambda status: _state(speech, status),
        act=lambda event: _act(speech, ConsentEvent(event)),
        came_to=lambda status: _came_to(speech, status),
        file=f"{links.my_data(HERE, link.token)}.json",
        erase=links.erase(HERE, link.token),
    )


@router.api_route("/p/{token}/data.json", methods=READ)
def download(link: TheMailedLink) -> Response:
    """The same as a file."""
    with link.site.app.database.read() as session:
        _, subscriber = _reader(link, session)
        held = holdings.of_subscriber(session, subscriber)
    return Response(
        json.dumps(held, ensure_ascii=False, indent=2, default=lambda each: each.isoformat()) + "\n",
        media_type="application/json; charset=utf-8",
        headers={
            "Cache-Control": NEVER_KEPT,
            "Content-Disposition": 'attachment; filename="my-data.json"',
        },
    )


@router.api_route("/p/{token}/erase", methods=READ)
def ask_to_erase(link: TheMailedLink) -> Response:
    """What will go and what stays, and one button."""
    with link.site.app.database.read() as session:
        standing, subscriber = _reader(link, session)
    return link.page("erase.html", standing, address=subscriber.address, back=links.my_data(HERE, link.token))


@router.post("/p/{token}/erase")
def erase(link: TheMailedLink) -> Response:
    """Everything goes. Again, it says the same."""
    app = link.site.app
    with app.database.write() as session:
        standing = of_subscription_id(session, link.read(session, Purpose.PREFERENCES, of_subscription_id))
        address = None
        if standing is not None:
            subscriber = session.get_one(Subscriber, standing.subscription.subscriber_id)
            address = subscriber.address
            erasure.erase(session, standing.subscription.subscriber_id, by="reader", now=app.clock())
    if address is not None:
        erasure.discard_mail(app.database, address)
    return link.page("erased.html", standing)


def _state(words: Words, status: SubscriptionStatus) -> str:
    return {
        SubscriptionStatus.PENDING: words.gettext("waits for your confirmation"),
        SubscriptionStatus.CONFIRMED: words.gettext("subscribed"),
        SubscriptionStatus.UNSUBSCRIBED: words.gettext("unsubscribed"),
        SubscriptionStatus.SUPPRESSED: words.gettext("stopped: letters came back or were reported as unwanted"),
    }[status]


def _act(words: Words, event: ConsentEvent) -> str:
    return {
        ConsentEvent.REQUESTED: words.gettext("Somebody asked for the subscription"),
        ConsentEvent.CONFIRMED: words.gettext("You confirmed it"),
        ConsentEvent.LEFT: words.gettext("You unsubscribed"),
        ConsentEvent.IMPORTED: words.gettext("Your subscription was brought over from another list"),
        ConsentEvent.RESTORED: words.gettext("You took it back that you unsubscribed"),
        ConsentEvent.PAUSED: words.gettext("You paused the subscription"),
        ConsentEvent.RESUMED: words.gettext("You ended the pause"),
    }[event]


def _came_to(words: Words, status: DeliveryStatus) -> str:
    said = {
        DeliveryStatus.ACCEPTED: words.gettext("delivered to your mail provider"),
        DeliveryStatus.REFUSED: words.gettext("not delivered"),
        DeliveryStatus.BOUNCED: words.gettext("not delivered"),
        DeliveryStatus.WITHDRAWN: words.gettext("not sent"),
        DeliveryStatus.COMPLAINED: words.gettext("reported as unwanted"),
    }
    return said.get(status, words.gettext("on its way"))
