"""Everything the demo needs, on loopback and in one temporary folder: database, mailbox, pages, worker."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from mailer import publications, staff
from mailer.app import App, assemble
from mailer.cli.serve import PageServer, serve_pages, web_server
from mailer.demo.mailbox import Mailbox
from mailer.demo.pages import pages
from mailer.resources import example
from mailer.settings import Settings
from mailer.tables import Publication, UserRole
from mailer.worker import Worker

WEB_PORT, MAIL_PORT = 8080, 8081
"""Where the pages are, if these ports are free."""

READERS_AT_ONCE = 10_000_000
"""All readers of the demo come from one network within a minute: the form's limits are out of their way."""


@dataclass(frozen=True)
class Stage:
    """A running installation."""

    app: App
    publication: Publication
    mailbox: Mailbox
    front: str  #: origin of the pages
    mail: str  #: origin of the mailbox's pages
    password: str  #: of the operator "demo"
    running: Sequence[asyncio.Task[None]]  #: worker and servers

    def check(self) -> None:
        """Raises what ended one of them."""
        for task in self.running:
            if task.done():
                task.result()


@contextlib.asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Builds it in `folder`, runs it, and takes it down."""
    mailbox = Mailbox()
    smtp = await asyncio.get_running_loop().create_server(mailbox.serve, "127.0.0.1", 0)
    web, mail = _free_port(WEB_PORT), _free_port(MAIL_PORT)
    app = assemble(_settings(folder, web, smtp.sockets[0].getsockname()[1]))
    password = secrets.token_urlsafe(9)
    publication = _found(app, password)
    worker, server, mail_server = Worker(app), web_server(app), _mail_server(mailbox, app.link_host, mail)
    running = [
        asyncio.create_task(worker.run()),
        asyncio.create_task(serve_pages(server, app.settings.listen)),
        asyncio.create_task(serve_pages(mail_server, f"127.0.0.1:{mail}")),
    ]
    try:
        await _until_started([server, mail_server], running)
        yield Stage(app, publication, mailbox, app.link_host, f"http://127.0.0.1:{mail}", password, running)
    finally:
        worker.stop()
        server.should_exit = mail_server.should_exit = True
        await asyncio.gather(*running, return_exceptions=True)
        smtp.close()
        app.database.engine.dispose()


def _settings(folder: Path, web: int, smtp: int) -> Settings:
    return Settings(
        _env_file=None,
        database_url=f"sqlite:///{folder / 'mailer.db'}",
        secret_key=secrets.token_urlsafe(32),
        address_key=secrets.token_urlsafe(32),
        link_hosts=[f"http://127.0.0.1:{web}"],
        listen=f"127.0.0.1:{web}",
        mail_domain="bounces.example.org",
        relay_host="127.0.0.1",
        relay_port=smtp,
        requests_expected=READERS_AT_ONCE,
        requests_per_network=READERS_AT_ONCE,
        requests_per_domain=READERS_AT_ONCE,
    )


def _found(app: App, password: str) -> Publication:
    """The tables, the publication, an operator."""
    app.database.migrate()
    description = publications.read(example("publication.example.toml"))
    with app.database.write() as session:
        publication, _ = publications.apply(session, description, app.clock())
        staff.add_user(session, "demo", UserRole.OPERATOR, password, app.clock())
    return publication


def _mail_server(mailbox: Mailbox, front: str, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        pages(mailbox, front),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
    return PageServer(config)


async def _until_started(servers: list[uvicorn.Server], running: list[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        for task in running:
            if task.done():
                task.result()
        await asyncio.sleep(0.01)


def _free_port(wanted: int) -> int:
    """`wanted`, or another where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
