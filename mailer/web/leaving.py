"""Out: the unsubscribe link, and the mail program's own button (RFC 8058)."""

from fastapi import APIRouter, Request, Response

from mailer import links
from mailer.subscribers import subscription
from mailer.subscribers.states import SubscriptionStatus
from mailer.tokens import Purpose
from mailer.web.mailed import MailedLink, TheMailedLink
from mailer.web.pages import HERE, READ, LenientFields
from mailer.web.place import Standing, of_subscription_id
from mailer.web.security import reader_network

router = APIRouter()

FROM_PAGE = "from"
"""The field by which our own page's button differs from a mail program's one-click request."""


@router.api_route("/u/{token}", methods=READ)
def ask_to_leave(link: TheMailedLink) -> Response:
    """One button, and nothing else happens."""
    with link.site.app.database.read() as session:
        standing = of_subscription_id(session, link.read(session, Purpose.UNSUBSCRIBE, of_subscription_id))
    if standing is None or standing.subscription.status is SubscriptionStatus.UNSUBSCRIBED:
        return link.page("unsubscribed.html", standing, my_data=_my_data(link, standing))
    return link.page("unsubscribe.html", standing, from_page=FROM_PAGE, my_data=_my_data(link, standing))


@router.post("/u/{token}")
def leave(request: Request, link: TheMailedLink, fields: LenientFields) -> Response:
    """Unsubscribes: no cookie, no question, no redirect, as often as it is asked (RFC 8058 §3.1)."""
    app = link.site.app
    with app.database.write() as session:
        subscription_id = link.read(session, Purpose.UNSUBSCRIBE, of_subscription_id)
        subscription.leave(
            session,
            subscription_id,
            source="link" if FROM_PAGE in fields else "one-click",
            network=reader_network(request, app.settings.trusted_proxies),
            now=app.clock(),
        )
        standing = of_subscription_id(session, subscription_id)
    return link.page("unsubscribed.html", standing, my_data=_my_data(link, standing))


def _my_data(link: MailedLink, standing: Standing | None) -> str:
    """The way to what we hold about the reader of this link."""
    if standing is None or standing.subscription.id is None:
        return ""
    return links.my_data(HERE, link.site.app.tokens.make(Purpose.PREFERENCES, standing.subscription.id))
