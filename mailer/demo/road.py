"""The road from the form to the mailbox, walked by a crowd and counted at its end, in the mailbox."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress
from sqlmodel import col, select

from mailer.delivery import launch
from mailer.delivery.states import WAITING, DeliveryStatus
from mailer.delivery.tally import Tally
from mailer.delivery.tally import tally as tally_of
from mailer.demo.crowd import Crowd, Reader, gather
from mailer.demo.mailbox import Mailbox
from mailer.demo.stage import Stage
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.issues.states import IssueStatus
from mailer.tables import Edition, Issue


@dataclass(frozen=True)
class Result:
    """What happened, in readers."""

    readers: int
    confirmed: int
    accepted: int  #: have the issue of their edition in the mailbox
    refused: int  #: their mailbox said no
    unsubscribed: int
    lost: int  #: confirmed, not refused, and the issue is not there
    duplicates: int  #: copies beyond the first
    seconds: float

    @property
    def is_good(self) -> bool:
        return self.lost == 0 and self.duplicates == 0


async def walk(stage: Stage, count: int, folder: Path, progress: Progress) -> Result:
    """Subscribe, confirm, queue, send, leave; then count."""
    began = time.monotonic()
    editions = _editions(stage)
    step = progress.add_task("readers subscribe and confirm", total=count)
    crowd = Crowd(gather(count, editions.items()), stage.mailbox, stage.front, lambda: progress.advance(step))
    await crowd.subscribe(stage.publication.slug)
    _trouble(crowd.readers, stage.mailbox)
    issue = await asyncio.to_thread(_queue, stage, folder)
    await _until_sent(stage, issue, progress)
    step = progress.add_task("some readers leave", total=None)
    await crowd.leave()
    progress.update(step, total=progress.tasks[step].completed, completed=progress.tasks[step].completed)
    return _count(crowd.readers, stage.mailbox, issue.slug, editions, time.monotonic() - began)


def _editions(stage: Stage) -> dict[str, list[str]]:
    with stage.app.database.read() as session:
        rows = select(Edition).where(Edition.publication_id == stage.publication.id).order_by(col(Edition.position))
        return {edition.code: edition.languages for edition in session.exec(rows)}


def _trouble(readers: list[Reader], mailbox: Mailbox) -> None:
    for reader in readers:
        if reader.closes:
            mailbox.close(reader.address)
        if reader.greylists:
            mailbox.greylist(reader.address)


def _queue(stage: Stage, folder: Path) -> Issue:
    """What `mailer issue add` and `mailer issue queue --at now` do."""
    app, source = stage.app, read_folder(folder)
    with app.database.write() as session:
        issue, _ = issues.add(session, stage.publication, source, app.clock())
        issues.check(session, stage.publication, issue)
        launch.preflight(session, issue, app.settings)
        issues.schedule(session, issue, app.clock())
    return issue


async def _until_sent(stage: Stage, issue: Issue, progress: Progress) -> None:
    step = progress.add_task(f"issue {issue.slug} goes out", total=None)
    status = IssueStatus.SCHEDULED
    while status is not IssueStatus.SENT:
        await asyncio.sleep(0.1)
        stage.check()
        status, tally = await asyncio.to_thread(_look, stage, issue.id)
        waiting = sum(tally.counts[each] for each in WAITING) + tally.counts[DeliveryStatus.SENDING]
        progress.update(step, total=tally.total or None, completed=tally.total - waiting)


def _look(stage: Stage, issue_id: int | None) -> tuple[IssueStatus, Tally]:
    assert issue_id is not None
    with stage.app.database.read() as session:
        return session.get_one(Issue, issue_id).status, tally_of(session, issue_id, stage.app.clock())


def _count(
    readers: list[Reader], mailbox: Mailbox, slug: str, editions: dict[str, list[str]], seconds: float
) -> Result:
    copies = {reader.address: _copies(mailbox, reader, slug, editions) for reader in readers}
    confirmed = [reader for reader in readers if reader.confirmed]
    return Result(
        readers=len(readers),
        confirmed=len(confirmed),
        accepted=sum(copies[reader.address] > 0 for reader in confirmed),
        refused=sum(reader.address in mailbox.refused for reader in confirmed),
        unsubscribed=sum(reader.left for reader in readers),
        lost=sum(copies[reader.address] == 0 and reader.address not in mailbox.refused for reader in confirmed),
        duplicates=sum(max(0, copies[reader.address] - reader.confirmed) for reader in readers),
        seconds=round(seconds, 1),
    )


def _copies(mailbox: Mailbox, reader: Reader, slug: str, editions: dict[str, list[str]]) -> int:
    """Copies of the issue in the reader's own edition; any other edition counts as not received."""
    languages = ", ".join(editions[reader.edition])
    return sum(mail.issue == slug and mail.languages == languages for mail in mailbox.of[reader.address])
