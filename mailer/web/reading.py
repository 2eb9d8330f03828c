"""An issue as its pages show it: Markdown is read and cleaned once, and kept in memory for whoever asks next."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote

from markdown_it.token import Token
from markupsafe import Markup
from sqlmodel import Session, col, select

from mailer import links
from mailer.issues import markdown, source
from mailer.issues.verdict import Verdict
from mailer.rendering.fragment import Shown, fragment
from mailer.rendering.words import Words, words
from mailer.tables import Commentary, Issue, Picture, Translation
from mailer.web.fitted import fitted
from mailer.web.place import Place

COLUMN = 600
"""Width of the text, CSS pixels."""

KEPT = 100
"""Readings in memory, some 80 kB each."""


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A picture where it stands by itself, as where a page is shared."""

    address: str
    width: int  #: pixels
    height: int
    alt: str  #: what it shows, in words


@dataclass(frozen=True, kw_only=True)
class Article:
    """A commentary, ready to be shown."""

    name: str  #: in its address
    anchor: str
    headline: str
    verdict: Verdict | None
    opening: str
    lead: Markup
    body: Markup
    alone: Markup  #: the body as it stands on a page of its own
    picture: Illustration | None  #: its first


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section, ready to be shown."""

    heading: str
    verdict: Verdict | None
    articles: Sequence[Article]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An issue in one language, ready to be shown."""

    title: str
    preheader: str | None
    first_day: date
    last_day: date
    parts: Sequence[Part]

    @property
    def articles(self) -> Sequence[Article]:
        return tuple(article for part in self.parts for article in part.articles)

    @property
    def description(self) -> str:
        """What it holds, in a line: the author's words, else the headlines."""
        return self.preheader or " · ".join(article.headline for article in self.articles)

    @property
    def picture(self) -> Illustration | None:
        return next((article.picture for article in self.articles if article.picture), None)


Key = tuple[int | None, datetime, str, str]


class Readings:
    """The last KEPT that were asked for. What has gone out is not changed any more, so none of them grows old."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Reading] = OrderedDict()
        self._lock = threading.Lock()  # pages are made in several threads

    def of(self, session: Session, at: Place, issue: Issue, language: str, host: str) -> Reading | None:
        """The issue in `language` with the pictures at `host`; None where it was not written in it.

        Fitted to our pages where `host` is HERE (""), else left as it is, to be read elsewhere.
        """
        key = (issue.id, issue.added_at, language, host)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _reading(session, at, issue, language, host)
        if made is not None:
            with self._lock:
                self._kept[key] = made
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return made


def _reading(session: Session, at: Place, issue: Issue, language: str, host: str) -> Reading | None:
    written = session.get(Translation, (issue.id, language))
    if written is None:
        return None
    parsed = source.parse_translation(written.source, f"{language}.md", language)
    rows = session.exec(
        select(Commentary.name)
        .where(Commentary.issue_id == issue.id, Commentary.language == language)
        .order_by(col(Commentary.position))
    )
    sizes = select(Picture.name, Picture.width, Picture.height).where(Picture.issue_id == issue.id)
    pictures = _Pictures(
        links.issue(host, at.slug, language, issue.slug),
        {name: (width, height) for name, width, height in session.exec(sizes)},
    )
    names = iter(rows)
    spoken = None if host else words(language)
    return Reading(
        title=parsed.title,
        preheader=parsed.preheader,
        first_day=parsed.first_day,
        last_day=parsed.last_day,
        parts=[
            Part(
                heading=section.heading,
                verdict=section.verdict,
                articles=[_article(one, next(names, one.name), pictures, spoken) for one in section.commentaries],
            )
            for section in parsed.sections
        ],
    )


def _article(one: source.Commentary, name: str, pictures: "_Pictures", spoken: Words | None) -> Article:
    tokens = (token for block in (*one.lead, *one.body) for token, _ in markdown.inline_tokens(block))
    shown = (pictures.whole(token) for token in tokens if token.type == "image")
    lead, body = fragment(one.lead, pictures.in_text), fragment(one.body, pictures.in_text)
    return Article(
        name=name,
        anchor=one.anchor,
        headline=one.headline,
        verdict=one.verdict,
        opening=one.opening,
        lead=fitted(lead, spoken, under=3, about=one.headline) if spoken else lead,
        body=fitted(body, spoken, under=3, about=one.headline) if spoken else body,
        alone=fitted(body, spoken, under=1, about=one.headline) if spoken else body,
        picture=next(filter(None, shown), None),
    )


class _Pictures:
    """Where the page at address `page` has its pictures, and how large."""

    def __init__(self, page: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        self._page, self._sizes = page, sizes

    def in_text(self, name: str) -> Shown:
        """No wider than the column."""
        width, height = self._sizes.get(name, (COLUMN, COLUMN))
        scale = min(1, COLUMN / width)
        return Shown(self._address(name), round(width * scale), max(1, round(height * scale)))

    def whole(self, image: Token) -> Illustration | None:
        """As large as it is; None where it was lost."""
        name = markdown.picture_name(image)
        if name not in self._sizes:
            return None
        width, height = self._sizes[name]
        return Illustration(address=self._address(name), width=width, height=height, alt=markdown.plain(image.children))

    def _address(self, name: str) -> str:
        return f"{self._page}/{quote(name)}"
