"""What takes the mail: each counts what has come, so that nobody's own word is believed.

own         bench/sink.py; the only one here with STARTTLS
fast        a sink in C whose source is given, with the same XSTAT command
smtp-sink   Postfix's
postfix     a real Postfix that discards, from a configuration of its own
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.processes import ROOT, Failed, Process, until
from mailer.clock import system_clock


class Absent(Exception):
    """Not on this machine; the message says what to install."""


@dataclass(frozen=True)
class Receiver:
    """A sink that listens."""

    host: str
    port: int
    counted: Callable[[], tuple[int, int | None]]  #: mails so far, and their octets where it counts them
    peak_mb: Callable[[], float]


class Stat:
    """Asks a sink for its counts over a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), 10)
        self._socket.settimeout(None)
        self._file = self._socket.makefile("rwb")
        self._file.readline()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def __call__(self) -> tuple[int, int]:
        self._file.write(b"XSTAT\r\n")
        self._file.flush()
        found = re.search(rb"msgs=(\d+) bytes=(\d+)", self._file.readline())
        if not found:
            raise Failed("the sink went away")
        return int(found[1]), int(found[2])


@contextlib.contextmanager
def own(host: str, *, before: Sequence[str] = (), options: Sequence[str | Path] = ()) -> Iterator[Receiver]:
    """`before`: a command to start it by."""
    command = [*before, sys.executable, ROOT / "bench" / "sink.py", f"{host}:0", *options]
    with Process(command) as process:
        yield from _asked(host, int(process.line().split()[1]), process)


@contextlib.contextmanager
def fast(program: Path, host: str, *, before: Sequence[str] = (), chunking: bool = True) -> Iterator[Receiver]:
    port = free_port()
    with Process([*before, program, host, str(port), *(() if chunking else ("nochunk",))]) as process:
        yield from _asked(host, port, process)


def _asked(host: str, port: int, process: Process) -> Iterator[Receiver]:
    _until_open(host, port, process)
    stat = Stat(host, port)
    try:
        yield Receiver(host, port, stat, lambda: process.peak_mb)
    finally:
        stat.close()


@contextlib.contextmanager
def smtp_sink(host: str) -> Iterator[Receiver]:
    """Its running counters are what it prints (-c)."""
    program, port = postfix_program("smtp-sink"), free_port()
    user = ("-u", "nobody") if os.geteuid() == 0 else ()  # it refuses to stay root
    with Process([program, "-c", *user, f"{host}:{port}", "512"]) as process:
        _until_open(host, port, process)
        printed = _Tail(process)
        yield Receiver(host, port, lambda: (printed(), None), lambda: process.peak_mb)


class _Tail:
    """The last `mesg=N` that smtp-sink printed."""

    def __init__(self, process: Process) -> None:
        self._file, self._last = process.stdout.fileno(), 0
        os.set_blocking(self._file, False)

    def __call__(self) -> int:
        with contextlib.suppress(BlockingIOError):
            while text := os.read(self._file, 1 << 16):
                found = re.findall(rb"mesg=(\d+)\s", text)
                self._last = int(found[-1]) if found else self._last
        return self._last


@contextlib.contextmanager
def postfix(host: str, folder: Path) -> Iterator[Receiver]:
    """smtpd, cleanup and qmgr as they come, with the discard transport; counted by its log's "queued" lines."""
    program = postfix_program("postfix")
    if not Path("/etc/postfix/postfix-files").exists():
        raise Absent("Postfix is not set up completely: apt-get install postfix")
    if os.geteuid() != 0:
        raise Absent("Postfix starts for root only")
    port, settings, logged = free_port(), folder / "postfix", folder / "postfix.log"
    for name in ("postfix", "queue", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    folder.chmod(0o755)
    (settings / "main.cf").write_text(_MAIN.format(host=host, folder=folder, log=logged))
    (settings / "master.cf").write_text(_MASTER.format(host=host, port=port))
    act = [program, "-c", str(settings)]
    began = subprocess.run([*act, "start"], capture_output=True, text=True, check=False)
    try:
        if began.returncode:
            raise Absent(f"Postfix did not start: {began.stderr.strip()[-300:]}")
        _until_open(host, port)
        with logged.open("rb") as log:
            yield Receiver(host, port, _LogCount(log.read), lambda: 0.0)
    finally:
        subprocess.run([*act, "stop"], capture_output=True, check=False)


class _LogCount:
    """How many lines of a growing log say that cleanup has a whole message."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read, self._count, self._rest = read, 0, b""

    def __call__(self) -> tuple[int, None]:
        *lines, self._rest = (self._rest + self._read()).split(b"\n")
        self._count += sum(b"/qmgr[" in line and b"queue active" in line for line in lines)
        return self._count, None


_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {log}
maillog_file_prefixes = {folder}
mynetworks = 127.0.0.0/8
myhostname = relay.bench.example
mydestination =
inet_interfaces = {host}
inet_protocols = ipv4
default_transport = discard:
relay_transport = discard:
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
"""

_MASTER = """\
{host}:{port} inet n - n - 100 smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
error     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
proxymap  unix - - n - - proxymap
tlsmgr    unix - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


def postfix_program(name: str) -> str:
    """Raises Absent."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise Absent(f"{name} is not installed: apt-get install postfix")
    return found


def compiled(source: Path, folder: Path) -> Path:
    """A C program, compiled into `folder`. Raises Absent."""
    compiler, program = shutil.which("gcc") or shutil.which("cc"), folder / source.stem
    if compiler is None:
        raise Absent(f"no C compiler for {source.name}")
    made = subprocess.run([compiler, "-O2", "-w", "-o", program, source], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Absent(f"{source} does not compile: {made.stderr.strip()[-300:]}")
    return program


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _until_open(host: str, port: int, process: Process | None = None) -> None:
    for _ in until(20, 0.05):
        if process is not None and not process.lives:
            raise Failed(process.complaint())
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that nobody trusts, and its key (ECDSA, as is usual today)."""
    key, now = ec.generate_private_key(ec.SECP256R1()), system_clock()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.bench.example")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    written = folder / "certificate.pem", folder / "key.pem"
    written[0].write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    written[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return written
