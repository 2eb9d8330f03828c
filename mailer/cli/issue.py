"""mailer issue: from a folder to every reader's mailbox, and what editors do on the way."""

import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

from mailer import publications
from mailer.cli.printing import JsonOption, print_json
from mailer.cli.shared import PublicationOption, installation, local
from mailer.delivery import launch, ledger, proofs
from mailer.delivery.tally import Tally
from mailer.delivery.tally import tally as tally_of
from mailer.errors import MailerError
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.issues.states import IssueEvent, IssueStatus
from mailer.subscribers import address
from mailer.tables import Issue, Publication

commands = typer.Typer(help="Issues: add, look at, queue, watch, stop.", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="The issue's name: that of its folder.")]
FolderArgument = Annotated[Path, typer.Argument(help="A folder with one Markdown file a language.")]


@commands.command("add")
def add(folder: FolderArgument, publication: PublicationOption = None) -> None:
    """Take an issue in from its folder, or update it while it is a draft."""
    app = installation()
    source = read_folder(folder)
    with app.database.write() as session:
        issue, is_new = issues.add(session, publications.find(session, publication), source, app.clock())
    for warning in source.warnings:
        print(f"note: {warning}")
    languages, pictures = ", ".join(source.translations), len(source.pictures)
    print(
        f"{'Added' if is_new else 'Updated'} {issue.slug}: {languages}" + (f", {pictures} pictures" if pictures else "")
    )
    if issue.private:
        print("It is private: only in its readers' mailboxes, never on the web.")
    print(f"Next: mailer issue preview {issue.slug}, then mailer issue queue {issue.slug}")


@commands.command("check")
def check(slug: Slug, publication: PublicationOption = None) -> None:
    """Render every edition and say what would go out."""
    app = installation()
    with app.database.write() as session:
        row = publications.find(session, publication)
        issue = issues.find(session, row, slug)
        issues.check(session, row, issue)
        for line in launch.preflight(session, issue, app.settings):
            print(line)
    print(f"{slug} is ready. Next: mailer issue queue {slug}")


@commands.command("preview")
def preview(
    slug: Slug,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write to; preview-SLUG otherwise.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the pages in a browser.")] = False,
    publication: PublicationOption = None,
) -> None:
    """Write each edition as a reader would get it: .eml, .html and .txt."""
    app = installation()
    folder = to or Path(f"preview-{slug}")
    with app.database.read() as session:
        row = publications.find(session, publication)
        found = proofs.proofs(session, issues.find(session, row, slug), app.settings, app.clock())
    try:
        paths = proofs.write(found, folder)
    except OSError as error:
        raise MailerError(f"{folder}: cannot be written: {error.strerror}.") from None
    for path in paths:
        print(path)
        if show and path.suffix == ".html":
            webbrowser.open(path.resolve().as_uri())


@commands.command("test-send")
def send_test(
    slug: Slug,
    to: Annotated[str, typer.Argument(help="The address that gets it.")],
    edition: Annotated[str | None, typer.Option(help="One edition's code; all of them otherwise.")] = None,
    publication: PublicationOption = None,
) -> None:
    """Queue the issue to one address, as it would look. The worker sends it; nobody else gets anything."""
    app = installation()
    recipient = address.parse(to)
    with app.database.write() as session:
        issue = issues.find(session, publications.find(session, publication), slug)
        codes = proofs.queue_test(session, issue, recipient, edition, app.settings, app.clock())
    print(f"Queued {', '.join(codes)} to {recipient.text}. Watch it: mailer log --address {recipient.text}")


@commands.command("queue")
def queue(
    slug: Slug,
    at: Annotated[
        str | None, typer.Option("--at", help="now, or a time such as 2026-11-30T09:00 in the publication's zone.")
    ] = None,
    publication: PublicationOption = None,
) -> None:
    """Put the issue on the calendar: the publication's next weekly slot, or another time."""
    app = installation()
    now = app.clock()
    with app.database.write() as session:
        row = publications.find(session, publication)
        issue = issues.find(session, row, slug)
        if issue.status is not IssueStatus.SCHEDULED:
            issues.check(session, row, issue)
        launch.preflight(session, issue, app.settings)
        due = _moment(at, row.time_zone, now) if at else issues.next_free_slot(session, row, issue, now)
        issues.schedule(session, issue, due)
    print(f"{slug} goes out at {local(due, row.time_zone)} {row.time_zone} ({local(due, 'UTC')} UTC).")
    print(f"Take it back: mailer issue cancel {slug}. Watch it: mailer issue status {slug}")


def _moment(text: str, zone: str, now: datetime) -> datetime:
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
        said = local(moment, zone)
    except (ValueError, OverflowError):
        raise MailerError(f"--at: {text!r} is not a time. Write now, or one such as 2026-11-30T09:00.") from None
    if moment < now:
        raise MailerError(f"--at: {said} {zone} has passed. To send at once, write --at now.")
    return moment


