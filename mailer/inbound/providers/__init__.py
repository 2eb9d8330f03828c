"""Providers that tell of bounces and complaints by HTTP, a file each. docs/inbound.md sets them up."""

from collections.abc import Mapping

from mailer.inbound.providers.mailgun import Mailgun
from mailer.inbound.providers.postmark import Postmark
from mailer.inbound.providers.provider import Provider
from mailer.inbound.providers.sendgrid import SendGrid
from mailer.inbound.providers.ses import Ses
from mailer.inbound.providers.signed import Signed
from mailer.settings import Settings


def providers_of(settings: Settings) -> Mapping[str, Provider]:
    """Those whose setting is there, by the name in their address. Raises SettingsError for a key that is none."""
    found = dict[str, Provider]()
    if settings.events_ses_topics:
        found["ses"] = Ses(settings.events_ses_topics)
    if settings.events_postmark_password:
        found["postmark"] = Postmark(settings.events_postmark_password.get_secret_value())
    if settings.events_sendgrid_key:
        found["sendgrid"] = SendGrid(settings.events_sendgrid_key)
    if settings.events_mailgun_key:
        found["mailgun"] = Mailgun(settings.events_mailgun_key.get_secret_value())
    if settings.events_secret:
        found["signed"] = Signed(settings.events_secret.get_secret_value())
    return found
