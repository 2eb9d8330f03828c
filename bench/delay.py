"""A TCP proxy that makes the way longer: every octet takes half a round trip in each direction, whatever the load.

    python bench/delay.py 127.0.0.1:0 127.0.0.1:2525 80          a round trip of 80 ms to port 2525

Octets are passed on in their order, each RTT/2 after it came; nothing is merged, held back or paced beyond that, so
bandwidth is unlimited and there is no slow start: what a sender does not wait for, it does not pay for.

Setting up a connection takes one round trip, as on a real way: the far side is called RTT/2 after the near side was,
so the greeting is heard RTT after the call. (The near side's connect() itself returns at once: the wait comes before
the greeting instead.)
"""

import argparse
import asyncio
from collections import deque
from typing import cast

from bench import loops


class End(asyncio.Protocol):
    """One side of a connection. What comes in is written to `other` after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._on_the_way = deque[tuple[float, bytes | None]]()  #: None: the end of it
        self._timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none
        self.transport.set_write_buffer_limits(high=1 << 30)
        if self.other:
            self.other.deliver()

    def data_received(self, data: bytes) -> None:
        self._send(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._send(None)

    def _send(self, data: bytes | None) -> None:
        self._on_the_way.append((self._loop.time() + self._seconds, data))
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self.deliver)

    def deliver(self) -> None:
        """Hands over what has come to its end; the rest has a timer."""
        self._timer = None
        if self.other is None or self.other.transport is None:
            return  # not connected yet; connection_made comes back to it
        due = self._loop.time() + 0.0005  # the loop's own resolution
        while self._on_the_way and self._on_the_way[0][0] <= due:
            _, data = self._on_the_way.popleft()
            if data is None:
                self.other.transport.close()
            else:
                self.other.transport.write(data)
        if self._on_the_way and self._timer is None:
            self._timer = self._loop.call_at(self._on_the_way[0][0], self.deliver)


class Near(End):
    """The side that called us: calls the far side when the call has travelled."""

    def __init__(self, seconds: float, host: str, port: int) -> None:
        super().__init__(seconds)
        self._host, self._port = host, port
        self._calling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._calling = self._loop.create_task(self._call())

    async def _call(self) -> None:
        await asyncio.sleep(self._seconds)
        far = self.other = End(self._seconds)
        far.other = self
        try:
            await self._loop.create_connection(lambda: far, self._host, self._port)
        except OSError:
            if self.transport:
                self.transport.close()


async def serve(listen: tuple[str, int], to: tuple[str, int], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Near(seconds, *to), *listen, backlog=512)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def address(words: str) -> tuple[str, int]:
    host, _, port = words.rpartition(":")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listen", type=address, help="HOST:PORT; port 0 takes a free one, which is printed")
    parser.add_argument("to", type=address, help="HOST:PORT of the far side")
    parser.add_argument("rtt", type=float, help="the round trip, in milliseconds")
    wanted = parser.parse_args()
    loops.run(serve(wanted.listen, wanted.to, wanted.rtt / 2000))


if __name__ == "__main__":
    main()
