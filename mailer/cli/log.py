"""mailer log: what was sent to whom, and in which words the relay answered."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mailer.app import App
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import PublicationOption, installation
from mailer.delivery.log import LogEntry, LogFilter, entries

FOLLOW_SECONDS = 0.5


def show(
    issue: Annotated[str | None, typer.Option(help="Only this issue.")] = None,
    status: Annotated[str | None, typer.Option(help="Only this status: accepted, refused, uncertain …")] = None,
    domain: Annotated[str | None, typer.Option(help="Only this receiving domain.")] = None,
    address: Annotated[str | None, typer.Option(help="Only addresses that contain this.")] = None,
    publication: PublicationOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what changes, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The send log: every delivery with what came of it."""
    app = installation()
    wanted = LogFilter(issue=issue, status=status, domain=domain, address=address, publication=publication)
    with app.database.read() as session:
        found = entries(session, wanted, limit=limit)
    _print(list(reversed(found)), as_json)
    if follow:
        _follow(app, wanted, as_json)


def _follow(app: App, wanted: LogFilter, as_json: bool) -> None:
    """Shows each change once. A change is told from the last by its moment and its row."""
    since, shown = app.clock(), set[tuple[int, object]]()
    while True:
        try:
            time.sleep(FOLLOW_SECONDS)
        except KeyboardInterrupt:
            return
        with app.database.read() as session:
            changed = entries(session, wanted, since=since, limit=10_000)
        fresh = [entry for entry in reversed(changed) if (entry.delivery_id, entry.at) not in shown]
        shown = {(entry.delivery_id, entry.at) for entry in changed}
        since = max((entry.at for entry in changed), default=since)
        _print(fresh, as_json)


def _print(found: Sequence[LogEntry], as_json: bool) -> None:
    if as_json:
        for entry in found:
            print_json(asdict(entry))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for entry in found:
        words = (
            entry.at.strftime("%Y-%m-%d %H:%M:%S"),
            entry.issue or entry.kind,
            entry.edition,
            entry.address or (f"(erased)@{entry.destination}" if entry.destination else "(erased)"),
            entry.status,
            entry.report or " ".join(str(part) for part in (entry.code, entry.reply) if part),
        )
        table.add_row(*(printable(word) for word in words))
    if found:
        Console(markup=False, highlight=False).print(table)
