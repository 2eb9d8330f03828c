"""Joins ledger, composer and sessions: the one loop that all mail leaves by.

Each turn is one transaction in one thread: the answers that have come since the last turn are recorded, and as many
deliveries are claimed as sessions are free. Only when it is committed do the claims go to the sessions. Answers that
arrive meanwhile make up the next turn's group. What cannot be recorded (a full disk, a locked database) stops the
claiming, so nothing leaves without its attempt on disk, and is kept until it can.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from mailer.clock import Clock
from mailer.database import Database, DatabaseError
from mailer.delivery import ledger
from mailer.delivery.composer import Composer, Made
from mailer.delivery.ledger import Answer, Claim
from mailer.delivery.reply import OURS, Action, Consequence, Meaning, Reply, Stage, meaning
from mailer.delivery.reply import action as action_for
from mailer.delivery.session import Relay, RelayUnusable, Session
from mailer.errors import MailerError
from mailer.subscribers import suppression
from mailer.tables import SuppressionReason

log = logging.getLogger(__name__)

Ready = tuple[Claim, Made | MailerError]

POLL_SECONDS = 0.2
"""How often an idle sender looks for work that nobody told it of."""

IDLE_SECONDS = 20.0
"""How long a session without work is kept open."""

DRAIN_SECONDS = 30.0
"""How long stop() waits for answers that are on their way."""

FAILURES_TO_STOP = 3
"""Times in a row the relay may fail before the batch stops and the sender waits."""


class Sender:
    """Sends whatever is due until it is stopped."""

    def __init__(self, *, database: Database, composer: Composer, relay: Relay, clock: Clock, worker_id: int) -> None:
        self._database, self._composer, self._relay, self._clock = database, composer, relay, clock
        self._worker_id = worker_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._woken = asyncio.Event()
        self._stopping = False
        self._answers = list[Answer]()
        self._idle = list[tuple[Session, float]]()
        self._tasks = set[asyncio.Task[None]]()  # sessions that are opening or sending
        self._failures = 0
        self._rest_until = clock()

    def wake(self) -> None:
        """There may be something due. Call from the loop's thread."""
        self._woken.set()

    def stop(self) -> None:
        """Claims nothing more; run() returns when the answers on their way have come, or after DRAIN_SECONDS."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """The loop. Ends after stop()."""
        while not self._stopping:
            self._woken.clear()
            if not await self._turn():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
        await self._drain()

    async def _turn(self) -> bool:
        """Records, claims, starts. Returns whether it did anything."""
        await self._close_idle()
        answers = self._answers[:]
        places = 0 if self._is_resting() else len(self._idle)
        try:
            claims, more = await self._in_thread(answers, places)
        except DatabaseError as error:
            log.error("database: %s", error, extra={"action": "turn"})
            await asyncio.sleep(POLL_SECONDS)
            return False
        del self._answers[: len(answers)]
        for claim, made in claims:
            session, _ = self._idle.pop()
            self._start(self._send(session, claim, made))
        if more and not self._is_resting() and self._sessions() < self._relay.connections:
            self._start(self._open())
        return bool(answers or claims)

    async def _in_thread(self, answers: list[Answer], places: int) -> tuple[list[Ready], bool]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._book, answers, places)

    def _book(self, answers: list[Answer], places: int) -> tuple[list[Ready], bool]:
        """The transaction. Returns the claims and whether there is more to do than there were places."""
        now = self._clock()
        if not answers:
            with self._database.read() as session:
                due = ledger.has_due(session, now)
            if not due or not places:
                return [], due
        with self._database.write() as session:
            ledger.record(session, answers)
            for answer in answers:
                if answer.action.suppress and answer.claim.subscription_id:
                    suppression.dead_address(
                        session, answer.claim.subscription_id, SuppressionReason.BOUNCE, answer.reply.text, now
                    )
            claims = ledger.claim(session, worker_id=self._worker_id, relay=self._relay.name, limit=places, now=now)
            ready = self._composer.load(session, claims)
            more = len(claims) == places and ledger.has_due(session, now)
        return ready, more

    # Sessions

    def _sessions(self) -> int:
        return len(self._idle) + len(self._tasks)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a session ended unexpectedly: %r", error, exc_info=error)
        self.wake()

    async def _open(self) -> None:
        try:
            session = await Session.open(self._relay)
        except RelayUnusable as error:
            self._relay_failed(error.reply)
        else:
            self._idle.append((session, asyncio.get_running_loop().time()))

    async def _send(self, session: Session, claim: Claim, made: Made | MailerError) -> None:
        reply, action = await self._try(session, claim, made)
        self._answers.append(Answer(claim=claim, reply=reply, action=action, relay=self._relay.name, at=self._clock()))
        if session.usable:
            self._idle.append((session, asyncio.get_running_loop().time()))
        self._judge_relay(claim, reply, action)

    async def _try(self, session: Session, claim: Claim, made: Made | MailerError) -> tuple[Reply, Action]:
        """One transaction, and what to do about its end, whatever that is."""
        try:
            if isinstance(made, MailerError):
                raise made
            envelope = self._composer.envelope(claim, made)
        except MailerError as error:  # ours to mend, and the delivery waits for it
            return Reply(Stage.CONNECT, None, f"not sent: {error}"), Action(Consequence.DEFER, alarm=True)
        try:
            reply = await session.send(envelope)
        except Exception as error:  # ours too, but how far it had come is not known
            log.exception("delivery %d: the session failed", claim.delivery_id)
            session.abort()
            reply = Reply(Stage.DOT, None, f"the session failed: {type(error).__name__}")
        return reply, action_for(reply)

    async def _close_idle(self) -> None:
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        stale = [session for session, since in self._idle if since < oldest or not session.usable]
        self._idle = [(session, since) for session, since in self._idle if session not in stale]
        for session in stale:
            await session.close()

    # The relay's health

    def _is_resting(self) -> bool:
        return self._clock() < self._rest_until

    def _judge_relay(self, claim: Claim, reply: Reply, action: Action) -> None:
        if action.stop or (action.alarm and meaning(reply) in OURS):
            self._relay_failed(reply)
        elif reply.code is not None:
            self._failures = 0
        if action.alarm:  # the words name readers; they are in the log that only operators see
            log.error(
                "delivery %d: %s at %s, ours to mend. Type: mailer log",
                claim.delivery_id,
                " ".join(str(word) for word in (reply.code, reply.enhanced, meaning(reply)) if word),
                reply.stage,
                extra={"action": "alarm"},
            )

    def _relay_failed(self, reply: Reply) -> None:
        """Counts a failure; at FAILURES_TO_STOP, or at once for a refused login, nothing is claimed for a while."""
        early = reply.stage in (Stage.CONNECT, Stage.MAIL)
        hopeless = early and meaning(reply) in OURS
        self._failures = max(self._failures + 1, FAILURES_TO_STOP if hopeless else 0)
        if not early and self._failures < FAILURES_TO_STOP:
            return  # it may have been that one recipient's
        pause = timedelta(seconds=1)
        if self._failures >= FAILURES_TO_STOP:
            pause = min(timedelta(seconds=15) * 2 ** min(self._failures - FAILURES_TO_STOP, 6), timedelta(minutes=10))
        self._rest_until = max(self._rest_until, self._clock() + pause)
        log.error(
            "relay %s: %s. Nothing is lost, everything stays queued; trying again in %d s.%s",
            self._relay.name,
            _without_readers(reply),
            pause.total_seconds(),
            " Check MAILER_RELAY_USERNAME and MAILER_RELAY_PASSWORD." if meaning(reply) is Meaning.LOGIN else "",
            extra={"action": "relay-failed"},
        )

    # The end

    async def _drain(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        with contextlib.suppress(DatabaseError):
            await self._in_thread(self._answers, 0)
        for session, _ in self._idle:
            await session.close()
        self._thread.shutdown()


def _without_readers(reply: Reply) -> str:
    """What the relay said, as far as it can stand in a log that is not the operator's alone."""
    words = (reply.code, reply.text) if reply.stage is Stage.CONNECT else (reply.code, reply.enhanced, meaning(reply))
    return " ".join(str(word) for word in words if word)
