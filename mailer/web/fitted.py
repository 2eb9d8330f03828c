"""Clean HTML of authors fitted to a page: headings a level apart, what scrolls is focusable, pictures wait."""

import re

from markupsafe import Markup, escape

from mailer.rendering.fragment import TAG
from mailer.rendering.words import Words

_ADDED = {"pre": ' tabindex="0"', "img": ' loading="lazy" decoding="async"'}


def fitted(clean: Markup, words: Words, *, under: int, about: str) -> Markup:
    """`clean` is what rendering.fragment gives. `under`: the level of the heading that it stands under, which is
    `about` that.

    Browsers that scroll a wide table or code sideways want it to be focusable (WCAG 2.2, 2.1.1), and a region to have
    a name of its own.
    """
    levels: list[int] = []
    shown = under
    tables = 0

    def fit(tag: re.Match[str]) -> str:
        nonlocal shown, tables
        closes, name, attributes = tag.groups()
        if re.fullmatch("h[1-6]", name):
            if not closes:
                level = int(name[1])
                levels[:] = [*(each for each in levels if each < level), level]
                shown = min(under + len(levels), 6)
            return f"<{closes}h{shown}{attributes}>"
        if name == "table":
            if closes:
                return "</table></div>"
            tables += 1
            called = escape(words.gettext("Table {number}: {headline}", number=tables, headline=about))
            return f'<div class="wide" role="region" tabindex="0" aria-label="{called}"><table{attributes}>'
        return tag[0] if closes else f"<{name}{attributes}{_ADDED.get(name, '')}>"

    return Markup(TAG.sub(fit, clean))  # noqa: S704  (clean before, and nothing of the author's is added unescaped)
