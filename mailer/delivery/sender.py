"""Joins ledger, composer and connections: the one loop that all mail leaves by.

Each turn is one transaction in one thread: the answers that have come since the last turn are recorded, and as many
deliveries are claimed as the connections have places for. Only when it is committed do the claims go to the
connections. Answers that arrive meanwhile make up the next turn's group. What cannot be recorded (a full disk, a
locked database) stops the claiming, so nothing leaves without its attempt on disk, and is kept until it can.
"""

import asyncio
import contextlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from sqlmodel import Session

from mailer.clock import Clock
from mailer.database import Database, DatabaseError
from mailer.delivery import launch, ledger, pacing, patience, tally
from mailer.delivery.breaker import Breaker
from mailer.delivery.composer import Composer, Ready
from mailer.delivery.connections import Connections
from mailer.delivery.dead import give_up
from mailer.delivery.destinations import Destinations
from mailer.delivery.ledger import Answer, Claim, LeaseLost
from mailer.delivery.relays import Ways
from mailer.delivery.reply import OURS, Action, Consequence, Reply, Stage, meaning
from mailer.delivery.reply import action as action_for
from mailer.delivery.session import Envelope
from mailer.delivery.states import DeliveryStatus
from mailer.errors import MailerError
from mailer.subscribers import suppression
from mailer.tables import SuppressionReason

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
"""How often an idle sender looks for work that nobody told it of."""

GROUP_SECONDS = 0.005
"""How long an answer waits for others to be recorded with it, while as many are still on their way."""

GROUP_SECONDS_SIGNING = 0.05
"""The same while mails wait for their signatures: they come a few at a time, and the ledger's work is better done for
many."""

AHEAD = 16
"""Mails for each unit of its weight that a relay may be ahead of the others."""

DRAIN_SECONDS = 30.0
"""How long stop() waits for answers that are on their way."""

SIGNED_TOGETHER = 8
"""Mails that one thread signs in a row."""


_MAY_END = frozenset({Consequence.REFUSE, Consequence.DEFER})
"""After these a delivery may be refused for good: a deferral may have been the last."""

Places = list[tuple[Connections, int]]
Taken = list[tuple[Connections, list[Ready]]]
Booking = asyncio.Future[tuple[Taken, bool]]


