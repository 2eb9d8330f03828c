"""A mailbox that is looked into (IMAP, RFC 9051; POP3, RFC 1939), for those whose mail server hands nothing on.

A mail is deleted there only after its effect is committed. What waits for a person stays as long as it is in our
quarantine: once it is thrown away there, as with the reader who is erased, it goes from the mailbox too. A connection
that breaks loses nothing: what was acted on before is known by its digest when it is read again.
"""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

from mailer.database import DatabaseError
from mailer.delivery.ledger.returning import StillSending
from mailer.inbound.effects import Effects
from mailer.inbound.letter import Letter
from mailer.inbound.quarantine import QuarantineFull
from mailer.settings import MailboxAddress

log = logging.getLogger(__name__)

AT_ONCE = 500  #: mails of one look; the next goes on at once
GRACE_SECONDS = 0.8  #: for a goodbye, once it is to stop
DRAIN_SECONDS = 30.0


class MailboxError(Exception):
    """The server does not do what it should; the message says what."""


class Opened(Protocol):
    """A mailbox, open. Raises OSError and MailboxError."""

    @property
    def tells(self) -> bool:
        """Whether the server can say that mail has come, so that the connection stays open."""

    def waiting(self) -> Sequence[str]:
        """What is to be read, the oldest first."""

    def octets(self, name: str) -> bytes | None:
        """A mail, or as much of it as is read. None where somebody else has taken it."""

    def delete(self, name: str) -> None: ...

    def keep(self, name: str) -> None:
        """It stays, and waits no longer."""

    def kept(self) -> Collection[str]:
        """What stays and was there when it was last looked for what waits; where a mark there says so, perhaps also
        what others marked."""

    def listen(self, seconds: float, woken: socket.socket) -> None:
        """Returns when mail may have come, when `woken` can be read, or after so long."""


class Way(Protocol):
    """How a mailbox is opened. Kept as long as the mailbox is."""

    def opened(self) -> AbstractContextManager[Opened]:
        """Raises OSError and MailboxError."""

    def hang_up(self) -> None:
        """Ends what another thread waits for. Raises nothing."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds."""

    look: float = 60.0  #: between looks where the server does not tell, and until a mail that was put off is read again
    renew: float = 300.0  #: that one IDLE lasts: less than the 29 minutes of RFC 2177, to notice a connection that died
    gather: float = 0.1  #: from its word that mail has come to the look, so that none can make us look without a pause
    again: float = 5.0  #: after a failure, twice as long after each further one
    again_at_most: float = 300.0


@dataclass
class _Look:
    """What came of one look."""

    queued: bool = False  #: a mail is due
    put_off: bool = False  #: a mail is to be read again later
    more: bool = False  #: there are mails that nobody has read yet


