"""An issue as a mail: one edition's languages in one document, rendered once for all its readers."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from mailer.issues.manuscript import Manuscript, PictureSource
from mailer.issues.pictures import BUDGET, over_budget
from mailer.issues.source import Commentary, Section, TranslationSource, parse_translation
from mailer.rendering.body import Body, Inline, Letterhead, Links
from mailer.rendering.errors import RenderError
from mailer.rendering.fragment import Shown, fragment, scrolling
from mailer.rendering.page import page
from mailer.rendering.templates import spoken
from mailer.rendering.text import issue_text
from mailer.rendering.words import Words, words

HTML_LIMIT = 102_000  #: bytes; Gmail cuts off what is longer
COLUMN = 600  #: CSS pixels


@dataclass(frozen=True)
class Part:
    """One language of the mail, as its template takes it."""

    words: Words
    translation: TranslationSource
    show: Callable[[str], Shown]

    @property
    def speech(self) -> dict[str, Any]:
        return spoken(self.words)

    @property
    def language(self) -> str:
        return self.words.language

    @property
    def period(self) -> str:
        return self.words.period(self.translation.first_day, self.translation.last_day)

    @property
    def subject(self) -> str:
        translation = self.translation
        return translation.subject or self.words.gettext(
            "{title}, {period}", title=translation.title, period=self.period
        )

    @property
    def preheader(self) -> str:
        """What mailboxes show beside the subject: the author's words, else the headlines."""
        return self.translation.preheader or " · ".join(c.headline for c in self.translation.commentaries)

    def lead(self, commentary: Commentary) -> Markup:
        return fragment(commentary.lead, self.show)

    def text(self, commentary: Commentary) -> Markup:
        return scrolling(fragment(commentary.body, self.show))

    def verdict_of_section(self, section: Section) -> str | None:
        """The verdict's words, unless the heading says them itself."""
        said = self.words.verdict(section.verdict) if section.verdict else ""
        return said if said and said.casefold() not in section.heading.casefold() else None


def render_editions(
    manuscript: Manuscript, letterhead: Letterhead, editions: Sequence[tuple[Sequence[str], Links]]
) -> list[Body]:
    """The issue's mail in each of `editions`: its languages, and where it points to.

    Raises SourceError where the Markdown cannot be read, and what render_issue raises.
    """
    translations = {
        language: parse_translation(text, f"{language}.md", language) for language, text in manuscript.texts.items()
    }
    return [
        render_issue(languages, translations, manuscript.pictures, letterhead, links) for languages, links in editions
    ]


def render_issue(
    languages: Sequence[str],
    translations: Mapping[str, TranslationSource],
    pictures: Mapping[str, PictureSource],
    letterhead: Letterhead,
    links: Links,
) -> Body:
    """The mail of an edition, which has `languages` in this order. Slot markers in `links` come out as they went in.

    Equal input gives equal bytes. Raises RenderError where a language or picture is missing, or it gets too large.
    """
    chosen = [_translation(language, translations) for language in languages]
    inlines = _inlines(chosen, pictures)
    shown = {name: _shown(inlines[name], pictures[name]) for name in inlines}
    parts = [Part(words(translation.language), translation, shown.__getitem__) for translation in chosen]
    values = {"parts": parts, "subject": parts[0].subject, "preheader": parts[0].preheader, "links": links}
    html = page("email/issue.html", parts[0].words, letterhead, values | {"names": letterhead.names})
    _check_size(html, parts)
    return Body(
        subject=parts[0].subject,
        html=html,
        text=issue_text([(part.words, part.translation) for part in parts], letterhead, links),
        inlines=tuple({inline.cid: inline for inline in inlines.values()}.values()),
    )


def _translation(language: str, translations: Mapping[str, TranslationSource]) -> TranslationSource:
    if language not in translations:
        has = ", ".join(translations) or "none"
        raise RenderError(f"The issue has no text in {language!r}; it has {has}. Add {language}.md to its folder.")
    return translations[language]


def _inlines(chosen: Sequence[TranslationSource], pictures: Mapping[str, PictureSource]) -> dict[str, Inline]:
    """The pictures that these languages show, by name, in the order of their first use."""
    inlines: dict[str, Inline] = {}
    for translation in chosen:
        for use in translation.pictures:
            if use.name not in pictures:
                raise RenderError(
                    f"{translation.file}:{use.line}: the picture {use.name} is missing. Add the issue again."
                )
            inlines[use.name] = _inline(pictures[use.name])
    too_much = over_budget([pictures[name] for name in inlines])
    if too_much:
        raise RenderError(f"The pictures are more than {BUDGET // 1000} kB together ({too_much}). Take some out.")
    return inlines


def _inline(picture: PictureSource) -> Inline:
    """Named by its content, so that the same issue gives the same mail."""
    suffix = {"image/jpeg": ".jpg", "image/png": ".png"}[picture.media_type]
    return Inline(
        cid=f"{hashlib.sha256(picture.content).hexdigest()[:24]}@picture",
        media_type=picture.media_type,
        content=picture.content,
        filename=PurePath(picture.name).stem + suffix,
    )


def _shown(inline: Inline, picture: PictureSource) -> Shown:
    width = min(picture.width, COLUMN)
    return Shown(f"cid:{inline.cid}", width, max(1, round(picture.height * width / picture.width)))


def _check_size(html: str, parts: Sequence[Part]) -> None:
    size = len(html.encode())
    if size <= HTML_LIMIT:
        return
    lengths = [(len(part.text(c).encode()), part, c) for part in parts for c in part.translation.commentaries]
    longest = sorted(lengths, key=lambda length: -length[0])[:3]
    named = ", ".join(
        f"{p.translation.file}:{c.line} “{c.headline:.40}” {bytes_ // 1000} kB" for bytes_, p, c in longest
    )
    raise RenderError(
        f"The mail in {', '.join(part.language for part in parts)} is {size // 1000} kB of HTML;"
        f" mail programs cut off what is beyond {HTML_LIMIT // 1000} kB. Shorten the longest commentaries: {named}."
    )
