"""One issue as its authors write it: a Markdown file a language, and pictures beside.

The database keeps the source; rendering reads it again with parse_translation, so there is one reading of a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from markdown_it.token import Token
from mdit_py_plugins.attrs.parse import ParseError
from mdit_py_plugins.attrs.parse import parse as parse_attributes

from mailer.issues import frontmatter, markdown
from mailer.issues.anchors import anchor
from mailer.issues.manuscript import PictureSource
from mailer.issues.markdown import Block, PictureUse
from mailer.issues.problems import Problem, SourceError
from mailer.issues.verdict import Verdict

SOURCE_LIMIT = 1_000_000  #: bytes of one file


@dataclass(frozen=True, kw_only=True)
class Commentary:
    headline: str
    anchor: str  #: unique within an issue, all languages taken together
    name: str  #: unique within its language: the anchor without it
    verdict: Verdict | None  #: its own, else its section's
    lead: tuple[Block, ...]
    body: tuple[Block, ...]
    line: int  #: in the file, from 1

    @property
    def opening(self) -> str:
        """The first words: the lead, else how the text begins."""
        return markdown.opening((*self.lead, *self.body))


@dataclass(frozen=True, kw_only=True)
class Section:
    heading: str
    verdict: Verdict | None
    commentaries: tuple[Commentary, ...]
    line: int


@dataclass(frozen=True, kw_only=True)
class TranslationSource:
    """An issue in one language."""

    language: str
    file: str
    source: str  #: the whole file, as it was read
    title: str
    subject: str | None  #: None: title and period, composed where it is shown
    preheader: str | None
    private: bool  #: not to be shown on the web
    first_day: date
    last_day: date
    sections: tuple[Section, ...]
    pictures: tuple[PictureUse, ...]

    @property
    def commentaries(self) -> tuple[Commentary, ...]:
        return tuple(commentary for section in self.sections for commentary in section.commentaries)


@dataclass(frozen=True, kw_only=True)
class IssueSource:
    """A whole folder."""

    slug: str
    first_day: date
    last_day: date
    translations: Mapping[str, TranslationSource]  #: by language
    pictures: Mapping[str, PictureSource]  #: by file name
    warnings: tuple[Problem, ...]  #: what looks wrong and may be meant

    @property
    def private(self) -> bool:
        """Whether any of its languages says so: what is held back in one could be read in another."""
        return any(translation.private for translation in self.translations.values())


def parse_translation(text: str, file: str, language: str) -> TranslationSource:
    """Reads one language of an issue. Raises SourceError with everything that is wrong in it."""
    problems: list[Problem] = []
    lines = _normal(text, file, problems)
    parts = frontmatter.split(lines) if not problems else None
    if parts is None:
        mend = "Begin the file with a line of ---, then period and title, then a line of ---"
        raise SourceError(problems or [Problem(file, 1, "the front matter is missing or not closed", f"{mend}.")])
    front = frontmatter.read(parts[0], file, problems)
    outline = _Outline(file, language, problems)
    for block in markdown.blocks(parts[1]):
        outline.take(block)
    sections = outline.finish()
    if problems or front is None:
        raise SourceError(problems)
    return TranslationSource(
        language=language,
        file=file,
        source=text,
        title=front.title,
        subject=front.subject,
        preheader=front.preheader,
        private=front.private,
        first_day=front.first_day,
        last_day=front.last_day,
        sections=sections,
        pictures=tuple(outline.pictures),
    )


def _normal(text: str, file: str, problems: list[Problem]) -> str:
    """The text with plain line ends. Control characters are a problem: no mail can carry them."""
    lines = re.sub(r"\r\n?", "\n", text.removeprefix("\ufeff"))
    if len(lines.encode(errors="surrogatepass")) > SOURCE_LIMIT:
        mend = f"Keep it below {SOURCE_LIMIT // 1000} kB; an issue of that length does not fit into a mail"
        problems.append(Problem(file, None, "the file is too large", f"{mend}."))
        return lines
    for number, line in enumerate(lines.split("\n"), 1):
        found = _CONTROL.search(line)
        if found:
            what = f"the character U+{ord(found[0]):04X} cannot stand in a mail (column {found.start() + 1})"
            problems.append(Problem(file, number, what, "Take it out."))
    return lines


# Controls but tab, line and paragraph separators, surrogates, non-characters and marks that turn the direction of text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]"
)


class _Outline:
    """Sorts blocks into sections and commentaries, and notes what is wrong."""

    def __init__(self, file: str, language: str, problems: list[Problem]) -> None:
        self._file, self._language, self._problems = file, language, problems
        self._sections: list[Section] = []
        self._blocks: list[Block] = []  # of the last commentary
        self._level = 1  # of the last heading; the title in the front matter is the first
        self._in_commentary = False
        self._stray = False  # said once a run
        self._anchors: set[str] = set()
        self.pictures: list[PictureUse] = []

    def take(self, block: Block) -> None:
        self._problems.extend(markdown.problems(block, self._file))
        self.pictures.extend(markdown.pictures(block))
        if block[0].type == "heading_open":
            self._heading(block)
        elif not self._in_commentary:
            if not self._stray:
                self._say(block, "this text belongs to no commentary", "Put a line of ### Headline before it.")
            self._stray = True
        else:
            self._blocks.append(block)

    def finish(self) -> tuple[Section, ...]:
        self._close_commentary()
        self._close_section()
        if not self._sections and not self._problems:
            mend = "Write ## Section, ### Headline and the text."
            self._problems.append(Problem(self._file, None, "there is no commentary", mend))
        return tuple(self._sections)

    def _heading(self, block: Block) -> None:
        level = int(block[0].tag[1])
        if level == 1:
            self._say(block, "the first heading level is the title's", "Write ## for a section, ### for a headline.")
            return
        if level > self._level + 1:
            marks = "#" * (self._level + 1)
            self._say(block, f"{'#' * level} follows where {marks} is due", f"Write {marks}.")
        if level > 3 and self._in_commentary:
            self._blocks.append(block)
        else:
            level = min(level, 3)  # a jump was said above; what follows it is read as a commentary
            self._close_commentary()
            self._open(block, level)
        self._level, self._in_commentary, self._stray = level, level > 2, False

    def _open(self, block: Block, level: int) -> None:
        text, verdict = self._heading_text(block)
        line = markdown.line_of(block)
        if level == 2:
            self._close_section()
            self._sections.append(Section(heading=text, verdict=verdict, commentaries=(), line=line))
            return
        if not self._sections:  # the jump was said above
            self._sections.append(Section(heading=text, verdict=None, commentaries=(), line=line))
        section = self._sections[-1]
        position = sum(len(section.commentaries) for section in self._sections) + 1
        named = anchor(self._language, text, position, self._anchors)
        commentary = Commentary(
            headline=text,
            anchor=named,
            name=named.removeprefix(f"{self._language}-"),
            verdict=verdict or section.verdict,
            lead=(),
            body=(),
            line=line,
        )
        self._sections[-1] = replace(section, commentaries=(*section.commentaries, commentary))

    def _heading_text(self, block: Block) -> tuple[str, Verdict | None]:
        inline = block[1]
        if any(child.type in ("link_open", "image") for child in inline.children or ()):
            self._say(block, "a heading holds more than text", "Move the link or picture into the text.")
        text, attributes = markdown.plain(inline.children), None
        cut = re.fullmatch(r"(.*?)\s*(\{[^{}]*\})", text)
        if cut:
            text, attributes = cut[1], cut[2]
        if not text:
            self._say(block, "the heading is empty", "Write its text, or remove it.")
        return text, self._verdict(block, attributes) if attributes else None

    def _verdict(self, block: Block, attributes: str) -> Verdict | None:
        try:
            end, found = parse_attributes(attributes)
            if end == len(attributes) - 1 and list(found) == ["verdict"]:
                return Verdict(found["verdict"])
        except (ParseError, ValueError):
            pass
        mend = f"Write {', '.join(f'{{verdict={verdict}}}' for verdict in Verdict)}."
        self._say(block, f"{attributes:.60} is not a verdict", mend)
        return None

    def _close_commentary(self) -> None:
        if not self._in_commentary:
            return
        section = self._sections[-1]
        commentary = section.commentaries[-1]
        if not any(markdown.has_text(block) for block in self._blocks):
            mend = "Write its text, or remove the headline."
            self._problems.append(Problem(self._file, commentary.line, "the commentary has no text", mend))
        lead, body = _parted(self._blocks)
        whole = replace(commentary, lead=lead, body=body)
        self._sections[-1] = replace(section, commentaries=(*section.commentaries[:-1], whole))
        self._blocks = []

    def _close_section(self) -> None:
        if self._sections and not self._sections[-1].commentaries:
            mend = "Write a ### Headline and its text, or remove the section."
            self._problems.append(Problem(self._file, self._sections[-1].line, "the section is empty", mend))

    def _say(self, block: Block, what: str, mend: str) -> None:
        self._problems.append(Problem(self._file, markdown.line_of(block), what, mend))


def _parted(blocks: list[Block]) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """Lead and body. The bold beginning of the first paragraph is the lead; what follows in it begins the body."""
    if not blocks or blocks[0][0].type != "paragraph_open":
        return (), tuple(blocks)
    opening, inline, closing = blocks[0]
    children = [child for child in inline.children or () if child.type != "text" or child.content]
    if not children or children[0].type != "strong_open":
        return (), tuple(blocks)
    end = next(index for index, child in enumerate(children) if child.type == "strong_close" and child.level == 0)
    lead = (opening, _inline(inline, children[1:end]), closing)
    rest = _without_leading_space(children[end + 1 :])
    first = [(opening, _inline(inline, rest), closing)] if rest else []
    return (lead,), (*first, *blocks[1:])


def _inline(like: Token, children: list[Token]) -> Token:
    return Token("inline", "", 0, map=like.map, level=like.level, content="", children=children)


def _without_leading_space(children: list[Token]) -> list[Token]:
    while children and children[0].type in ("softbreak", "hardbreak"):
        children = children[1:]
    if children and children[0].type == "text":
        stripped = children[0].copy(content=children[0].content.lstrip())
        return [stripped, *children[1:]] if stripped.content else _without_leading_space(children[1:])
    return children
