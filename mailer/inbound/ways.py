"""The ways in that an installation has: where mail is handed to us, and the mailbox that we look into."""

from collections.abc import Callable
from dataclasses import dataclass

from mailer.app import App
from mailer.inbound.effects import Effects
from mailer.inbound.mailbox import Mailbox
from mailer.inbound.receiver import Receiver
from mailer.settings import MailboxAddress


@dataclass(frozen=True)
class Ways:
    receiver: Receiver | None
    mailbox: Mailbox | None

    async def start(self) -> None:
        """Raises MailerError where it cannot listen."""
        if self.receiver:
            await self.receiver.start()

    def cease(self) -> None:
        """Begins nothing more in the mailbox."""
        if self.mailbox:
            self.mailbox.stop()

    async def stop(self) -> None:
        """Returns when what is being acted on is done."""
        if self.receiver:
            await self.receiver.stop()


def ways_in(app: App, *, queued: Callable[[], None]) -> Ways:
    """`queued` is called in the loop when a mail that came in calls for one that goes out."""
    settings = app.settings
    effects = Effects(settings=settings, database=app.database, tokens=app.tokens, clock=app.clock)
    receiver = mailbox = None
    if settings.inbound_listen is not None:
        receiver = Receiver(settings.inbound_listen, effects, settings.mail_domain, queued=queued)
    if settings.inbound_mailbox is not None and settings.inbound_mailbox_password is not None:
        password = settings.inbound_mailbox_password.get_secret_value()
        mailbox = Mailbox(MailboxAddress.parse(settings.inbound_mailbox), password, effects)
    return Ways(receiver, mailbox)
