"""An issue's Markdown as part of a page. Whatever HTML its authors wrote is cleaned: a page carries only our markup."""

from collections.abc import Callable

import nh3
from markdown_it.token import Token
from markupsafe import Markup

from mailer.issues.markdown import PARSER, Block, picture_name

_TAGS = {
    *("p", "br", "hr", "h4", "h5", "h6", "div", "span", "blockquote", "q", "cite", "pre", "code"),
    *("em", "strong", "s", "del", "ins", "sub", "sup", "small", "mark", "abbr", "a", "img", "figure", "figcaption"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title", "lang"}, "img": {"src", "alt", "title"}, "ol": {"start"}, "abbr": {"title"}}
_ANYWHERE = {"lang", "dir"}


def text(blocks: tuple[Block, ...], picture: Callable[[str], str]) -> Markup:
    """The blocks as HTML. `picture`: file name -> address."""
    tokens = [_shown(token, picture) for block in blocks for token in block]
    source = PARSER.renderer.render(tokens, PARSER.options, {})
    clean = nh3.clean(
        source,
        tags=_TAGS,
        attributes={tag: _ATTRIBUTES.get(tag, set()) | _ANYWHERE for tag in _TAGS},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    )
    return Markup(clean)  # noqa: S704  cleaned on the line above


def _shown(token: Token, picture: Callable[[str], str]) -> Token:
    """The token with its pictures pointing to where the page has them. The original is left alone: it is shared."""
    if token.type == "image":
        return token.copy(attrs={**token.attrs, "src": picture(picture_name(token))})
    if token.children:
        return token.copy(children=[_shown(child, picture) for child in token.children])
    return token
