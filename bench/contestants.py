"""Who sends: mailer, and what it is measured against. Each starts its processes and says at the end what it sent."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.installation import Installation, Templates, accepted, opened
from bench.processes import ROOT, Process
from bench.receivers import Absent, postfix_program

INSTALLED = ROOT / ".bench"
"""Where `make bench` puts what is not ours."""


HEADS = {"smtp-source": 147, "nodemailer": 350, "nodemailer, composing": 380, "aiosmtplib": 162, "mailman": 106}
"""Octets of the header that each writes above the text it is given."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be sent, and where to."""

    host: str
    port: int
    messages: int
    size: int  #: octets of one mail on the wire
    connections: int
    folder: Path  #: of this run
    tls: bool = False
    dkim: Path | None = None  #: SELECTOR._domainkey.DOMAIN.pem, RSA-2048


@dataclass(frozen=True)
class Sending:
    """A contestant at work."""

    processes: list[Process]
    claimed: Callable[[], int]  #: waits for its end; how many it says it sent


@dataclass(frozen=True)
class Contestant:
    name: str
    start: Callable[[Load], contextlib.AbstractContextManager[Sending]]
    missing: Callable[[], None]  #: raises Absent where it cannot take part


def ours(name: str, templates: Templates, kind: str, workers: int, settings: dict[str, str]) -> Contestant:
    """mailer, ledger on. `kind`: of its database."""

    @contextlib.contextmanager
    def start(load: Load) -> Iterator[Sending]:
        values = {
            "relay_host": load.host,
            "relay_port": str(load.port),
            "relay_tls": "required" if load.tls else "off",
            "relay_connections": str(load.connections // workers),
            "dkim_keys": str(load.dkim or ""),
            **settings,
        }
        with contextlib.ExitStack() as stack:
            url = stack.enter_context(templates.copy(kind, load.messages, load.size, load.folder))
            installation = Installation(load.folder, url, values)
            processes = [stack.enter_context(installation.worker()) for _ in range(workers)]

            def claimed() -> int:
                for process in processes:
                    process.signal(15)
                for process in processes:
                    process.wait(60)
                with opened(installation.app()) as database:
                    return accepted(database)

            yield Sending(processes, claimed)

    return Contestant(name, start, lambda: None)


def smtp_source() -> Contestant:
    """Postfix's own load generator, connections kept open (-d)."""

    @contextlib.contextmanager
    def start(load: Load) -> Iterator[Sending]:
        if load.tls or load.dkim:
            raise Absent("smtp-source knows neither TLS nor DKIM")
        command = [
            *(postfix_program("smtp-source"), "-d", "-s", load.connections, "-m", load.messages),
            *("-l", load.size - HEADS["smtp-source"], "-f", "bounces@bounces.example.org", "-t", "reader@d1.example"),
            f"inet:{load.host}:{load.port}",
        ]
        with Process([str(word) for word in command]) as process:
            yield Sending([process], lambda: load.messages if process.wait(60) == 0 else 0)

    def missing() -> None:
        postfix_program("smtp-source")

    return Contestant("smtp-source", start, missing)


def nodemailer(*, composing: bool = False) -> Contestant:
    """Its pool, given whole mails; or composing each from its parts."""
    name = "nodemailer, composing" if composing else "nodemailer"

    @contextlib.contextmanager
    def start(load: Load) -> Iterator[Sending]:
        text = load.folder / "text"
        text.write_text(_lines(load.size - HEADS[name]))
        selector, _, domain = load.dkim.stem.partition("._domainkey.") if load.dkim else ("", "", "")
        wanted = {
            **_described(load, text),
            "modules": str(INSTALLED),
            "composing": composing,
            "dkim": {"domain": domain, "selector": selector, "file": str(load.dkim)} if load.dkim else None,
        }
        command = ["node", str(ROOT / "bench" / "nodemailer.mjs"), json.dumps(wanted)]
        with Process(command) as process:
            yield Sending([process], lambda: _said(process))

    def missing() -> None:
        if not shutil.which("node"):
            raise Absent("node is not installed: apt-get install nodejs npm, then make bench")
        if not (INSTALLED / "node_modules" / "nodemailer").is_dir():
            raise Absent("nodemailer is not installed: make bench does it, with npm")

    return Contestant(name, start, missing)


def aiosmtplib() -> Contestant:
    """Connections that each send one mail after the other; the mail is made once."""

    @contextlib.contextmanager
    def start(load: Load) -> Iterator[Sending]:
        mail = load.folder / "mail"
        head = "From: Bench <editors@example.org>\r\nSubject: A week in Vadaliny\r\nMIME-Version: 1.0\r\n\r\n"
        mail.write_bytes((head + _lines(load.size - HEADS["aiosmtplib"]).replace("\n", "\r\n")).encode())
        command = [sys.executable, str(ROOT / "bench" / "plain.py"), json.dumps(_described(load, mail))]
        with Process(command) as process:
            yield Sending([process], lambda: _said(process))

    return Contestant("aiosmtplib", start, lambda: None)


def mailman() -> Contestant:
    """GNU Mailman 3's VERP delivery, from a virtual environment of its own."""
    python = INSTALLED / "mailman" / "bin" / "python"

    @contextlib.contextmanager
    def start(load: Load) -> Iterator[Sending]:
        if load.tls or load.dkim:
            raise Absent("not compared with TLS or DKIM")
        text = load.folder / "text"
        text.write_text(_lines(load.size - HEADS["mailman"]))
        wanted = {**_described(load, text), "folder": str(load.folder)}
        with Process([str(python), str(ROOT / "bench" / "verp.py"), json.dumps(wanted)]) as process:
            yield Sending([process], lambda: _said(process))

    def missing() -> None:
        imported = [str(python), "-c", "import mailman.mta.verp"]
        if not python.exists() or subprocess.run(imported, capture_output=True, check=False).returncode:
            raise Absent("GNU Mailman is not installed: make bench tries to, with pip")

    return Contestant("mailman", start, missing)


def _described(load: Load, file: Path) -> dict[str, object]:
    return {
        "host": load.host,
        "port": load.port,
        "connections": load.connections,
        "messages": load.messages,
        "file": str(file),
        "tls": load.tls,
    }


def _said(process: Process) -> int:
    sent = json.loads(process.line())["sent"]
    process.wait(60)
    return int(sent)


def _lines(octets: int) -> str:
    """Text that is so many octets on the wire, where each line ends in CRLF; nothing in it needs encoding."""
    line = "Nobody new was hired: the shifts were moved, and the quiet morning hours went.\n"[-77:]
    full, rest = divmod(octets, len(line) + 1)
    return line * full + "x" * max(rest - 2, 0) + "\n"