class Sender:
    """Sends whatever is due until it is stopped."""

    def __init__(self, *, database: Database, composer: Composer, ways: Ways, clock: Clock, worker_id: int) -> None:
        self._database, self._composer, self._clock = database, composer, clock
        self._worker_id = worker_id
        self._ledger_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compose")
        self._woken = asyncio.Event()
        self._stopping = self._is_abandoned = False
        self._has_waited = False
        self._grouping: asyncio.TimerHandle | None = None
        self._answers = list[Answer]()
        self._taken: Taken = []  # claimed in the last turn, and not yet made
        self._composing = dict[Connections, int]()  # claims on their way to a connection
        self._held = set[tuple[int, int]]()  # attempts that this sender has claimed and not yet recorded
        self._is_unsure = False  # whether the last transaction was kept
        self._stops = dict[int, str]()  # message -> why its issue has to stop
        self._tasks = set[asyncio.Task[None]]()
        self._relays = [Connections(relay, clock, self._settled, self._moved) for relay in ways.relays]
        self._destinations = Destinations(ways.destinations)
        self._breaker = Breaker()

    def wake(self) -> None:
        """There may be something due. Call from the loop's thread."""
        self._woken.set()

    def stop(self) -> None:
        """Claims nothing more; run() returns when the answers on their way have come, or after DRAIN_SECONDS."""
        self._stopping = True
        self.wake()

    def abandon(self) -> None:
        """The lease is lost: run() ends at once with LeaseLost, and what was claimed goes on in other workers."""
        self._is_abandoned = True
        self.stop()

    @property
    def is_resting(self) -> bool:
        """Whether every relay is being left alone after failures."""
        return all(relay.is_resting for relay in self._relays)

    async def run(self) -> None:
        """The loop. Ends after stop(), or with what it cannot go on after (LeaseLost): then nothing more leaves."""
        try:
            while not self._stopping:
                self._woken.clear()
                if not await self._turn():
                    await self._wait(POLL_SECONDS)
            if self._is_abandoned:
                raise LeaseLost
            await self._drain()
        finally:
            for task in self._tasks:  # what is being signed
                task.cancel()
            await asyncio.gather(*(relay.close() for relay in self._relays))
            self._threads.shutdown()
            self._ledger_thread.shutdown()

    def _is_ripe(self) -> bool:
        """As many answers as are still under way are a good group: it is recorded while the others go on."""
        return self._has_waited or not self._answers or len(self._answers) >= self._under_way()

    def _moved(self) -> None:
        """A connection has had answers, or has ended."""
        if self._is_ripe():
            self._woken.set()
        elif self._grouping is None:
            seconds = GROUP_SECONDS_SIGNING if any(self._composing.values()) else GROUP_SECONDS
            self._grouping = asyncio.get_running_loop().call_later(seconds, self._group_is_over)

    def _group_is_over(self) -> None:
        self._grouping, self._has_waited = None, True
        self._woken.set()

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            self._has_waited = True

    async def _turn(self) -> bool:
        """Records and claims, and meanwhile makes and submits what the turn before has claimed. Returns whether there
        is another turn to be had at once."""
        booking = self._begin_turn()
        was_taken = self._make_what_was_taken()
        return await self._end_turn(*booking) if booking else was_taken

    def _make_what_was_taken(self) -> bool:
        taken, self._taken = self._taken, []
        for relay, ready in taken:
            self._composing[relay] -= len(ready)
            self._compose(relay, ready)
        return bool(taken)

    def _begin_turn(self) -> tuple[Booking, list[Answer], list[Connections]] | None:
        """Hands the ledger its work, where there is any."""
        if not self._is_ripe():
            return None
        for relay in self._relays:
            relay.tidy()
        answers, self._has_waited = self._answers[:], False
        relays = self._in_turn()
        places = [(relay, self._places(relay)) for relay in relays]
        can_open = any(relay.can_open for relay in relays)
        if not answers and not can_open and not any(number for _, number in places):
            return None
        return self._in_ledger_thread(answers, places, can_open), answers, relays

    async def _end_turn(self, booking: Booking, answers: list[Answer], relays: list[Connections]) -> bool:
        try:
            taken, more = await booking
        except DatabaseError as error:
            log.error("database: %s", error, extra={"action": "turn"})
            self._is_unsure = True
            await asyncio.sleep(POLL_SECONDS)
            return False
        self._forget(answers)
        self._taken = taken
        for relay, ready in taken:
            self._held.update(_attempt(claim) for claim, _ in ready)
            self._composing[relay] = self._composing.get(relay, 0) + len(ready)
        if more:
            for relay in relays:
                relay.open_another()
        if self._answers:
            self._moved()
        return bool(answers or taken)

    def _forget(self, answers: list[Answer]) -> None:
        """They are recorded."""
        del self._answers[: len(answers)]
        self._held.difference_update(_attempt(answer.claim) for answer in answers)

    def _in_turn(self) -> list[Connections]:
        """The relays that may be given mail, the one that is furthest behind its weight first.

        Those of weight 0 only where no other can.
        """
        healthy = [relay for relay in self._relays if relay.relay.weight and not relay.is_resting]
        if not healthy:
            return [relay for relay in self._relays if not relay.relay.weight and not relay.is_resting]
        return sorted(healthy, key=_weighed)

    def _places(self, relay: Connections) -> int:
        """At most half of the windows in one turn, so that one half is on its way while the other is in the ledger."""
        free = relay.free
        half = -(-(free + relay.busy) // 2)
        return max(min(free - self._composing.get(relay, 0), half, self._share(relay)), 0)

    def _share(self, relay: Connections) -> int:
        """How far this relay may run ahead of the one that is furthest behind its weight."""
        others = [each for each in self._relays if each.relay.weight and not each.is_resting]
        if relay not in others or len(others) == 1:
            return relay.relay.connections * relay.relay.window
        behind = min(map(_weighed, others))
        return int((behind + AHEAD) * relay.relay.weight) - relay.given

    def _in_ledger_thread(self, answers: list[Answer], places: Places, can_open: bool) -> Booking:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._ledger_thread, self._book, answers, places, can_open)

    def _book(self, answers: list[Answer], places: Places, can_open: bool) -> tuple[Taken, bool]:
        """The transaction. Returns the claims, and whether there is more to do than there were places."""
        now = self._clock()
        wanted = sum(number for _, number in places)
        if self._is_unsure:
            answers = self._reconcile(answers, now)
        if not answers:
            with self._database.read() as session:
                due = ledger.has_due(session, now)
            if not due or not wanted:
                return [], due
        taken = Taken()
        with self._database.write() as session:
            self._record(session, answers)
            for relay, number in places:
                claims = self._claim(session, relay, number, now)
                if claims:
                    taken.append((relay, self._composer.load(session, claims)))
                wanted -= len(claims)
            more = can_open and not wanted and ledger.has_due(session, now)
        self._learn(answers)
        self._stop_issues()
        return taken, more

    def _reconcile(self, answers: list[Answer], now: datetime) -> list[Answer]:
        """After a transaction of which it is not known whether it was kept (a server that died in its COMMIT).

        What it claimed for us has not left and is given back; which of the answers it recorded, the ledger knows. It
        may have done both with one delivery, as two attempts.
        """
        with self._database.write() as session:
            still_open = ledger.left_open(session, self._worker_id)
            ledger.give_back(session, sorted(delivery_id for delivery_id, _ in still_open - self._held), now)
        self._is_unsure = False
        return [answer for answer in answers if _attempt(answer.claim) in still_open]

    def _claim(self, session: Session, relay: Connections, places: int, now: datetime) -> list[Claim]:
        """As many as there are places and as the relay may be given."""
        allowed = pacing.allowance(session, relay.relay, now) if places else None
        if allowed == 0:
            relay.has_been_given_all(until=now + pacing.WAIT)
            log.info("relay %s has been given all it may be given for now", relay.relay.name)
        claims = ledger.claim(
            session,
            worker_id=self._worker_id,
            relay=relay.relay.name,
            limit=places if allowed is None else min(places, allowed),
            now=now,
            departure=self._destinations.departure,
        )
        pacing.spend(session, relay.relay, len(claims), now)
        return claims

    def _record(self, session: Session, answers: list[Answer]) -> None:
        suppression.hold(session, [each.claim.subscription_id for each in answers if _is_about_its_reader(each)])
        ledger.record(session, answers)
        for answer in answers:
            if answer.action.suppress and answer.claim.subscription_id:
                give_up(session, answer.claim.subscription_id, SuppressionReason.BOUNCE, answer.reply.text, answer.at)
        self._weigh(session, answers)

    def _weigh(self, session: Session, answers: list[Answer]) -> None:
        """What was refused for good in words about its reader counts like a report that came back."""
        counted = {
            answer.claim.delivery_id: answer
            for answer in answers
            if _is_about_its_reader(answer) and not answer.action.suppress
        }
        for delivery_id in ledger.refused_among(session, list(counted)):
            claim, reply, _, _, at = counted[delivery_id]
            if claim.subscription_id:
                patience.weigh(session, claim.subscription_id, at, reply.text)

    def _learn(self, answers: list[Answer]) -> None:
        """What answers say beyond their own delivery: a destination wants to be spared, an issue has to stop."""
        for claim, reply, action, _, at in answers:
            if action.consequence is not Consequence.ACCEPT:
                self._destinations.heard(claim.destination, reply, at)
            if claim.message_id and (why := self._breaker.heard(claim.message_id, reply)):
                self._stops[claim.message_id] = why

    def _stop_issues(self) -> None:
        """In a transaction of its own, again in the next turn where it cannot be done: the answers are safe already."""
        for message_id, why in list(self._stops.items()):
            try:
                with self._database.write() as session:
                    slug = launch.stop(session, message_id)
            except DatabaseError as error:
                log.error("database: %s", error, extra={"action": "stop"})
                return
            except MailerError:  # an operator was at it in this moment; what came of it stands
                slug = None
            del self._stops[message_id]
            if slug:
                log.error(
                    "issue %s is paused: %s. See mailer log --issue %s; go on with: mailer issue resume %s",
                    *(slug, why, slug, slug),
                    extra={"action": "issue-stopped"},
                )

    # From claim to answer

    def _compose(self, relay: Connections, ready: list[Ready]) -> None:
        """What takes long is made in threads, some mails at a time; for the rest a thread would only cost."""
        if not self._composer.takes_long(ready):
            self._submit(relay, self._composed(ready))
            return
        self._composing[relay] = self._composing.get(relay, 0) + len(ready)
        for first in range(0, len(ready), SIGNED_TOGETHER):
            task = asyncio.create_task(self._sign(relay, ready[first : first + SIGNED_TOGETHER]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _sign(self, relay: Connections, ready: list[Ready]) -> None:
        loop = asyncio.get_running_loop()
        composed = await loop.run_in_executor(self._threads, self._composed, ready)
        self._composing[relay] -= len(ready)
        self._submit(relay, composed)

    def _composed(self, ready: list[Ready]) -> list[tuple[Claim, Envelope | MailerError]]:
        try:
            return self._composer.envelopes(ready)
        except Exception as error:  # a defect of ours must not take the worker with it
            log.exception("%d mails could not be made", len(ready))
            return [(claim, MailerError(f"{type(error).__name__}: {error}")) for claim, _ in ready]

    def _submit(self, relay: Connections, composed: list[tuple[Claim, Envelope | MailerError]]) -> None:
        mails = list[tuple[Claim, Envelope]]()
        for claim, envelope in composed:
            if isinstance(envelope, MailerError):  # ours to mend, and the delivery waits for it
                reply = Reply(Stage.CONNECT, None, f"not sent: {envelope}")
                self._settled(relay, claim, reply, Action(Consequence.DEFER, alarm=True))
            else:
                mails.append((claim, envelope))
        relay.submit(mails)
        if self._answers:
            self._moved()

    def _settled(self, relay: Connections, claim: Claim, reply: Reply, action: Action | None = None) -> None:
        action = action or action_for(reply)
        self._answers.append(Answer(claim, reply, action, relay.relay.name, self._clock()))
        if reply.code and (action.stop or (action.alarm and meaning(reply) in OURS)):
            relay.failed(reply)
        if action.alarm:  # the words name readers; they are in the log that only operators see
            log.error(
                "delivery %d: %s at %s, ours to mend. Type: mailer log",
                claim.delivery_id,
                " ".join(str(word) for word in (reply.code, reply.enhanced, meaning(reply)) if word),
                reply.stage,
                extra={"action": "alarm"},
            )

    # The end

    async def _drain(self) -> None:
        """Waits for verdicts, records as they come, and cuts what takes too long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + DRAIN_SECONDS
        self._make_what_was_taken()
        while self._under_way() and loop.time() < end:
            self._woken.clear()
            await self._keep_answers()
            await self._wait(min(POLL_SECONDS, end - loop.time()))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for relay in self._relays:
            await relay.close()
        while not await self._keep_answers() and loop.time() < end:
            await self._wait(POLL_SECONDS)
        if self._answers:
            log.error("%d answers could not be recorded; their mails are uncertain", len(self._answers))
        await loop.run_in_executor(self._ledger_thread, self._say_what_remains)

    def _say_what_remains(self) -> None:
        with contextlib.suppress(DatabaseError), self._database.read() as session:
            for slug, counted in tally.unfinished(session, self._clock()):
                uncertain = counted.counts[DeliveryStatus.UNCERTAIN]
                log.info(
                    "issue %s: %d of %d readers remain, %d of them uncertain; the next worker goes on",
                    *(slug, counted.remaining, counted.total, uncertain),
                )

    def _under_way(self) -> int:
        return sum(relay.busy for relay in self._relays) + sum(self._composing.values())

    async def _keep_answers(self) -> bool:
        """Records what has come. Returns whether it could."""
        answers = self._answers[:]
        try:
            await self._in_ledger_thread(answers, [], False)
        except DatabaseError:
            self._is_unsure = True
            return False
        self._forget(answers)
        return True


def _weighed(relay: Connections) -> float:
    return relay.given / relay.relay.weight


def _is_about_its_reader(answer: Answer) -> bool:
    """Whether it may end the reader's subscription, now or with others."""
    may_end = answer.action.consequence in _MAY_END and patience.refusal(answer.reply)
    return answer.action.suppress or bool(may_end)


def _attempt(claim: Claim) -> tuple[int, int]:
    return claim.delivery_id, claim.number