@commands.command("status")
def status(slug: Slug, publication: PublicationOption = None, as_json: JsonOption = False) -> None:
    """How far an issue is: counts, rate, remaining time."""
    app = installation()
    with app.database.read() as session:
        row = publications.find(session, publication)
        issue = issues.find(session, row, slug)
        assert issue.id is not None
        tally = tally_of(session, issue.id, app.clock())
    if as_json:
        print_json(_as_json(issue, tally))
    else:
        _print_status(row, issue, tally)


def _as_json(issue: Issue, tally: Tally) -> dict[str, object]:
    return {
        "issue": issue.slug,
        "status": issue.status,
        "private": issue.private,
        "scheduled_at": issue.scheduled_at,
        "began_at": issue.began_at,
        "finished_at": issue.finished_at,
        "total": tally.total,
        "remaining": tally.remaining,
        "rate_per_second": tally.rate_per_second,
        "remaining_seconds": tally.remaining_seconds,
        "deliveries": {status.value: count for status, count in tally.counts.items()},
        "warning": tally.warning,
    }


def _print_status(publication: Publication, issue: Issue, tally: Tally) -> None:
    zone = publication.time_zone
    times = {"scheduled": issue.scheduled_at, "began": issue.began_at, "finished": issue.finished_at}
    said = ", ".join(f"{word} {local(moment, zone)}" for word, moment in times.items() if moment)
    print(f"{issue.slug} is {issue.status}" + (f" ({said} {zone})" if said else ""))
    table = Table(box=None, show_header=False, pad_edge=False)
    for each, count in tally.counts.items():
        if count:
            table.add_row(each.value, f"{count:,}")
    table.add_row("total", f"{tally.total:,}")
    Console().print(table)
    if issue.status is IssueStatus.SENDING and tally.rate_per_second:
        print(f"{tally.rate_per_second:.1f} a second, {_duration(tally.remaining_seconds)} to go")
    if tally.warning:
        print(f"Warning: {tally.warning}.")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _apply(slug: str, publication: str | None, event: IssueEvent, said: str) -> None:
    app = installation()
    with app.database.write() as session:
        issue = issues.find(session, publications.find(session, publication), slug)
        issues.apply(session, issue, event)
    print(f"{slug} {said}")


@commands.command("pause")
def pause(slug: Slug, publication: PublicationOption = None) -> None:
    """Stop an issue that is going out; what is on the wire arrives, the rest waits."""
    _apply(slug, publication, IssueEvent.PAUSE, f"is paused. Go on: mailer issue resume {slug}")


@commands.command("resume")
def resume(slug: Slug, publication: PublicationOption = None) -> None:
    """Let a paused issue go on."""
    _apply(slug, publication, IssueEvent.RESUME, "goes on.")


@commands.command("cancel")
def cancel(slug: Slug, publication: PublicationOption = None) -> None:
    """Take an issue off the calendar, or end one that is going out: who has not got it will not."""
    app = installation()
    with app.database.write() as session:
        issue = issues.find(session, publications.find(session, publication), slug)
        issues.apply(session, issue, IssueEvent.CANCEL)
        assert issue.id is not None
        withdrawn = ledger.withdraw_issue(session, issue.id, app.clock())
    print(f"{slug} is cancelled; {withdrawn} readers will not get it.")


@commands.command("hide")
def hide(slug: Slug, publication: PublicationOption = None) -> None:
    """Take an issue off the web: archive, feeds and sitemaps. Mailboxes keep it."""
    _set_private(slug, publication, True)
    print(f"{slug} is not shown on the web any more. Caches may keep it for a minute.")


@commands.command("unhide")
def unhide(slug: Slug, publication: PublicationOption = None) -> None:
    """Show an issue on the web that was hidden or private."""
    _set_private(slug, publication, False)
    print(f"{slug} is shown on the web as soon as it goes out, or has gone out.")


def _set_private(slug: str, publication: str | None, private: bool) -> None:
    app = installation()
    with app.database.write() as session:
        issues.veil(issues.find(session, publications.find(session, publication), slug), private, app.clock())


@commands.command("settle")
def settle(
    slug: Slug,
    again: Annotated[bool, typer.Option("--resend/--write-off", help="Send again, or give up.")],
    publication: PublicationOption = None,
) -> None:
    """Decide what is uncertain: those whose mail left, and whose answer never came."""
    app = installation()
    with app.database.write() as session:
        issue = issues.find(session, publications.find(session, publication), slug)
        assert issue.id is not None
        settled = ledger.settle_uncertain(session, issue.id, app.clock(), again=again)
    print(f"{settled} uncertain deliveries of {slug} {'go out again' if again else 'are written off'}.")


@commands.command("list")
def list_issues(publication: PublicationOption = None, as_json: JsonOption = False) -> None:
    """The publication's issues, newest first."""
    app = installation()
    with app.database.read() as session:
        row = publications.find(session, publication)
        for issue in issues.newest(session, row):
            if as_json:
                print_json({"issue": issue.slug, "status": issue.status, "scheduled_at": issue.scheduled_at})
            else:
                print(f"{issue.slug:20} {issue.status:10} {local(issue.scheduled_at, row.time_zone)}")
