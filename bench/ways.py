"""The way from a contestant to the sink: straight, through the delaying proxy, or through two network namespaces.

loopback    no delay
proxy       bench/delay.py: needs nothing, but no real TCP sees the delay
namespace   a program in C whose source is given bridges two TAP devices with a delay: real TCP, real windows;
            needs root and /dev/net/tun. The sink runs in a namespace of its own, contestants where they are
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import ROOT, Process
from bench.receivers import Absent, Receiver

NEAR, FAR = "10.213.80.1", "10.213.80.2"


@dataclass(frozen=True)
class Way:
    """Where the sink listens, what it is started by, and what stands in front of it."""

    host: str = "127.0.0.1"
    before: tuple[str, ...] = ()
    rtt_ms: float = 0  #: of a proxy in front; a namespace has its delay in itself

    @contextlib.contextmanager
    def to(self, receiver: Receiver) -> Iterator[tuple[str, int]]:
        """Host and port for the contestants."""
        if not self.rtt_ms:
            yield receiver.host, receiver.port
            return
        to = f"{receiver.host}:{receiver.port}"
        command: list[str | Path] = [sys.executable, ROOT / "bench" / "delay.py", "127.0.0.1:0", to, str(self.rtt_ms)]
        with Process(command) as process:
            yield "127.0.0.1", int(process.line().split()[1])


@contextlib.contextmanager
def namespace(program: Path, rtt_ms: float) -> Iterator[Way]:
    """Raises Absent where this machine does not let us."""
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists() or not shutil.which("ip"):
        raise Absent("a namespace needs root, /dev/net/tun and the program ip (apt-get install iproute2)")
    name, near, far = f"bench{os.getpid()}", f"bn{os.getpid()}"[:15], f"bf{os.getpid()}"[:15]
    _ip("netns", "add", name)
    try:
        with Process([program, near, far, str(round(rtt_ms * 500))]) as bridge:
            bridge.line()
            _ip("link", "set", far, "netns", name)
            _ip("addr", "add", f"{NEAR}/24", "dev", near)
            _ip("link", "set", near, "up")
            _ip("-n", name, "addr", "add", f"{FAR}/24", "dev", far)
            _ip("-n", name, "link", "set", far, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            yield Way(FAR, ("ip", "netns", "exec", name))
    finally:
        _ip("netns", "del", name)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"ip {' '.join(words)}: {done.stderr.strip()}")
