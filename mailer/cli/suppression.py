"""mailer suppression: addresses that get no mail, each with who put it there and why."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from sqlmodel import select

from mailer.app import App
from mailer.cli import importing
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import hashed, installation, parsed, who
from mailer.subscribers import suppression
from mailer.subscribers.address import Address
from mailer.subscribers.importing.fates import As
from mailer.tables import Publication, Suppression, SuppressionReason

commands = typer.Typer(help="The suppression list: addresses that get no mail.", no_args_is_help=True)

NoteOption = Annotated[str, typer.Option("--note", help="Why; it stands in the list.")]


@commands.command("list")
def list_(
    part: Annotated[str, typer.Option("--address", help="Only addresses that contain this.")] = "",
    reason: Annotated[SuppressionReason | None, typer.Option(help="Only for this reason.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="The newest so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Who gets no mail, since when, and why. A publication is named where the others may still write."""
    with installation().database.read() as session:
        found = list(reversed(suppression.entries(session, address=part, reason=reason, lifted=every, limit=limit)))
        slugs = {each.id: each.slug for each in session.exec(select(Publication))}
    if as_json:
        for entry in found:
            print_json(_object(entry, slugs.get(entry.publication_id)))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in found:
        lifted = f"lifted by {each.lifted_by}" if each.lifted_at else ""
        slug = slugs.get(each.publication_id, "")
        words = (_day(each.added_at), each.address or "(erased)", slug, each.reason, each.added_by, lifted, each.note)
        table.add_row(*map(printable, words))
    if found:
        Console(markup=False, highlight=False).print(table)
    else:
        print("Nobody is on the list.")


@commands.command("add")
def add(addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS…")], note: NoteOption = "") -> None:
    """Put addresses on the list; their subscriptions end."""
    _add(installation(), [parsed(each) for each in addresses], note)


@commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV, or one address a line.")],
    note: NoteOption = "",
) -> None:
    """Put the addresses in a file on the list: mailer subscribers import FILE --as suppressed --yes."""
    importing.import_(file, As.SUPPRESSED, note=note, yes=True)


@commands.command("lift")
def lift(addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS…")]) -> None:
    """Take addresses off the list. Nobody is subscribed by that: they may ask again."""
    app, lifted = installation(), 0
    with app.database.write() as session:
        for each in addresses:
            lifted += bool(suppression.lift(session, hashed(app, parsed(each)), by=who(), now=app.clock()))
    print(f"Lifted {lifted} of {len(addresses)}.")


def _add(app: App, addresses: list[Address], note: str) -> None:
    added = 0
    with app.database.write() as session:
        for each in addresses:
            added += suppression.list_address(
                session, each, hashed(app, each), SuppressionReason.OPERATOR, note=note, by=who(), now=app.clock()
            )
    print(f"Added {added}; {len(addresses) - added} stood there.")


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def _object(entry: Suppression, publication: str | None) -> dict[str, Any]:
    return {
        "address": entry.address,
        "publication": publication,
        "reason": entry.reason,
        "note": entry.note,
        "added_at": entry.added_at,
        "added_by": entry.added_by,
        "lifted_at": entry.lifted_at,
        "lifted_by": entry.lifted_by,
    }
