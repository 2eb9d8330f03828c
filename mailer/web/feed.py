"""The Atom feed of a publication in a language (RFC 4287): an issue an entry, in full, so that it can be read where
the site cannot be reached."""

import re
from dataclasses import dataclass

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from mailer.issues import published
from mailer.rendering.words import words
from mailer.tables import Issue
from mailer.web.archive import place_of
from mailer.web.pages import KEPT_FOR_A_MINUTE, READ, TheSite
from mailer.web.place import Place
from mailer.web.reading import Reading

router = APIRouter()

ENTRIES = 10
"""Issues in the feed, the newest."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What may not stand in a document, not even escaped (XML 1.0 §2.2)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One issue."""

    issue: Issue
    reading: Reading
    content: str  #: HTML


@router.api_route("/{publication}/{language}/feed.atom", methods=READ)
def feed(publication: str, language: str, site: TheSite) -> Response:
    """The newest issues."""
    host = site.app.link_host  # a feed is read elsewhere: its addresses are whole, and never the Host header's
    with site.app.database.read() as session:
        at = place_of(session, publication, language)
        if not at.publication.archive:
            raise HTTPException(404)
        weeks = published.weeks(session, at.publication, language, limit=ENTRIES)
        updated = published.updated_at(session, at.publication, language)
        readings = [(week.issue, site.readings.of(session, at, week.issue, language, host)) for week in weeks]
    entries = [
        Entry(
            issue=issue,
            reading=reading,
            content=site.pages.render(
                "feed-content.html", language, place=at, issue=issue, reading=reading, origin=host
            ),
        )
        for issue, reading in readings
        if reading
    ]
    document = site.pages.render(
        "feed.xml",
        language,
        place=at,
        origin=host,
        entries=entries,
        updated=updated,
        ids=_authority(at),
        title_of=lambda reading: words(language).gettext(
            "{title}, {period}", title=reading.title, period=words(language).period(reading.first_day, reading.last_day)
        ),
    )
    return Response(
        _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", document),
        media_type="application/atom+xml",
        headers={
            "Cache-Control": KEPT_FOR_A_MINUTE,
            "Content-Language": language,
        },
    )


def _authority(at: Place) -> str:
    """What ids begin with (RFC 4151): hosts change when one is blocked, the List-Id never does."""
    return f"tag:{at.publication.list_id.lower()},{at.publication.created_at:%Y-%m-%d}"
