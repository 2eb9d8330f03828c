"""mailer retention: how long what is kept, what would go now, what has gone."""

from rich.console import Console
from rich.table import Table

from mailer import retention
from mailer.cli.printing import JsonOption, print_json
from mailer.cli.shared import installation


def show(as_json: JsonOption = False) -> None:
    """How long each kind of data is kept, what would go now, and what the worker has let go. Changes nothing."""
    app = installation()
    with app.database.read() as session:
        found = retention.standing(session, app.settings, app.clock())
    if as_json:
        for each in found:
            last = each.last
            print_json(
                {
                    "kind": each.kind.name,
                    "what": each.kind.what,
                    "days": each.days,
                    "going": each.going,
                    "done_at": last.done_at if last else None,
                    "gone": last.gone if last else 0,
                    "ever": last.ever if last else 0,
                }
            )
        return
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "days", "would go", "gone last", "gone ever", "last done (UTC)", ""):
        table.add_column(name, justify="right" if name.startswith(("days", "would", "gone")) else "left")
    for each in found:
        last = each.last
        counts = (f"{each.going:,}", f"{last.gone:,}" if last else "-", f"{last.ever:,}" if last else "-")
        done = last.done_at.strftime("%Y-%m-%d %H:%M") if last else "never"
        table.add_row(each.kind.name, str(each.days), *counts, done, each.kind.what)
    Console(markup=False, highlight=False, soft_wrap=True).print(table)
