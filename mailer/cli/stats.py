"""mailer stats: counts for editors, none so small that it could be about somebody."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mailer import publications, statistics
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import PublicationOption, installation
from mailer.statistics import Figures, Statistics
from mailer.subscribers import partings
from mailer.tables import Parting

WordsOption = Annotated[
    int,
    typer.Option("--words", min=0, max=10_000, help="Quote so many who wrote why they left, the newest months first."),
]


def show(publication: PublicationOption = None, words: WordsOption = 0, as_json: JsonOption = False) -> None:
    """Readers, issues and weeks in numbers, and why readers left: in tens, and small numbers not told."""
    app = installation()
    rounding = statistics.Rounding(app.settings.address_key.get_secret_value())
    with app.database.read() as session:
        of = publications.find(session, publication)
        found = statistics.of_publication(session, of, rounding, app.clock())
        assert of.id is not None
        said = partings.said(session, of.id, limit=words) if words else []
    if as_json:
        print_json({**_object(found), **({"words": [_said(each) for each in said]} if words else {})})
        return
    console = Console(markup=False, highlight=False, soft_wrap=True)
    readers = ", ".join(f"{code}: {count}" for code, count in found.readers.items())
    console.print(f"Readers of {found.publication} now: {readers}\n")
    table = _table("issue", "edition", "sent", "accepted", "failed", "unwanted", "left after it")
    for issue in found.issues:
        several = [issue.whole] if len(issue.editions) > 1 else []
        for each in [*issue.editions, *several]:
            table.add_row(issue.slug, each.edition or "all", *map(str, _row(each).values()))
    console.print(table if found.issues else "No issue has gone out yet.")
    weeks = _table("week from", "", "confirmed", "left")
    for week in found.weeks:
        weeks.add_row(week.first_day.isoformat(), "", str(week.confirmed), str(week.left))
    console.print()
    console.print(weeks)
    for reason, count in found.reasons.items():
        console.print(f"left, {reason}: {count}")
    for parting in reversed(said):
        console.print(f"\n{parting.month:%Y-%m}  {parting.reason}: {printable(parting.words)}")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table


def _row(figures: Figures) -> dict[str, statistics.Count]:
    return {name: getattr(figures, name) for name in ("sent", "accepted", "failed", "unwanted", "left")}


def _said(parting: Parting) -> dict[str, str]:
    return {"month": f"{parting.month:%Y-%m}", "reason": str(parting.reason), "words": parting.words}


def _object(found: Statistics) -> dict[str, Any]:
    """null stands for a number that is too small to be told."""
    return {
        "publication": found.publication,
        "readers": {code: count.value for code, count in found.readers.items()},
        "issues": [
            {
                "issue": issue.slug,
                "editions": [
                    {"edition": each.edition, **{name: count.value for name, count in _row(each).items()}}
                    for each in issue.editions
                ],
            }
            for issue in found.issues
        ],
        "weeks": [
            {"from": each.first_day, "confirmed": each.confirmed.value, "left": each.left.value} for each in found.weeks
        ],
        "reasons": {reason: count.value for reason, count in found.reasons.items()},
    }
