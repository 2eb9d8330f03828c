"""What every command needs: the installation, one way to print times, JSON."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

from mailer.app import App, assemble
from mailer.settings import load

try:
    import uvloop
except ImportError:  # Windows, PyPy
    uvloop = None  # type: ignore[assignment]

T = TypeVar("T")

PublicationOption = Annotated[
    str | None, typer.Option("--publication", help="Which publication, where there are several.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


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


def local(moment: datetime | None, zone: str) -> str:
    """A moment where a person reads it: in the publication's zone, to the minute."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") if moment else "-"


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, default=lambda each: each.isoformat()))
