"""A mailbox that is looked into every minute (IMAP, RFC 9051), for those whose mail server hands nothing on.

A mail is deleted there only after its effect is committed. What waits for a person stays, flagged and unread. A
connection that breaks loses nothing: the next look begins where the last one ended, and what was acted on before is
known by its digest.
"""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from imapclient import DELETED, FLAGGED, IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from mailer.delivery.ledger.returning import StillSending
from mailer.inbound.effects import Effects, Letter
from mailer.inbound.quarantine import KEPT, QuarantineFull
from mailer.settings import MailboxAddress

log = logging.getLogger(__name__)

AT_ONCE = 500  #: mails of one look; the next goes on
CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0


class Mailbox:
    """One mailbox. Used by one thread at a time."""

    def __init__(self, address: MailboxAddress, password: str, effects: Effects) -> None:
        self._address, self._password, self._effects = address, password, effects
        self._suspects = set[int]()
        self._stopping = False

    def stop(self) -> None:
        """Ends a look after the mail that it is at."""
        self._stopping = True

    def look(self) -> bool:
        """Acts on what waits in the mailbox. Returns whether a mail is due for it. Raises DatabaseError.

        What the server does wrong is a line in the log.
        """
        queued = False
        try:
            with self._opened() as client:
                waiting = sorted(client.search(["UNDELETED", "UNFLAGGED"]), key=self._after_suspects)
                for uid in waiting[:AT_ONCE]:
                    if self._stopping:
                        break
                    self._suspects.add(uid)
                    queued |= self._one(client, uid)
                    self._suspects.discard(uid)
        except (OSError, IMAPClientError) as error:
            log.error("mailbox %s@%s: %s", self._address.user, self._address.host, error or type(error).__name__)
        return queued

    def _after_suspects(self, uid: int) -> tuple[bool, int]:
        """A mail at which the connection broke comes last: it must not keep the others from being read."""
        return uid in self._suspects, uid

    def _one(self, client: IMAPClient, uid: int) -> bool:
        part = f"BODY.PEEK[]<0.{KEPT + 1}>"
        fetched = client.fetch([uid], [part]).get(uid, {})
        octets = next((value for name, value in fetched.items() if name.startswith(b"BODY[]")), None)
        if not isinstance(octets, bytes):
            return False  # somebody else has taken it
        try:
            taken = self._effects.take(Letter(octets=octets, road="mailbox", recipient=None, sender=None))
        except StillSending:
            return False  # the next look
        except QuarantineFull as problem:
            log.error("mail stays in the mailbox: %s", problem, extra={"action": "quarantine-full"})
            return False
        if taken.waits:
            client.add_flags([uid], [FLAGGED], silent=True)
        else:
            client.add_flags([uid], [DELETED], silent=True)
            if client.has_capability("UIDPLUS"):
                client.uid_expunge([uid])
        return taken.queued

    @contextmanager
    def _opened(self) -> Iterator[IMAPClient]:
        at = self._address
        client = IMAPClient(
            at.host,
            at.port,
            ssl=at.tls,
            ssl_context=ssl.create_default_context() if at.tls else None,
            timeout=SocketTimeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        try:
            client.login(at.user, self._password)
            client.select_folder(at.folder)
            yield client
        finally:
            with suppress(OSError, IMAPClientError):
                client.logout()
            with suppress(OSError, IMAPClientError):
                client.shutdown()
