"""mailer subscribers: who reads us."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mailer.cli.erasing import erase, export_one
from mailer.cli.exporting import export
from mailer.cli.importing import import_
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import hashed, installation, parsed, who
from mailer.delivery import log
from mailer.delivery.log import LogEntry
from mailer.errors import MailerError
from mailer.subscribers import person
from mailer.subscribers.person import Person
from mailer.tables import Consent, Suppression, SuppressionReason

commands = typer.Typer(help="Readers: bring them in, take them out, answer one's question.", no_args_is_help=True)

commands.command("import")(import_)
commands.command("export")(export)
commands.command("export-one")(export_one)
commands.command("erase")(erase)

AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS")]


@commands.command("show")
def show(address: AddressArgument, as_json: JsonOption = False) -> None:
    """One reader: subscriptions, evidence, the last mails and what came of them."""
    app, of = installation(), parsed(address)
    with app.database.read() as session:
        found = person.find(session, hashed(app, of))
        sent = [each for each in (log.entry(session, number) for number in found.delivery_ids) if each]
    if not found.is_known:
        raise MailerError(f"{printable(of.text)} is not known here: no subscription, and not on the suppression list.")
    if as_json:
        print_json(_object(of.text, found, sent))
    else:
        _print(of.text, found, sent)


@commands.command("remove")
def remove(
    address: AddressArgument,
    note: Annotated[str, typer.Option("--note", help="Why, or who asked; it stands in the evidence.")] = "",
) -> None:
    """End every subscription of an address. What stands about it stays, so that nothing brings it back."""
    app, of = installation(), parsed(address)
    source = f"{person.BY_COMMAND}{who()}): {note}" if note else f"{person.BY_COMMAND}{who()})"
    with app.database.write() as session:
        known = person.find(session, hashed(app, of), deliveries=0)
        ended = person.remove(session, hashed(app, of), source=source, now=app.clock())
    if known.subscriber is None:
        raise MailerError(f"{printable(of.text)} reads nothing here.")
    words = ", ".join(f"{each.publication} {each.edition}" for each in ended)
    print(f"Unsubscribed from {words}." if ended else "All its subscriptions had ended before.")


def _print(address: str, found: Person, sent: list[LogEntry]) -> None:
    print(printable(address))
    for entry in found.suppressions:
        print(printable(_suppressed(entry)))
    if found.subscriber is None:
        if any(entry.reason is SuppressionReason.ERASED for entry in found.suppressions):
            print("Erased: all that is left is the keyed hash of the address, so that it gets no mail.")
        return
    for reading in found.readings:
        row = reading.subscription
        print(
            f"\n{reading.publication} {reading.edition}: {row.status} since {row.changed_at:%Y-%m-%d %H:%M} UTC,"
            f" pages in {row.language}"
        )
        _table([_evidence(each) for each in reading.consents])
    print("\nLast mails" if sent else "\nNo mail yet.")
    _table(
        [
            (
                f"{each.at:%Y-%m-%d %H:%M}",
                each.issue or each.kind,
                each.edition,
                each.status,
                each.report or " ".join(str(part) for part in (each.code, each.reply) if part),
            )
            for each in sent
        ]
    )


def _table(rows: list[tuple[str, ...]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 2))
    for row in rows:
        table.add_row(*map(printable, row))
    if rows:
        Console(markup=False, highlight=False).print(table)


def _suppressed(entry: Suppression) -> str:
    note = f": {entry.note}" if entry.note else ""
    lifted = f"; lifted {entry.lifted_at:%Y-%m-%d} by {entry.lifted_by}" if entry.lifted_at else ""
    return (
        f"On the suppression list since {entry.added_at:%Y-%m-%d} ({entry.reason}, by {entry.added_by}){note}{lifted}"
    )


def _evidence(consent: Consent) -> tuple[str, ...]:
    return f"{consent.at:%Y-%m-%d %H:%M}", consent.event, consent.source, consent.network, consent.wording


def _object(address: str, found: Person, sent: list[LogEntry]) -> dict[str, Any]:
    return {
        "address": address,
        "since": found.subscriber.created_at if found.subscriber else None,
        "subscriptions": [
            {
                "publication": reading.publication,
                "edition": reading.edition,
                **reading.subscription.model_dump(include={"status", "language", "created_at", "changed_at"}),
                "consents": [each.model_dump(exclude={"id", "subscription_id"}) for each in reading.consents],
            }
            for reading in found.readings
        ],
        "suppressions": [each.model_dump(exclude={"id", "address_hash", "address"}) for each in found.suppressions],
        "deliveries": [asdict(each) for each in sent],
    }
