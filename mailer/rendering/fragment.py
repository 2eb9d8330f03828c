"""What authors wrote, as clean HTML: nothing in it runs, loads or styles."""

import copy
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import nh3
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from mailer.issues.markdown import PARSER, Block, picture_name, plain

_TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd"),
    *("a", "abbr", "b", "cite", "code", "del", "em", "i", "ins", "q", "s", "small", "span", "strong", "sub", "sup"),
    *("img", "table", "caption", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "*": {"lang", "dir"},
    "a": {"href"},
    "abbr": {"title"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}
_SCHEMES = {"http", "https", "mailto"}

TAG = re.compile(r'<(/?)([a-z][a-z0-9]*)((?: [a-z-]+="[^"]*")*)>')
"""A tag as the cleaning writes it: whole, so that what only looks like one, in an attribute, is passed over."""


@dataclass(frozen=True)
class Shown:
    """A picture where it is shown."""

    src: str
    width: int  #: CSS pixels
    height: int


def fragment(blocks: Iterable[Block], show: Callable[[str], Shown]) -> Markup:
    """The blocks as HTML. `show` says where a picture, by its file name, is found, in a mail or on a page."""
    tokens = [token for block in blocks for token in block]
    sources: set[str] = set()
    source = _RENDERER.render(tokens, PARSER.options, {"show": show, "sources": sources})
    clean = nh3.clean(
        source,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=lambda tag, name, value: _kept(tag, name, value, sources),
        url_schemes=_SCHEMES | {"cid"},
        link_rel=None,
    )
    return Markup(clean)  # noqa: S704  (cleaned in the line above)


def scrolling(clean: Markup) -> Markup:
    """What `fragment` gives, with every table in a box of its own, that is scrolled where a mail is narrower."""

    def boxed(tag: re.Match[str]) -> str:
        closes, name, _ = tag.groups()
        if name != "table":
            return tag[0]
        return f"{tag[0]}</div>" if closes else f'<div class="wide" tabindex="0">{tag[0]}'

    return Markup(TAG.sub(boxed, clean))  # noqa: S704  (clean before, and nothing of the author's is added)


def _kept(tag: str, name: str, value: str, sources: set[str]) -> str | None:
    """Only addresses with a scheme, and only the issue's own pictures: any other would tell who reads."""
    if name == "href" and value.split(":")[0].lower() not in _SCHEMES:
        return None
    if name == "src" and value not in sources:
        return None
    return value


class _Renderer(RendererHTML):
    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        shown: Shown = env["show"](picture_name(tokens[idx]))
        env["sources"].add(shown.src)
        alt = escape(plain(tokens[idx].children))
        return f'<img src="{escape(shown.src)}" alt="{alt}" width="{shown.width}" height="{shown.height}">'

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """The column's alignment as an attribute: the parser writes a style, and styles are not kept."""
        cell = copy.copy(tokens[idx])
        style = str(cell.attrGet("style") or "")
        cell.attrs = {"align": style.removeprefix("text-align:")} if style else {}
        return self.renderToken([cell, *tokens[idx + 1 : idx + 2]], 0, options, env)

    td_open = th_open


_RENDERER = _Renderer()
