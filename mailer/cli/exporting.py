"""mailer subscribers export: everything about readers, for another program or another installation."""

import csv
from typing import Annotated

import typer

from mailer import publications
from mailer.cli.printing import JsonOption, print_json
from mailer.cli.shared import PublicationOption, installation
from mailer.cli.written import written
from mailer.errors import MailerError
from mailer.subscribers.exporting import COLUMNS, Form, Wanted, What, cells, rows
from mailer.subscribers.formulas import safe
from mailer.subscribers.states import SubscriptionStatus


def export(
    target: Annotated[str, typer.Argument(metavar="FILE", help="Where to; - is standard output.")],
    what: Annotated[What, typer.Option(help="Readers, the suppression list, or the evidence.")] = What.SUBSCRIBERS,
    form: Annotated[Form, typer.Option(help="Which program is to read them.")] = Form.OWN,
    edition: Annotated[str | None, typer.Option(help="Only of this edition.")] = None,
    status: Annotated[
        SubscriptionStatus | None, typer.Option(help="Only in this state; for other programs: confirmed, if not said.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    publication: PublicationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write readers into a file that only you can read. Cells that a spreadsheet would run are made harmless."""
    columns = COLUMNS.get((what, form))
    if columns is None:
        raise MailerError(f"{form} takes subscribers only.")
    app = installation()
    with app.database.read() as session:
        row = publications.find(session, publication) if publication else None
    if form is not Form.OWN and status is None:
        status = SubscriptionStatus.CONFIRMED
    wanted = Wanted(publication_id=row.id if row else None, edition=edition, status=status)
    found = rows(app.database, what, wanted)
    with written(target, replace=force) as file:
        if as_json:
            for each in found:
                print_json({name: column(each) for name, column in columns.items()}, file)
        else:
            writer = csv.writer(file, lineterminator="\r\n")
            for line in cells(columns, found):
                writer.writerow(map(safe, line))
