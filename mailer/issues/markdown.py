"""Markdown as authors may write it, and what is wrong in it. HTML is let through here and cleaned by rendering."""

import html
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from mailer.issues.problems import Problem

Block = tuple[Token, ...]
"""One block with everything inside it, from its opening token to its closing one."""

_PICTURE_MEND = "Put the file into the issue's folder and write ![what it shows](photo.jpg)"


@dataclass(frozen=True)
class PictureUse:
    """Where a picture stands."""

    name: str
    line: int


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # Every link becomes a token: what is wrong with it is said below, not passed over in silence.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


PARSER = _parser()


def blocks(text: str) -> Iterator[Block]:
    """The top-level blocks, in order. Comments are passed over."""
    block: list[Token] = []
    for token in PARSER.parse(text):
        block.append(token)
        if token.level == 0 and token.nesting != 1:
            if not _is_comment(block):
                yield tuple(block)
            block = []


def line_of(block: Block) -> int:
    """The line it begins at, from 1."""
    return block[0].map[0] + 1 if block[0].map else 1


def plain(tokens: Sequence[Token] | None) -> str:
    """Inline tokens as text without marks."""
    return " ".join("".join(map(_plain, tokens or ())).split())


def _plain(token: Token) -> str:
    match token.type:
        case "softbreak" | "hardbreak":
            return " "
        case "image":
            return plain(token.children)
        case "html_inline" | "html_block":
            return html_text(token.content)
        case _:
            return token.content


def html_text(source: str) -> str:
    """HTML as text without tags."""
    return html.unescape(nh3.clean(source, tags=set()))


def has_text(block: Block) -> bool:
    """Whether a reader would see anything of it."""
    return any(
        (token.type in ("fence", "code_block") and token.content.strip())
        or (token.type == "html_block" and html_text(token.content).strip())
        or plain(token.children)
        or any(child.type == "image" for child in token.children or ())
        for token in block
    )


OPENING = 280
"""About the most characters of an opening: what a list or a preview shows of a commentary."""


def opening(written: Iterable[Block]) -> str:
    """The first running text without marks: whole where it is short, else cut behind a word."""
    texts = (plain(token.children) for block in written for token in block)
    text = next(filter(None, texts), "")
    if len(text) <= OPENING:
        return text
    cut = text[:OPENING]
    return (cut.rpartition(" ")[0] or cut).rstrip(" ,;:(–—-") + "…"


def _is_comment(block: Sequence[Token]) -> bool:
    return block[0].type == "html_block" and not nh3.clean(block[0].content).strip()


def inline_tokens(block: Block) -> Iterator[tuple[Token, int]]:
    """Every token in the block's running text, and the line it is on."""
    line = line_of(block)
    for token in block:
        line = token.map[0] + 1 if token.map else line
        at = line
        for child in token.children or ():
            yield child, at
            at += child.type in ("softbreak", "hardbreak")


def pictures(block: Block) -> Iterator[PictureUse]:
    for token, line in inline_tokens(block):
        if token.type == "image":
            yield PictureUse(picture_name(token), line)


def picture_name(image: Token) -> str:
    """The file's name, composed: some file systems take letters and their marks apart."""
    return unicodedata.normalize("NFC", unquote(str(image.attrGet("src") or "")))


def problems(block: Block, file: str) -> Iterator[Problem]:
    """What is wrong with the block's links, pictures and HTML."""
    for token, line in inline_tokens(block):
        if token.type == "link_open":
            yield from _link_problems(str(token.attrGet("href") or ""), file, line)
        elif token.type == "image":
            yield from _picture_problems(token, file, line)
        elif token.type == "html_inline":
            yield from _html_problems(token.content, file, line)
    for token in block:
        if token.type == "html_block":
            yield from _html_problems(token.content, file, token.map[0] + 1 if token.map else line_of(block))


def _link_problems(href: str, file: str, line: int) -> Iterator[Problem]:
    try:
        parts = urlsplit(href)
        leads_somewhere = (parts.scheme in ("http", "https") and parts.hostname) or (
            parts.scheme == "mailto" and "@" in parts.path
        )
    except ValueError:
        leads_somewhere = False
    if not leads_somewhere:
        mend = "Write the whole address: https://… or mailto:…"
        yield Problem(file, line, f'the link "{href:.60}" leads nowhere from a mail', mend)


def _picture_problems(image: Token, file: str, line: int) -> Iterator[Problem]:
    name = picture_name(image)
    if ":" in name or name.startswith("//"):
        yield Problem(file, line, f'the picture "{name:.60}" is not a file of the issue', f"{_PICTURE_MEND}.")
    elif not name or "/" in name or "\\" in name or name.startswith("."):
        yield Problem(file, line, f'the picture "{name:.60}" is not beside the text', f"{_PICTURE_MEND}.")
    if not plain(image.children):
        mend = f"Say what it shows: ![Trams on the bridge]({name:.60})"
        yield Problem(file, line, f'the picture "{name:.60}" has no alt text', mend)


def _html_problems(source: str, file: str, line: int) -> Iterator[Problem]:
    if "<img" in nh3.clean(source, tags={"img"}):
        yield Problem(file, line, "a picture is written in HTML", f"{_PICTURE_MEND}.")
