"""A mailbox by IMAP (RFC 9051). Where the server offers IDLE (RFC 2177), it tells at once that mail has come."""

import selectors
import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from imapclient import DELETED, FLAGGED, IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from mailer.inbound.mailbox import MailboxError
from mailer.inbound.quarantine import KEPT
from mailer.settings import MailboxAddress

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 60.0

#: Asked of the system while a connection is silent, so that one whose other end has gone breaks (seconds; a count).
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3))


class Imap:
    """One folder. What waits for a person is flagged there, and stays unread."""

    def __init__(self, address: MailboxAddress, password: str) -> None:
        self._address, self._password = address, password
        self._connection: socket.socket | None = None

    @contextmanager
    def opened(self) -> Iterator["_Folder"]:
        try:
            with self._connected() as client:
                client.login(self._address.user, self._password)
                selected = client.select_folder(self._address.folder)
                yield _Folder(client, selected.get(b"UIDVALIDITY"))
        except IMAPClientError as error:
            raise MailboxError(str(error) or type(error).__name__) from error

    def hang_up(self) -> None:
        hang_up(self._connection)

    @contextmanager
    def _connected(self) -> Iterator[IMAPClient]:
        client = IMAPClient(
            self._address.host,
            self._address.port,
            ssl=self._address.tls,
            ssl_context=ssl.create_default_context() if self._address.tls else None,
            timeout=SocketTimeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        try:
            self._connection = client.socket()
            keep_alive(self._connection)
            yield client
        finally:
            with suppress(OSError, IMAPClientError):
                client.logout()
            with suppress(OSError, IMAPClientError):
                client.shutdown()


class _Folder:
    """`validity`: with it, the number of a mail names this one for ever, also in a folder that is made anew."""

    def __init__(self, client: IMAPClient, validity: object) -> None:
        self._client, self._validity = client, validity

    @property
    def tells(self) -> bool:
        return bool(self._client.has_capability("IDLE"))

    def waiting(self) -> Sequence[str]:
        self._told.pop("EXISTS", None)
        return self._found("UNFLAGGED")

    def octets(self, name: str) -> bytes | None:
        fetched = self._client.fetch([_uid(name)], [f"BODY.PEEK[]<0.{KEPT + 1}>"]).get(_uid(name), {})
        found = next((value for field, value in fetched.items() if field.startswith(b"BODY[]")), None)
        return found if isinstance(found, bytes) else None

    def delete(self, name: str) -> None:
        self._client.add_flags([_uid(name)], [DELETED], silent=True)
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge([_uid(name)])

    def keep(self, name: str) -> None:
        self._client.add_flags([_uid(name)], [FLAGGED], silent=True)

    def kept(self) -> Collection[str]:
        return self._found("FLAGGED")

    def listen(self, seconds: float, woken: socket.socket) -> None:
        """Whatever the server says ends it: a look costs one command. It tells of each mail once, perhaps in an answer
        to what was asked since the mails were looked for."""
        if "EXISTS" in self._told:
            return
        self._client.idle()
        if not self._is_buffered():
            with selectors.DefaultSelector() as selector:
                for each in (self._client.socket(), woken):
                    selector.register(each, selectors.EVENT_READ)
                selector.select(seconds)
        self._client.idle_done()

    def _found(self, flag: str) -> list[str]:
        return [f"{self._validity} {uid}" for uid in sorted(self._client.search(["UNDELETED", flag]))]

    @property
    def _told(self) -> dict[str, Any]:
        """What the server has said beside its answers, as imaplib collects it."""
        told: dict[str, Any] = self._client._imap.untagged_responses
        return told

    def _is_buffered(self) -> bool:
        """Whether more was read than the answer to IDLE, such as word of mail that came since the look: it lies in the
        reader's buffer, where select() does not see it."""
        imap: Any = self._client._imap
        reader = getattr(imap, "_file", None) or imap.file  # as newer versions of imaplib call it
        connection = self._client.socket()
        connection.setblocking(False)
        try:
            return bool(reader.peek(1))
        except OSError:  # TLS says so that there is nothing
            return False
        finally:
            connection.settimeout(ANSWER_SECONDS)


def _uid(name: str) -> int:
    return int(name.rpartition(" ")[2])


def keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def hang_up(connection: socket.socket | None) -> None:
    """Wakes the thread that waits for this connection, with an error or an end of file; TLS is not asked."""
    if connection is not None:
        with suppress(OSError):
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
