"""mailer subscribers import: readers of another program, or of another installation."""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Screen
from sqlmodel import Session, col, select

from mailer import publications
from mailer.app import App
from mailer.cli.printing import JsonOption, print_json, printable
from mailer.cli.shared import PublicationOption, installation, local, who
from mailer.cli.written import written
from mailer.delivery import automatic
from mailer.errors import MailerError
from mailer.subscribers.formulas import safe
from mailer.subscribers.importing.columns import Columns, Role, Said, cell, columns_of
from mailer.subscribers.importing.fates import As, Fate, Fated
from mailer.subscribers.importing.road import How, Import
from mailer.subscribers.importing.table import DELIMITERS, Table, open_table
from mailer.subscribers.importing.writing import Hand, ToAsk
from mailer.tables import DeliveryKind, Edition, Publication

EVIDENCE, SUPPRESSED = frozenset({"event", "wording", "request_id"}), frozenset({"address_hash", "suppression_reason"})
"""Columns by which exports of our own are known that hold nobody who is to be subscribed."""

SHOWN = 10
"""Rows that did not come in, listed where no report was asked for."""

ModeOption = Annotated[As, typer.Option("--as", help="As what its rows come in.")]
ReportOption = Annotated[
    str | None,
    typer.Option(
        "--report", help="Write every row's fate there, as CSV, or as JSON lines with --json; - is standard output."
    ),
]


