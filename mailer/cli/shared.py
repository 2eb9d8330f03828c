"""What commands on an installation need: the installation itself, the log, the loop, addresses that were typed, one way
to print times."""

import asyncio
import getpass
import logging
import signal
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

import typer

from mailer.app import App, assemble
from mailer.errors import MailerError
from mailer.settings import load
from mailer.subscribers import address
from mailer.subscribers.address import Address, AddressError

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None  # type: ignore[assignment]

T = TypeVar("T")

PublicationOption = Annotated[
    str | None, typer.Option("--publication", help="Which publication, where there are several.")
]


def installation(*, checked: bool = True) -> App:
    """The installation that the settings describe. Raises SettingsError, and SchemaError where tables are older."""
    settings = load()
    app = assemble(settings)
    if checked:
        app.database.check_schema()
    return app


def start_logging(level: str) -> None:
    """To standard error, a line an event."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    for name in ("alembic", "apscheduler", "httpx", "mail.log", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def run_loop(work: Coroutine[None, None, T]) -> T:
    """Runs `work` to its end, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        return runner.run(work)


def on_signals(stop: Callable[[], None]) -> None:
    """Ctrl-C and SIGTERM call `stop`, in the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def local(moment: datetime | None, zone: str) -> str:
    """A moment where a person reads it: in the publication's zone, to the minute."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") if moment else "-"


def who() -> str:
    """The system's user: who has a shell here needs no account of ours."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


def parsed(text: str, where: str = "") -> Address:
    """An address that was typed. Raises MailerError, which begins with `where`."""
    try:
        return address.parse(text)
    except AddressError as error:
        raise MailerError(f"{where}{text!r}: {error}") from None


def hashed(app: App, of: Address) -> str:
    """The keyed hash that the installation knows the address by."""
    return address.hash(of, app.settings.address_key.get_secret_value())
