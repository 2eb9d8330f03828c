"""A mailbox by POP3 (RFC 1939), looked into every minute. What is deleted goes when the connection ends in good order.

Mails are known by their UIDL. poplib is not used: it refuses lines above 2,048 octets, which mails have, and keeps as
many lines as a server sends.
"""

import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from mailer.inbound.imap import ANSWER_SECONDS, CONNECT_SECONDS, hang_up
from mailer.inbound.mailbox import MailboxError
from mailer.inbound.quarantine import KEPT
from mailer.settings import MailboxAddress

LINE = 64 * 1024  #: octets that are read at once; a longer line is read in pieces
MOST = 100 << 20  #: octets of one answer; more is no mail
NAMES = 100_000  #: mails of one connection; those behind them come later


class Pop3:
    """One mailbox. What waits for a person stays there, and is not read again."""

    def __init__(self, address: MailboxAddress, password: str) -> None:
        self._address, self._password = address, password
        self._kept = set[str]()
        self._connection: socket.socket | None = None

    @contextmanager
    def opened(self) -> Iterator["_Maildrop"]:
        with closing(self._connected()) as connection:
            self._connection = connection
            maildrop = _Maildrop(connection, self._kept)
            try:
                maildrop.log_in(self._address.user, self._password)
                yield maildrop
            except BaseException:
                with suppress(OSError, MailboxError):
                    maildrop.quit()  # what was acted on goes, whatever came after it
                raise
            else:
                maildrop.quit()
            finally:
                maildrop.close()

    def hang_up(self) -> None:
        hang_up(self._connection)

    def _connected(self) -> socket.socket:
        connection = socket.create_connection((self._address.host, self._address.port), CONNECT_SECONDS)
        try:
            if self._address.tls:
                context = ssl.create_default_context()
                connection = context.wrap_socket(connection, server_hostname=self._address.host)
            connection.settimeout(ANSWER_SECONDS)
        except BaseException:
            connection.close()
            raise
        return connection


class _Maildrop:
    tells = False

    def __init__(self, connection: socket.socket, kept: set[str]) -> None:
        self._connection, self._kept = connection, kept
        self._answers = connection.makefile("rb")
        self._numbers = dict[str, int]()

    # What a mailbox can do

    def waiting(self) -> Sequence[str]:
        for line in self._lines("UIDL"):
            number, _, name = line.decode("ascii", "replace").strip().partition(" ")
            if not number.isdecimal() or not name:
                raise MailboxError("its answer to UIDL cannot be understood")
            if len(self._numbers) < NAMES:
                self._numbers[name] = int(number[:10])
        self._kept.intersection_update(self._numbers)
        return [name for name in self._numbers if name not in self._kept]

    def octets(self, name: str) -> bytes | None:
        content = bytearray()
        for line in self._lines(f"RETR {self._numbers[name]}"):
            if len(content) <= KEPT:
                content += line
        return bytes(content[: KEPT + 1])

    def delete(self, name: str) -> None:
        self._say(f"DELE {self._numbers[name]}")

    def keep(self, name: str) -> None:
        self._kept.add(name)

    def kept(self) -> Collection[str]:
        return self._kept

    def listen(self, seconds: float, woken: socket.socket) -> None:
        raise NotImplementedError  # `tells` says so

    # The protocol

    def log_in(self, user: str, password: str) -> None:
        self._status("it answers")
        self._say(f"USER {user}")
        self._say(f"PASS {password}", shown="PASS")

    def quit(self) -> None:
        self._say("QUIT")

    def close(self) -> None:
        with suppress(OSError):
            self._answers.close()

    def _say(self, command: str, *, shown: str = "") -> None:
        self._connection.sendall(f"{command}\r\n".encode())
        self._status(shown or command)

    def _status(self, command: str) -> None:
        line = self._line()
        if not line.startswith(b"+OK"):
            raise MailboxError(f"{command}: {line.decode('utf-8', 'replace').strip()[:200]}")

    def _lines(self, command: str) -> Iterator[bytes]:
        """The lines of an answer of several, or pieces of them, as they were before dots were doubled (§3)."""
        self._say(command)
        size, at_start = 0, True
        while True:
            line = self._line()
            if at_start and line in (b".\r\n", b".\n"):
                return
            size += len(line)
            if size > MOST:
                raise MailboxError(f"{command}: more than {MOST} octets")
            yield line[1:] if at_start and line.startswith(b".") else line
            at_start = line.endswith(b"\n")

    def _line(self) -> bytes:
        line = self._answers.readline(LINE)
        if not line:
            raise MailboxError("the server hung up")
        return line
