"""Acts that wait for SQLite's one write lock at the same time share a transaction: the disk is flushed once for all.

A flush takes as long as a dozen acts, and every other writer waits behind it. None is told that it is done before all
of them are on disk. Where one fails, nothing of the group is kept, and each is carried out once more by itself: an act
changes what its session holds and nothing else.

The requests that come in masses run in the event loop's own thread, as greenlets that wait here for their turn; only
waiting for the lock and the flush go on in another thread. In threads of their own, every one of SQLite's short calls
would let go of the interpreter and wait to get it back, while all other writers wait for the lock
(docs/decisions/0018-requests-in-the-loop.md).
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.util import await_only
from sqlmodel import Session

MOST = 50
"""Acts in one transaction: others wait for it meanwhile."""

T = TypeVar("T")

_Waiting = tuple[Callable[[Session], Any], asyncio.Future[Any]]


@dataclass
class _Queue:
    """Of one loop: acts of different loops wait for each other's transactions, as other writers do."""

    waiting: list[_Waiting] = field(default_factory=list)
    leader: asyncio.Task[None] | None = None
    thread: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "commit"))

    async def aside(self, call: Callable[..., T], *values: object) -> T:
        """In a thread of its own: in a shared one it would wait for others that wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call, *values)


class GroupCommit:
    """`write`: a writing transaction, as Database.write; `within`: a session in the transaction of a connection."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[Session]],
        within: Callable[[sa.Connection], AbstractContextManager[Session]],
    ) -> None:
        self._write, self._within = write, within
        self._queues = WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue]()

    def carry_out(self, act: Callable[[Session], T]) -> T:
        """What `act` returns, once that is committed. Raises what it raises, and what the transaction raises.

        To be called in a greenlet of the loop (SQLAlchemy's greenlet_spawn), and others go on meanwhile. Who goes away
        while it waits leaves the act behind: it is carried out, unless the loop itself ends first.
        """
        return await_only(self._in_group(act))

    def is_at_work(self) -> bool:
        """Whether acts of this thread's loop are being carried out, so that nobody else may wait in it."""
        loop = asyncio._get_running_loop()
        return loop is not None and loop in self._queues and self._queues[loop].leader is not None

    async def _in_group(self, act: Callable[[Session], T]) -> T:
        loop = asyncio.get_running_loop()
        queue = self._queues.setdefault(loop, _Queue())
        done: asyncio.Future[T] = loop.create_future()
        queue.waiting.append((act, done))
        if queue.leader is None:
            queue.leader = asyncio.create_task(self._lead(queue))
        return await asyncio.shield(done)

    async def _lead(self, queue: _Queue) -> None:
        try:
            while queue.waiting:
                group, queue.waiting = queue.waiting[:MOST], queue.waiting[MOST:]
                behind = len(queue.waiting)
                try:
                    await self._carry_out(queue, group)
                except Exception as error:  # there was no turn; whoever stood behind has waited as long
                    late, queue.waiting = queue.waiting[:behind], queue.waiting[behind:]
                    for _, done in (*group, *late):
                        if not done.done():
                            done.set_exception(error)
        finally:
            queue.leader = None

    async def _carry_out(self, queue: _Queue, group: list[_Waiting]) -> None:
        """Raises what the transaction raises where it does not even begin."""
        writing = self._write()
        connection = await queue.aside(_begin, writing)
        try:
            results = await self._committed(queue, writing, connection, [act for act, _ in group])
        except Exception as error:  # nothing was kept
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            for each in group:
                await self._carry_out(queue, [each])
            return
        for (_, done), result in zip(group, results, strict=True):
            done.set_result(result)

    async def _committed(
        self,
        queue: _Queue,
        writing: AbstractContextManager[Session],
        connection: sa.Connection,
        acts: list[Callable[[Session], Any]],
    ) -> list[Any]:
        """What they return, each in a session of its own, which remembers nothing of the acts before."""
        results = list[Any]()
        try:
            for act in acts:
                with self._within(connection) as session:
                    results.append(act(session))
                    session.flush()
        except BaseException:
            await queue.aside(writing.__exit__, *sys.exc_info())
            raise
        await queue.aside(writing.__exit__, None, None, None)
        return results


def _begin(writing: AbstractContextManager[Session]) -> sa.Connection:
    """Waits for the lock."""
    session = writing.__enter__()
    try:
        return session.connection()
    except BaseException:
        writing.__exit__(*sys.exc_info())
        raise
