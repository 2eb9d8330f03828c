"""mailer stats: counts for editors, none so small that it could be about somebody."""

from typing import Any

from rich.console import Console
from rich.table import Table

from mailer import publications, statistics
from mailer.cli.printing import JsonOption, print_json
from mailer.cli.shared import PublicationOption, installation
from mailer.statistics import Figures, Statistics


def show(publication: PublicationOption = None, as_json: JsonOption = False) -> None:
    """Readers, issues and weeks in numbers: rounded to tens, and below ten not told."""
    app = installation()
    with app.database.read() as session:
        found = statistics.of_publication(session, publications.find(session, publication), app.clock())
    if as_json:
        print_json(_object(found))
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
        console.print(f"left because {reason}: {count}")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table


def _row(figures: Figures) -> dict[str, statistics.Count]:
    return {name: getattr(figures, name) for name in ("sent", "accepted", "failed", "unwanted", "left")}


def _object(found: Statistics) -> dict[str, Any]:
    """null stands for fewer than ten."""
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