def import_(
    file: Annotated[Path, typer.Argument(help="CSV of listmonk, Mailman, Mailchimp, Ghost, Keila, of mailer, or any.")],
    mode: ModeOption,
    edition: Annotated[str | None, typer.Option(help="For rows that name no edition.")] = None,
    evidence: Annotated[str, typer.Option(help="Where and when its readers gave their consent.")] = "",
    per_hour: Annotated[int, typer.Option(min=1, max=1_000_000, help="Confirmation mails an hour.")] = 500,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=COLUMN", help=f"What a column holds: {', '.join(Role)}. May be repeated."),
    ] = None,
    edition_name: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS=EDITION", help="What the file calls an edition. May be repeated."),
    ] = None,
    note: Annotated[str, typer.Option(help="Stands on the suppression list.")] = "",
    encoding: Annotated[str | None, typer.Option(help="utf-8, windows-1251, utf-16 …; found out otherwise.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="comma, semicolon, tab, bar; found out otherwise.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say what would become of each row.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    report: ReportOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
    publication: PublicationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring readers in. Whoever left, was suppressed or was erased here stays out."""
    app = installation()
    table = open_table(file, encoding=encoding, delimiter=_delimiter(delimiter))
    _refuse_those_who_left(table, mode)
    columns = columns_of(table, [Said.parse(each) for each in column or ()])
    with app.database.read() as session:
        row = publications.find(session, publication) if mode is not As.SUPPRESSED or publication else None
        how = _how(session, app, row, mode, edition, edition_name or [], evidence, note or f"import {file.name}")
    _check(how, columns)
    _show(table, columns, how, dry_run)
    if not (dry_run or yes):
        _ask()
    if dry_run and report is None:
        report = "-"
    asking = _Asking(app, per_hour)
    hand = None if dry_run else Hand(source=f"import {file.name}", by=who(), ask=asking)
    unread = list[Fated]()
    work = Import(table, columns, how, app.database, app.clock, hand)
    with _reporting(report, force, as_json) as tell, _progress(table, work) as advance:
        for fates in work:
            tell(fates)
            advance()
            if report is None and len(unread) < SHOWN:
                unread += [each for each in fates if each.fate in (Fate.INVALID, Fate.SKIPPED)]
    _sum_up(work.counts, dry_run, as_json and report != "-")
    for each in unread[:SHOWN]:
        print(printable(f"line {each.line}: {each.address or '-'}: {each.reason}"), file=sys.stderr)
    if unread and work.counts[Fate.INVALID] + work.counts[Fate.SKIPPED] > SHOWN:
        print("… and more: --report FILE lists every row.", file=sys.stderr)
    if asking.last and row:
        print(f"The last confirmation mail is due {local(asking.last, row.time_zone)}.", file=sys.stderr)


class _Asking:
    """Queues confirmation mails, so many an hour."""

    def __init__(self, app: App, per_hour: int) -> None:
        self._app, self._per_hour = app, per_hour
        self.last: datetime | None = None

    def __call__(self, session: Session, readers: Sequence[ToAsk]) -> None:
        asked = [automatic.Asked._make(each) for each in readers]
        self.last = automatic.queue_spread(
            session, DeliveryKind.CONFIRMATION, asked, per_hour=self._per_hour, now=self._app.clock()
        )


def _delimiter(named: str | None) -> str | None:
    names = {name: each for each, name in DELIMITERS.items()}
    if named is None or named in DELIMITERS:
        return named
    if named not in names:
        raise MailerError(f"There is no delimiter {named!r}. Delimiters: {', '.join(names)}.")
    return names[named]


def _how(
    session: Session,
    app: App,
    publication: Publication | None,
    mode: As,
    edition: str | None,
    names: list[str],
    evidence: str,
    note: str,
) -> How:
    editions: Sequence[Edition] = ()
    if publication:
        of_publication = select(Edition).where(Edition.publication_id == publication.id)
        editions = session.exec(of_publication.order_by(col(Edition.position))).all()
    codes = {each.code: each for each in editions}

    def named(code: str) -> Edition:
        if code not in codes:
            raise MailerError(f"There is no edition {code!r}. Editions: {', '.join(codes)}.")
        return codes[code]

    return How(
        mode=mode,
        publication_id=publication.id if publication else None,
        publication=publication.slug if publication else "",
        publications={each.slug: each.id for each in session.exec(select(Publication)) if each.id},
        editions=editions,
        edition=named(edition) if edition else editions[0] if len(editions) == 1 else None,
        named={words.strip(): named(code.strip()) for words, _, code in (each.rpartition("=") for each in names)},
        evidence=evidence.strip(),
        note=note.strip(),
        key=app.settings.address_key.get_secret_value(),
    )


def _refuse_those_who_left(table: Table, mode: As) -> None:
    header = set(table.header)
    if header >= EVIDENCE:
        raise MailerError(
            f"{table.path} is evidence of mailer's own: it is kept for proof and not read back, for it names those too"
            " who have left. Bring readers in from mailer subscribers export, --as own."
        )
    if header >= SUPPRESSED and mode is not As.SUPPRESSED:
        raise MailerError(f"{table.path} is a suppression list of mailer's own: bring it in --as suppressed.")


def _check(how: How, columns: Columns) -> None:
    if how.mode is As.CONFIRMED and not how.evidence and Role.EVIDENCE not in columns:
        raise MailerError(
            "Readers are confirmed only with evidence: say where and when they gave their consent,"
            ' --evidence "form on old.example.org, double opt-in, 2019 to 2024". Or ask each of them: --as pending'
        )
    if how.mode is not As.SUPPRESSED and how.edition is None and Role.EDITION not in columns:
        codes = ", ".join(each.code for each in how.editions)
        raise MailerError(f"Which edition? Say --edition CODE or --column edition=NAME. Editions: {codes}.")


_MEANT = {
    As.CONFIRMED: "its readers read us at once",
    As.PENDING: "each reader gets a mail and is asked to confirm",
    As.SUPPRESSED: "its addresses get no mail from any publication, or none from that which a row names",
    As.OWN: "to the states that it tells, without any mail",
}


def _show(table: Table, columns: Columns, how: How, dry_run: bool) -> None:
    """What was understood, before anything is done."""
    console = Console(stderr=True, markup=False, highlight=False)
    guess = " (a guess: --encoding says it)" if table.encoding.guessed else ""
    delimiter = DELIMITERS.get(table.delimiter, table.delimiter) if table.delimiter else "one address a line"
    console.print(f"{printable(table.path.name)}: {table.size:,} octets, {table.encoding.name}{guess}, {delimiter}")
    screen = Screen(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    roles = {place: role for role, places in columns.items() for place in places}
    for place, name in enumerate(table.header):
        examples = ", ".join(dict.fromkeys(cell(row, place)[:40] for row in table.sample if cell(row, place)))
        screen.add_row(f"  {printable(name)[:40]}", roles.get(place, "-"), printable(examples)[:60])
    console.print(screen)
    edition = (
        f", edition {how.edition.code} where none is named" if how.edition and how.mode is not As.SUPPRESSED else ""
    )
    console.print(f"As {how.mode}: {_MEANT[how.mode]}{edition}.{' A dry run: nothing is changed.' if dry_run else ''}")


def _is_asked() -> bool:
    return sys.stdin.isatty()


def _ask() -> None:
    if not _is_asked():
        raise MailerError("Nothing was done. Look with --dry-run, then say --yes: there is nobody to ask here.")
    if not typer.confirm("Is that right?", err=True):
        raise MailerError("Nothing was done. Say what a column holds with --column ROLE=COLUMN.")


@contextmanager
def _reporting(target: str | None, replace: bool, as_json: bool) -> Iterator[Callable[[list[Fated]], None]]:
    if target is None:
        yield lambda fates: None
        return
    with written(target, replace=replace) as file:
        yield _jsons(file) if as_json else _rows(file)


def _rows(file: TextIO) -> Callable[[list[Fated]], None]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(Fated._fields)
    return lambda fates: writer.writerows(
        (each.line, safe(printable(each.address)), each.fate, safe(printable(each.reason))) for each in fates
    )


def _jsons(file: TextIO) -> Callable[[list[Fated]], None]:
    def tell(fates: list[Fated]) -> None:
        for each in fates:
            print_json(each._asdict(), file)

    return tell


@contextmanager
def _progress(table: Table, work: Import) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("Reading", total=table.size)
        yield lambda: bar.update(task, completed=work.octets)


_SAID = {
    Fate.ADDED: "read it from now on",
    Fate.ASKED: "get a mail and are asked to confirm",
    Fate.WAITING: "wait for their confirmation as before",
    Fate.LEFT: "left, as the file says",
    Fate.SUPPRESSED: "get no mail from now on",
    Fate.PRESENT: "were there already",
    Fate.REPEATED: "stand in the file again",
    Fate.KEPT_OUT: "stay out: they left, were suppressed or erased here",
    Fate.SKIPPED: "are passed over: the file does not say that they come in",
    Fate.INVALID: "are no address",
}


def _sum_up(counts: Counter[Fate], dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json({"dry_run": dry_run, "rows": counts.total(), **{fate.value: counts[fate] for fate in Fate}})
        return
    print(f"{counts.total():,} rows{', and nothing was changed' if dry_run else ''}:", file=sys.stderr)
    for fate in Fate:
        if counts[fate]:
            print(f"  {counts[fate]:>9,}  {fate:<10} {_SAID[fate]}", file=sys.stderr)
