"""What is stored about readers, filled from the settings in force: whoever changes one changes what this page says."""

from fastapi import APIRouter, Response

from mailer import links
from mailer.settings import Settings, is_loopback
from mailer.subscribers import network
from mailer.web.front import find
from mailer.web.pages import HERE, KEPT_FOR_A_MINUTE, READ, TheSite

router = APIRouter()

EXAMPLES = ("203.0.113.42", "2001:db8:12:34:56:78:9a:bc")
"""Of addresses that nobody has (RFC 5737, RFC 3849): the page shows what is kept of each."""


@router.api_route("/{publication}/{language}/privacy", methods=READ)
def show(publication: str, language: str, site: TheSite) -> Response:
    """What, why, how long, who else, and what a reader can do about it."""
    at, settings = find(site, publication, language), site.app.settings
    return site.page(
        "privacy.html",
        language=language,
        place=at,
        others={each: links.privacy(HERE, at.slug, each) for each in at.languages},
        keep=KEPT_FOR_A_MINUTE,
        settings=settings,
        networks=[(each, network.truncated(each)) for each in EXAMPLES],
        relayed=_is_relayed(settings),
        ways=links.preferences_by_mail(at.slug, settings.mail_domain) if settings.takes_mail else None,
    )


def _is_relayed(settings: Settings) -> bool:
    """Whether mail leaves through a machine that may be somebody else's."""
    return settings.relay_host is None or not is_loopback(settings.relay_host)
