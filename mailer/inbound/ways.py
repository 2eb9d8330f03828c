"""The ways in that an installation has: where mail is handed to us, and the mailbox that we look into."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mailer.inbound.effects import Effects
from mailer.inbound.imap import Imap
from mailer.inbound.mailbox import Mailbox
from mailer.inbound.pop3 import Pop3
from mailer.inbound.receiver import Receiver
from mailer.settings import MailboxAddress, MailboxProtocol, Settings

WAYS: Mapping[MailboxProtocol, type[Imap] | type[Pop3]] = MappingProxyType(
    {MailboxProtocol.IMAP: Imap, MailboxProtocol.POP3: Pop3}
)


@dataclass(frozen=True)
class Ways:
    receiver: Receiver | None
    mailbox: Mailbox | None
    queued: Callable[[], None]

    async def start(self) -> None:
        """Raises MailerError where it cannot listen."""
        if self.receiver:
            await self.receiver.start()
        if self.mailbox:
            loop = asyncio.get_running_loop()
            self.mailbox.start(lambda: _in(loop, self.queued))

    def cease(self) -> None:
        """Begins nothing more in the mailbox."""
        if self.mailbox:
            self.mailbox.stop()

    async def stop(self) -> None:
        """Returns when what is being acted on is done."""
        self.cease()
        if self.receiver:
            await self.receiver.stop()
        if self.mailbox:
            await asyncio.to_thread(self.mailbox.join)


def _in(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody sends any more
        loop.call_soon_threadsafe(act)


def ways_in(settings: Settings, effects: Effects, *, queued: Callable[[], None]) -> Ways:
    """`queued` is called in the loop when a mail that came in calls for one that goes out."""
    receiver = mailbox = None
    if settings.inbound_listen is not None:
        receiver = Receiver(settings.inbound_listen, effects, settings.mail_domain, queued=queued)
    if settings.inbound_mailbox is not None and settings.inbound_mailbox_password is not None:
        password = settings.inbound_mailbox_password.get_secret_value()
        address = MailboxAddress.parse(settings.inbound_mailbox)
        mailbox = Mailbox(address, WAYS[address.protocol](address, password), effects)
    return Ways(receiver, mailbox, queued)
