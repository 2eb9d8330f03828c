"""Processes that a measurement starts: their peak memory while they live, and a certain end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A process did not do what it was started for; the message has its last words."""


class Process:
    """A started program. What it says to stderr is kept for the case that it fails."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        asked: bool = False,
    ) -> None:
        """`asked`: it reads lines from us."""
        self.name = Path(command[0]).name
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (end() closes it)
        self._peak_kb = 0
        self._popen = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            cwd=folder,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def lives(self) -> bool:
        return self._popen.poll() is None

    @property
    def stdout(self) -> IO[bytes]:
        assert self._popen.stdout is not None
        return self._popen.stdout

    @property
    def peak_mb(self) -> float:
        """The most memory it held at once, in MB, as far as it was looked at: look while it lives."""
        self._peak_kb = max(self._peak_kb, peak_kb(self.pid))
        return round(self._peak_kb / 1024, 1)

    @property
    def cpu_seconds(self) -> float:
        """What it has used of the processors, in user and system mode."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def line(self) -> str:
        """The next line it says. Raises Failed where it ends instead."""
        line = self.stdout.readline().decode()
        if not line:
            self._popen.wait()
            raise Failed(self.complaint())
        return line.strip()

    def tell(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()

    def wait(self, seconds: float) -> int:
        """Its exit code. Raises Failed where it does not end in time."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds:.0f} s. {self.complaint()}") from None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    def complaint(self) -> str:
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip()[-1500:]
        return f"{self.name} (exit code {self._popen.poll()}): {words or 'no word on stderr'}"

    def end(self) -> None:
        """Ends it, politely at first."""
        if self.lives:
            self._popen.terminate()
            try:
                self._popen.wait(5)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._words.close()


def peak_kb(pid: int) -> int:
    """The most memory that a process held at once, so far; 0 where it has ended. What wait4 says of a child is at least
    what its parent held when it was started."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


def end_on_sigterm() -> None:
    """So that what was started is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def until(seconds: float, every: float = 0.01) -> Iterator[None]:
    """Turns of a loop that waits: raises Failed when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(every)
    raise Failed(f"waited for {seconds:.0f} s in vain")
