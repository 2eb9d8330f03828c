"""mailer retention: how long what is kept, what would go now, what has gone."""

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
    print("kind          days  would go  gone last  gone ever  last done (UTC)   what")
    for each in found:
        last = each.last
        gone, ever = (f"{last.gone:,}", f"{last.ever:,}") if last else ("-", "-")
        done = last.done_at.strftime("%Y-%m-%d %H:%M") if last else "never"
        print(
            f"{each.kind.name:<12} {each.days:>5} {each.going:>9,} {gone:>10} {ever:>10}  {done:<16}  {each.kind.what}"
        )
