"""The operator's pages: how far the issues are, and the send log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlmodel import Session, col, select
from starlette.exceptions import HTTPException

from mailer.delivery import log
from mailer.delivery.log import LogEntry, LogFilter, LogFilterError
from mailer.delivery.states import DeliveryStatus
from mailer.delivery.tally import Tally, tallies
from mailer.issues.states import IssueStatus
from mailer.tables import Issue, Publication
from mailer.web.pages import READ, TheSite
from mailer.web.signin import TheOperator

router = APIRouter(prefix="/console")

ISSUES_SHOWN = 8
ENTRIES_SHOWN = 50
REFRESH_SECONDS = 5

SIGNS = {
    DeliveryStatus.QUEUED: "○",
    DeliveryStatus.SENDING: "→",
    DeliveryStatus.ACCEPTED: "✓",
    DeliveryStatus.DEFERRED: "↻",
    DeliveryStatus.REFUSED: "✕",
    DeliveryStatus.UNCERTAIN: "?",
    DeliveryStatus.WITHDRAWN: "–",
    DeliveryStatus.BOUNCED: "↩",
    DeliveryStatus.COMPLAINED: "!",
}
"""Beside the word, never instead of it."""


@dataclass(frozen=True, kw_only=True)
class IssueRow:
    """One issue on the console."""

    issue: Issue
    publication: Publication
    tally: Tally


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The log's filter as the address of the page has it."""

    fields: Mapping[str, str]  #: issue, status, domain, address; "" for any
    before: int | None

    @property
    def given(self) -> Mapping[str, str]:
        """The fields that are filled in."""
        return {name: value for name, value in self.fields.items() if value}

    def query(self, **more: object) -> str:
        """The same filter as a query, with `more`."""
        return f"?{urlencode({**self.given, **more})}"


def _asked(
    issue: str = "",
    status: str = "",
    domain: str = "",
    address: str = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Asked:
    given = {"issue": issue, "status": status, "domain": domain, "address": address}
    return Asked(fields={name: value.replace("\0", "").strip() for name, value in given.items()}, before=before)


@router.api_route("", methods=READ)
def overview(user: TheOperator, site: TheSite, asked: Annotated[Asked, Depends(_asked)]) -> Response:
    """Issues with their progress, and the send log. It renews itself while something goes out."""
    now, problem, found = site.app.clock(), "", list[LogEntry]()
    with site.app.database.read() as session:
        rows = _issues(session, now)
        zone = _zone(session)
        try:
            found = log.entries(session, LogFilter(**asked.given), before_id=asked.before, limit=ENTRIES_SHOWN + 1)
        except LogFilterError as error:
            problem = str(error)
    is_sending = any(row.issue.status is IssueStatus.SENDING for row in rows)
    return site.console_page(
        "console.html",
        status=400 if problem else 200,
        user=user,
        rows=rows,
        several=len({row.publication.id for row in rows}) > 1,
        zone=zone,
        problem=problem,
        entries=found[:ENTRIES_SHOWN],
        has_more=len(found) > ENTRIES_SHOWN,
        asked=asked,
        refresh_seconds=REFRESH_SECONDS if is_sending and asked.before is None else None,
        **_SAID,
    )


@router.api_route("/deliveries/{delivery_id}", methods=READ)
def one_delivery(user: TheOperator, site: TheSite, delivery_id: Annotated[int, Path(ge=1, le=2**53)]) -> Response:
    """One delivery with every attempt."""
    with site.app.database.read() as session:
        entry = log.entry(session, delivery_id)
        attempts = log.history(session, delivery_id)
        zone = _zone(session)
    if entry is None:
        raise HTTPException(404)
    return site.console_page("console-delivery.html", user=user, entry=entry, attempts=attempts, zone=zone, **_SAID)


def _issues(session: Session, now: datetime) -> list[IssueRow]:
    """The newest issues; how fast they go is asked only of those that are going out."""
    newest = select(Issue, Publication).join(Publication).order_by(col(Issue.first_day).desc(), col(Issue.id).desc())
    found = [(issue, publication) for issue, publication in session.exec(newest.limit(ISSUES_SHOWN))]
    return [
        IssueRow(issue=issue, publication=publication, tally=each)
        for (issue, publication), each in zip(found, tallies(session, [issue for issue, _ in found], now), strict=True)
    ]


def _zone(session: Session) -> ZoneInfo:
    """The first publication's: an installation's operators sit at one clock."""
    name = session.exec(select(Publication.time_zone).order_by(col(Publication.id)).limit(1)).first()
    return ZoneInfo(name or "UTC")


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


_SAID: dict[str, Any] = {"signs": SIGNS, "statuses": list(DeliveryStatus), "duration": _duration}
"""What the console's templates know."""
