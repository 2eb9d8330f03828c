"""One relay's connections and its health: how many places it has for mail, and when to leave it alone."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from mailer.clock import Clock
from mailer.delivery.ledger import Claim
from mailer.delivery.reply import OURS, Meaning, Reply, Stage, meaning
from mailer.delivery.session import Envelope, Relay, RelayUnusable, Session

log = logging.getLogger(__name__)

IDLE_SECONDS = 20.0
"""How long a connection without work is kept."""

FAILURES_TO_REST = 3
"""Failures in a row after which a relay is left alone for longer each time."""

_FEWER_FOR = timedelta(minutes=5)
_FIRST_REST, _LONGEST_REST = timedelta(seconds=15), timedelta(minutes=10)


Settled = Callable[["Connections", Claim, Reply], None]


class Connections:
    """Opens as many as there is work for, up to the relay's number; closes those that have none.

    A circuit breaker stands before them: a failure is a second's pause, FAILURES_TO_REST of them in a row, or a
    refused login, a rest of 15 s that doubles up to 10 minutes. A connection that ends after it has carried mail is
    no failure: many relays end one after a number of messages, or after a time without any. Nor is one connection more
    than a relay takes: then there is one fewer for a while. A fault of ours that is said of one recipient only counts
    when it is said of several in a row.
    """

    def __init__(self, relay: Relay, clock: Clock, settled: Settled, woken: Callable[[], None]) -> None:
        self.relay = relay
        self._clock, self._settled, self._woken = clock, settled, woken
        self._sessions = list[Session]()
        self._idle_since = dict[Session, float]()
        self._carried = set[Session]()  # have had mail accepted
        self._opened_at = dict[Session, float]()
        self._most = relay.connections
        self._opening = set[asyncio.Task[None]]()
        self._closing = set[asyncio.Task[None]]()
        self._failures = 0
        self._rest_until = self._filled_at = self._most_until = self._all_given_until = clock()
        self._tokens = 1.0
        self.given = 0  # mails, for the balance of weights

    # Work

    @property
    def is_resting(self) -> bool:
        return self._clock() < self._rest_until

    @property
    def free(self) -> int:
        """Places for mail now, as far as the relay's rate allows."""
        if self.is_resting or self._clock() < self._all_given_until:
            return 0
        places = sum(session.free for session in self._sessions)
        return min(places, self._allowed_now()) if self.relay.limits.per_second else places

    def _allowed_now(self) -> int:
        """What the rate has left: a second's worth at most, so that a pause is not made up for in a burst."""
        rate, now = self.relay.limits.per_second or 0.0, self._clock()
        passed = max((now - self._filled_at).total_seconds(), 0.0)  # clocks are set back
        self._tokens = min(self._tokens + passed * rate, max(rate, 1.0))
        self._filled_at = now
        return int(self._tokens)

    def has_been_given_all(self, until: datetime) -> None:
        """Nothing more for this relay until then, but what is under way goes on."""
        self._all_given_until = until

    @property
    def busy(self) -> int:
        """Envelopes whose verdict is on its way."""
        return sum(session.busy for session in self._sessions)

    @property
    def can_open(self) -> bool:
        """Whether the relay's number and health allow one more connection."""
        most = self.relay.connections if self._clock() >= self._most_until else self._most
        return not self.is_resting and len(self._sessions) + len(self._opening) < most

    def open_another(self) -> None:
        """Begins to open one more connection, if it can."""
        if self.can_open:
            _keep(self._opening, asyncio.create_task(self._open()))

    async def _open(self) -> None:
        try:
            session = await Session.open(self.relay, self._woken)
        except RelayUnusable as error:
            self._could_not_open(error.reply)
        except Exception as error:  # a defect of ours, or of the library: no reason to try without end
            log.exception("relay %s: the connection could not be opened", self.relay.name)
            self._could_not_open(Reply(Stage.CONNECT, None, f"{type(error).__name__}: {error}"))
        else:
            self._sessions.append(session)
            self._opened_at[session] = asyncio.get_running_loop().time()
        self._woken()

    def _could_not_open(self, reply: Reply) -> None:
        at_work = [session for session in self._sessions if session.usable]
        if not at_work or meaning(reply) in OURS:
            self.failed(reply)
            return
        self._most, self._most_until = len(at_work), self._clock() + _FEWER_FOR
        log.warning(
            "relay %s takes no more than %d connections now (%s); trying again in %d min",
            *(self.relay.name, self._most, _without_readers(reply), _FEWER_FOR.total_seconds() / 60),
        )

    def submit(self, mails: Sequence[tuple[Claim, Envelope]]) -> None:
        """Sends, spread over the connections that have places. Where none is left, the relay has not got it."""
        at = 0
        if self.is_resting:
            self._return(mails, "the relay rests")
            return
        self.given += len(mails)
        self._tokens -= len(mails)
        sessions = sorted((session for session in self._sessions if session.free), key=_places)
        for turn, session in enumerate(sessions):
            share = -(-(len(mails) - at) // (len(sessions) - turn))
            portion = mails[at : at + min(share, session.free)]
            session.submit([(mail, partial(self._settle, session, claim)) for claim, mail in portion])
            at += len(portion)
        self._return(mails[at:], "the connections to the relay have ended")

    def _return(self, mails: Sequence[tuple[Claim, Envelope]], why: str) -> None:
        for claim, _ in mails:
            self._settled(self, claim, Reply(Stage.MAIL, None, why))

    def _settle(self, session: Session, claim: Claim, reply: Reply) -> None:
        if reply.stage is Stage.DOT and reply.code and reply.code < 400:
            self._carried.add(session)
            self._failures = 0
        self._settled(self, claim, reply)

    def tidy(self) -> None:
        """Forgets connections that have ended and closes those that are idle for long. Call now and then."""
        now = asyncio.get_running_loop().time()
        for session in self._sessions[:]:
            if session.ended:
                self._forget(session)
                self._judge_end(session, session.ended)
            elif session.busy:
                self._idle_since.pop(session, None)
            elif now - self._idle_since.setdefault(session, now) > IDLE_SECONDS:
                self._close(session)

    def _judge_end(self, session: Session, why: Reply) -> None:
        lived = asyncio.get_running_loop().time() - self._opened_at.pop(session)
        if session not in self._carried and (session.was_used or lived < 1):
            self.failed(why)
        self._carried.discard(session)

    def _close(self, session: Session) -> None:
        self._forget(session)
        self._opened_at.pop(session)
        self._carried.discard(session)
        _keep(self._closing, asyncio.create_task(session.close()))

    def _forget(self, session: Session) -> None:
        self._sessions.remove(session)
        self._idle_since.pop(session, None)

    # Health

    def failed(self, reply: Reply) -> None:
        """Counts a failure of the relay and rests. Those that follow while it rests are the same failure."""
        if self.is_resting:
            return
        early = reply.stage in (Stage.CONNECT, Stage.MAIL)
        self._failures = max(self._failures + 1, FAILURES_TO_REST if early and meaning(reply) in OURS else 0)
        if self._failures < FAILURES_TO_REST:
            if not early and reply.code:  # perhaps this recipient's alone
                return
            pause = timedelta(seconds=1)
        else:
            pause = min(_FIRST_REST * 2 ** min(self._failures - FAILURES_TO_REST, 6), _LONGEST_REST)
        self._rest_until = self._clock() + pause
        for session in self._sessions:
            session.recall("the relay rests")
        log.error(
            "relay %s: %s. Nothing is lost, everything stays queued; trying again in %d s.%s",
            self.relay.name,
            _without_readers(reply),
            pause.total_seconds(),
            " Check the relay's username and password." if meaning(reply) is Meaning.LOGIN else "",
            extra={"action": "relay-failed"},
        )

    # The end

    async def close(self) -> None:
        """Ends every connection: idle ones politely, busy ones at once, their mail settled as far as it is known."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(
            *(session.close() for session in self._sessions), *self._opening, *self._closing, return_exceptions=True
        )
        self._sessions.clear()
        self._opened_at.clear()


def _places(session: Session) -> int:
    return session.free


def _keep(tasks: "set[asyncio.Task[None]]", task: "asyncio.Task[None]") -> None:
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _without_readers(reply: Reply) -> str:
    """What the relay said, as far as it can stand in a log that is not the operator's alone."""
    words = (reply.code, reply.text) if reply.stage is Stage.CONNECT else (reply.code, reply.enhanced, meaning(reply))
    return " ".join(str(word) for word in words if word)
