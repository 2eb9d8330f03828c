"""mailer reasons: why readers left, as far as they said so."""

from typing import Annotated

import typer

from mailer import publications
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import installation
from mailer.subscribers import partings


def show(
    publication: Annotated[str | None, typer.Option(help="Which publication, where there are several.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many of what was written.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Why readers left: how many for which reason, and what they wrote. Who it was is not kept."""
    with installation().database.read() as session:
        found = publications.find(session, publication)
        assert found.id is not None
        counts = partings.counts(session, found.id)
        said = list(reversed(partings.said(session, found.id, limit=limit)))
    if as_json:
        print_json({"counts": {str(reason): count for reason, count in counts}})
        for each in said:
            print_json({"month": f"{each.month:%Y-%m}", "reason": str(each.reason), "words": each.words})
        return
    for reason, count in counts:
        print(f"{count:6}  {reason}")
    for each in said:
        print(f"\n{each.month:%Y-%m}  {each.reason}: {printable(each.words)}")
    if not counts:
        print("Nobody has given a reason.")
