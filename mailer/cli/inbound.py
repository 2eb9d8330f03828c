"""mailer inbound: what came in by mail, what it did, and what waits for a person."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import installation
from mailer.delivery.states import DeliveryStatus
from mailer.errors import MailerError
from mailer.inbound import forwarding, quarantine
from mailer.inbound.effects import Effects
from mailer.tables import Arrival

commands = typer.Typer(help="Mail that came in.", no_args_is_help=True)


@commands.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also what was acted on.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """What waits in the quarantine, with why."""
    with installation().database.read() as session:
        found = list(reversed(quarantine.arrivals(session, quarantined=not every, limit=limit)))
        forwarded = forwarding.forwarded(session, [each.id for each in found if each.id])
    if as_json:
        for arrival in found:
            print_json(_object(arrival, forwarded))
        return
    if not found:
        print("Nothing has come in yet." if every else "Nothing waits.")
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in found:
        sent = forwarded.get(each.id or 0)
        effect = ("forwarded" if sent not in forwarding.NOWHERE else f"forward {sent}") if sent else each.effect
        words = (str(each.id), each.arrived_at.strftime("%Y-%m-%d %H:%M:%S"), effect, each.reason)
        told = " ".join(part for part in (each.status, each.diagnostic) if part)
        table.add_row(*(printable(word) for word in (*words, each.recipient or "-", told)))
    Console(markup=False, highlight=False).print(table)


@commands.command("show")
def show(
    number: Annotated[int, typer.Argument(help="Its number in mailer inbound list.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="The mail itself, as it came: mailer inbound show 7 --raw > 7.eml")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """One mail: what it did, and its text where it was kept."""
    with installation().database.read() as session:
        arrival, kept = quarantine.one(session, number)
        forwarded = forwarding.forwarded(session, [number])
    octets = kept.octets if kept else b""
    if raw:
        if kept is None:
            raise quarantine.NotThere(f"Mail {number} was acted on ({arrival.effect}), and its text was not kept.")
        if sys.stdout.isatty():
            raise MailerError(f"It would steer your terminal. Type: mailer inbound show {number} --raw > {number}.eml")
        sys.stdout.buffer.write(octets)
        return
    if as_json:
        print_json({**_object(arrival, forwarded), "size": kept.size if kept else None})
        return
    for name, value in _object(arrival, forwarded).items():
        if value is not None:
            print(printable(f"{name}: {value}"))
    if kept:
        print(f"size: {kept.size}" + (f", of which {len(octets)} are kept" if kept.size > len(octets) else ""))
        print()
        for line in octets.decode("utf-8", "replace").splitlines():
            print(printable(line.replace("\t", " ")))


@commands.command("retry")
def retry(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER…", help="Mails in the quarantine.")],
) -> None:
    """Take mails out of the quarantine along the same road again: after a mend, or with another setting."""
    app = installation()
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)
    for number in numbers:
        taken = effects.retry(number)
        print(printable(f"{number}: {taken.effect}, {taken.reason}"))


@commands.command("discard")
def discard(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="NUMBER…", help="These mails.")] = None,
    older_than: Annotated[int | None, typer.Option(min=0, metavar="DAYS", help="All that came before.")] = None,
) -> None:
    """Throw away the text of mails in the quarantine; what is known of them stays in the list of all."""
    if bool(numbers) == (older_than is not None):
        raise MailerError("Give the numbers of the mails, or --older-than DAYS.")
    app = installation()
    before = None if older_than is None else app.clock() - timedelta(days=older_than)
    with app.database.write() as session:
        gone = quarantine.discard(session, numbers=numbers or (), before=before)
    print(f"Discarded {gone}.")


def _object(arrival: Arrival, forwarded: Mapping[int, DeliveryStatus]) -> dict[str, Any]:
    return {
        "id": arrival.id,
        "arrived_at": arrival.arrived_at,
        "road": arrival.road,
        "recipient": arrival.recipient,
        "kind": arrival.kind,
        "effect": arrival.effect,
        "reason": arrival.reason,
        "forwarded": forwarded.get(arrival.id or 0),
        "delivery_id": arrival.delivery_id,
        "category": arrival.category,
        "status": arrival.status,
        "diagnostic": arrival.diagnostic,
        "reporter": arrival.reporter,
    }