class Mailbox:
    """One mailbox. look() in one thread at a time; from start() to join() in one of its own."""

    def __init__(self, address: MailboxAddress, way: Way, effects: Effects, patience: Patience | None = None) -> None:
        self._named = f"{address.user}@{address.host}"
        self._way, self._effects, self._patience = way, effects, patience or Patience()
        self._tries = Counter[str]()  # that did not end
        # What waits there for a person, by the number of its arrival; None: it is not known here, and others' business.
        self._stays = dict[str, int | None]()
        self._failures = 0  # one after the other
        self._stopping = threading.Event()
        self._wake: socket.socket | None = None
        self._taking = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, queued: Callable[[], None]) -> None:
        """Looks until stop(). `queued` is called in the mailbox's own thread when a mail is due."""
        self._wake, woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, args=[queued, woken], name="mailbox", daemon=True)
        self._thread.start()

    @property
    def is_looking(self) -> bool:
        """From start() until it has ended."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Ends a look after the mail that it is at, and any waiting at once."""
        self._stopping.set()
        if self._wake:
            with suppress(OSError):
                self._wake.close()  # the other end can be read now

    def join(self) -> None:
        """After stop(): returns when what is being acted on is done, and else within a second."""
        if self._thread is None:
            return
        self._thread.join(GRACE_SECONDS)
        if self._thread.is_alive() and self._taking.acquire(timeout=DRAIN_SECONDS):
            self._taking.release()
            self._way.hang_up()
            self._thread.join(1 - GRACE_SECONDS)

    def look(self) -> bool:
        """Acts once on what waits in the mailbox. Returns whether a mail is due for it. Raises DatabaseError.

        What the server does wrong is a line in the log.
        """
        look = _Look()
        try:
            with self._way.opened() as opened:
                self._go_through(opened, look)
        except (OSError, MailboxError) as error:
            self._complain(error)
        return look.queued

    def _run(self, queued: Callable[[], None], woken: socket.socket) -> None:
        with woken:
            while not self._stopping.is_set():
                self._stopping.wait(self._seconds_after(queued, woken))

    def _seconds_after(self, queued: Callable[[], None], woken: socket.socket) -> float:
        """One connection. Returns the seconds to wait for another one."""
        try:
            return self._connection(queued, woken)
        except DatabaseError as error:
            log.error("database: %s", error, extra={"action": "inbound"})
        except (OSError, MailboxError) as error:
            if not self._stopping.is_set():
                self._complain(error)
        except Exception:
            log.exception("the mailbox %s could not be looked into", self._named)
        self._failures += 1
        return min(self._patience.again * 2.0 ** min(self._failures - 1, 20), self._patience.again_at_most)

    def _connection(self, queued: Callable[[], None], woken: socket.socket) -> float:
        """Looks, again and again where the server tells of mail."""
        with self._way.opened() as opened:
            while True:
                look = _Look()
                try:
                    self._go_through(opened, look)
                finally:
                    if look.queued:
                        queued()
                self._failures = 0
                if self._stopping.is_set() or not opened.tells:
                    return 0 if look.more else self._patience.look
                if not look.more:
                    patience = min(self._patience.look, self._patience.renew) if look.put_off else self._patience.renew
                    opened.listen(patience, woken)
                    self._stopping.wait(self._patience.gather)
                if self._stopping.is_set():
                    return 0

    def _go_through(self, opened: Opened, look: _Look) -> None:
        """Reads what waits: what has not been read yet before what was put off, or what the connection broke at."""
        waiting = opened.waiting()
        look.more = self._go_over(opened, opened.kept())
        self._tries = Counter({name: self._tries[name] for name in waiting if name in self._tries})
        waiting = sorted(waiting, key=lambda name: self._tries[name])
        for name in waiting[:AT_ONCE]:
            if self._stopping.is_set():
                return
            self._tries[name] += 1
            if self._one(opened, name, look):
                self._failures = 0
                del self._tries[name]
            else:
                look.put_off = True
        look.more |= any(name not in self._tries for name in waiting[AT_ONCE:])

    def _go_over(self, opened: Opened, kept: Collection[str]) -> bool:
        """Deletes what has stayed and is in the quarantine no more. Returns whether there is more to go over: what
        stayed since before we were started is read once, to know which mail it is."""
        self._stays = {name: self._stays[name] for name in kept if name in self._stays}
        unknown = [name for name in kept if name not in self._stays]
        for name in unknown[:AT_ONCE]:
            if self._stopping.is_set():
                return False
            octets = opened.octets(name)
            self._stays[name] = None if octets is None else self._effects.number_of(_letter(octets))
        numbers = {number for number in self._stays.values() if number is not None}
        thrown_away = self._effects.thrown_away(numbers)
        for name in [name for name, number in self._stays.items() if number in thrown_away]:
            opened.delete(name)
            del self._stays[name]
        self._effects.stay(numbers - thrown_away)
        return len(unknown) > AT_ONCE

    def _one(self, opened: Opened, name: str, look: _Look) -> bool:
        """Whether it is done with."""
        octets = opened.octets(name)
        if octets is None:
            return True
        try:
            with self._taking:
                taken = self._effects.take(_letter(octets))
        except StillSending:
            return False
        except QuarantineFull as problem:
            log.error("mail stays in the mailbox: %s", problem, extra={"action": "quarantine-full"})
            return False
        look.queued |= taken.queued
        if taken.waits:
            opened.keep(name)
            if taken.number is not None:
                self._stays[name] = taken.number
        else:
            opened.delete(name)
        return True

    def _complain(self, error: Exception) -> None:
        log.error("mailbox %s: %s", self._named, error or type(error).__name__, extra={"action": "mailbox"})


def _letter(octets: bytes) -> Letter:
    return Letter(octets=octets, road="mailbox", recipient=None, sender=None)
