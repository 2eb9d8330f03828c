"""The worker: begins due issues, sends, finishes, takes what comes back. APScheduler only ticks; what is due stands in
our own tables.

Each tick is a function of `now`: run twice, or late, it does the same. `misfire_grace_time=None` matters: the
default silently drops a tick that is late.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlmodel import select

from mailer import retention
from mailer.app import App
from mailer.database import DatabaseError
from mailer.delivery import launch, workers
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import LeaseLost
from mailer.delivery.relays import ways_of
from mailer.delivery.sender import Sender
from mailer.errors import MailerError
from mailer.rendering import dkim
from mailer.subscribers import chain, limits
from mailer.tables import Publication

if TYPE_CHECKING:
    from mailer.inbound.receiver import Receiver
    from mailer.inbound.ways import Ways

log = logging.getLogger(__name__)
logging.getLogger("apscheduler.scheduler").setLevel(
    logging.ERROR
)  # a tick that is still at work is meant to be skipped

TICK = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

SEAL = timedelta(seconds=10)
CLEAN = timedelta(minutes=10)
"""How often it is looked whether a day has passed."""


class Worker:
    """Runs until stop(). One a process; on SQLite one a database. Raises DkimError for a key and SettingsError for a
    file of relays that cannot be used."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._ways = ways_of(app.settings)
        self._keys = dkim.load_keys(app.settings.dkim_keys)
        self._sender: Sender | None = None
        self._ways_in = self._find_ways_in()
        self._stopped = asyncio.Event()
        self._stuck = set[int]()
        self._has_lost_lease = False
        self._ceased = threading.Event()  # for what goes on in threads

    def _find_ways_in(self) -> "Ways | None":
        if not self._app.settings.takes_mail:
            return None
        from mailer.inbound.effects import Effects  # a worker goes without what reads mail
        from mailer.inbound.ways import ways_in

        app = self._app
        effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)
        return ways_in(app.settings, effects, queued=self.wake)

    @property
    def receiver(self) -> "Receiver | None":
        """What takes the mail that comes in, where it is handed to us."""
        return self._ways_in.receiver if self._ways_in else None

    async def run(self, patience: timedelta = timedelta()) -> None:
        """Registers, sends, and goes home. Whose lease was taken over begins anew, with nothing in hand. For so long it
        waits for a worker that holds the SQLite file.

        Raises SecondWorker, DatabaseError or SchemaError at the start, MailerError where it cannot listen. Later it
        waits for a database that is away.
        """
        app = self._app
        app.database.check_schema()
        self._warn_of_unaligned_keys()
        with contextlib.ExitStack() as held:
            await self._hold(held, patience)
            if self._ways_in:
                await self._ways_in.start()
            try:
                worker_id: int | None = await asyncio.to_thread(self._register)
                while worker_id is not None and await self._loses_its_lease(worker_id):
                    log.error(
                        "this worker's lease lapsed and was taken over; it begins anew. Compare the clocks of the"
                        " machines if this happens again"
                    )
                    worker_id = await self._register_again()
            finally:
                if self._ways_in:
                    await self._ways_in.stop()

    async def _hold(self, held: contextlib.ExitStack, patience: timedelta) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience.total_seconds()
        while True:
            try:
                held.enter_context(workers.sole_use(self._app.database))
            except workers.SecondWorker as error:
                if self._stopped.is_set() or loop.time() >= until:
                    raise
                log.warning("%s Waiting for it to end.", error)
            else:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), TICK.total_seconds())

    def _end(self, worker_id: int) -> None:
        with self._app.database.write() as session:
            workers.end(session, worker_id, self._app.clock())

    def _register(self) -> int:
        app = self._app
        with app.database.write() as session:
            return workers.register(session, app.clock(), alone=app.database.is_sqlite)

    async def _register_again(self) -> int | None:
        """As soon as the database is there. None where it was stopped before."""
        while not self._stopped.is_set():
            try:
                return await asyncio.to_thread(self._register)
            except DatabaseError as error:
                log.error("database: %s", error, extra={"action": "register"})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), TICK.total_seconds())
        return None

    async def _loses_its_lease(self, worker_id: int) -> bool:
        """Sends under one lease. False where it was stopped."""
        app = self._app
        sender = self._sender = Sender(
            database=app.database,
            composer=Composer(app.settings, app.tokens, self._keys),
            ways=self._ways,
            clock=app.clock,
            worker_id=worker_id,
        )
        log.info("worker %d sends by %s", worker_id, ", ".join(relay.name for relay in self._ways.relays))
        self._has_lost_lease = False
        await self._tick(self.point_to_first_host)  # before anything leaves
        scheduler = self._scheduler(worker_id)
        try:
            scheduler.start()
            await self._until_stopped(sender)
        except LeaseLost:
            self._has_lost_lease = True
        finally:
            scheduler.shutdown(wait=False)
            with contextlib.suppress(DatabaseError):
                await asyncio.to_thread(self._end, worker_id)
        return self._has_lost_lease and not self._stopped.is_set()

    def _warn_of_unaligned_keys(self) -> None:
        with self._app.database.read() as session:
            addresses = session.exec(select(Publication.sender_address)).all()
        for key in dkim.unaligned(self._keys, addresses):
            log.warning(
                "MAILER_DKIM_KEYS: no publication sends from %s, so DMARC does not count the signatures of %s."
                " Make a key for a sender's own domain with: mailer dkim new DOMAIN",
                key.domain,
                key.record_name,
            )

    async def _until_stopped(self, sender: Sender) -> None:
        if self._stopped.is_set():
            sender.stop()
        await sender.run()

    def stop(self) -> None:
        """Lets answers on their way come in, then run() returns."""
        self._stopped.set()
        self._ceased.set()
        if self._ways_in:
            self._ways_in.cease()
        if self._sender:
            self._sender.stop()

    def wake(self) -> None:
        """Something was queued: look now. Call from the loop's thread."""
        if self._sender:
            self._sender.wake()

    def _scheduler(self, worker_id: int) -> AsyncIOScheduler:
        scheduler = AsyncIOScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        ticks: list[tuple[Callable[[datetime], None], timedelta]] = [
            (self.begin_due, TICK),
            (self.finish, TICK),
            (self.point_to_first_host, MINUTE),
            (self.forget_counts, 10 * MINUTE),
            (lambda now: self._renew(worker_id, now), workers.LEASE / 4),
            (self.seal, SEAL),
            (self.clean, CLEAN),
        ]
        for tick, every in ticks:
            scheduler.add_job(self._tick, "interval", args=[tick], seconds=every.total_seconds())
        return scheduler

    async def _tick(self, tick: Callable[[datetime], None]) -> None:
        """Runs one tick in a thread. A tick that fails says so and comes again."""
        try:
            await asyncio.to_thread(tick, self._app.clock())
        except DatabaseError as error:
            log.error("database: %s", error)
        self.wake()

    # Ticks

    def begin_due(self, now: datetime) -> None:
        """Turns every due issue into deliveries, each in a transaction of its own."""
        app = self._app
        with app.database.read() as session:
            due = launch.due_issues(session, now)
        for issue_id in due:
            try:
                with app.database.write() as session:
                    begun = launch.begin(session, issue_id, app.settings, now)
                if begun:
                    log.info("issue %s begins: %d readers", *begun)
            except DatabaseError:
                raise
            except MailerError as error:
                self._complain_once(issue_id, "an issue is due but cannot begin", error)

    def _complain_once(self, issue_id: int, what: str, error: MailerError) -> None:
        if issue_id not in self._stuck:
            self._stuck.add(issue_id)
            log.error("%s: %s", what, error)

    def finish(self, now: datetime) -> None:
        """Marks what is sent as sent."""
        with self._app.database.read() as session:
            if not launch.has_unfinished(session):
                return
        with self._app.database.write() as session:
            for issue in launch.finish(session, now):
                log.info("issue %s is sent", issue.slug)

    def point_to_first_host(self, now: datetime) -> None:
        """Mails that wait carry links to the first of MAILER_LINK_HOSTS, whatever it was when their issue began."""
        app = self._app
        with app.database.read() as session:
            elsewhere = launch.pointing_elsewhere(session, app.link_host)
        for issue_id in elsewhere:
            try:
                with app.database.write() as session:
                    slug = launch.point(session, issue_id, app.settings, now)
                log.info("what waits of issue %s now points to %s", slug, app.link_host)
            except DatabaseError:
                raise
            except MailerError as error:
                self._complain_once(issue_id, "an issue goes out with its old links", error)

    def forget_counts(self, now: datetime) -> None:
        """Drops what the form's limits counted in windows that are over."""
        with self._app.database.write() as session:
            limits.forget(session, now)

    def seal(self, now: datetime) -> None:
        """Hangs new consents onto their chain, as many as there are. Others who write have half of the time."""
        database = self._app.database
        with database.read() as session:
            if not chain.waits(session):
                return
        sealed = 1
        while sealed and not self._ceased.is_set():
            began = time.monotonic()
            with database.write() as session:
                sealed = chain.seal(session, now)
            self._ceased.wait(time.monotonic() - began)

    def clean(self, now: datetime) -> None:
        """Lets go what was kept long enough, once a day."""
        app = self._app
        if "networks" in retention.run(app.database, app.settings, now, self._ceased.wait):
            with app.database.read() as session:
                head = chain.head(session)
            if head:
                log.info("consents: the chain's anchor is %s", head)

    def _renew(self, worker_id: int, now: datetime) -> None:
        with self._app.database.write() as session:
            held = workers.renew(session, worker_id, now)
            workers.take_over(session, now)
        if not held and self._sender:
            self._has_lost_lease = True
            self._sender.abandon()
