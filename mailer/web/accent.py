"""A publication's accent colour as a stylesheet with its own address: our pages bar style attributes."""

import re

from mailer.rendering import palette
from mailer.rendering.palette import Palette


def address(colour: str) -> str:
    """Where the stylesheet for "#rrggbb" is."""
    return f"/static/accent-{colour.lstrip('#').lower()}.css"


def content(name: str) -> str | None:
    """What stands at /static/`name`, None where that is no accent's address."""
    found = re.fullmatch(r"accent-([0-9a-f]{6})\.css", name)
    if not found:
        return None
    light, dark = palette.light(f"#{found[1]}"), palette.dark(f"#{found[1]}")
    return f"{_rule(light)}\n@media (prefers-color-scheme: dark) {{ {_rule(dark)} }}\n"


def _rule(colours: Palette) -> str:
    return f":root {{ --accent: {colours.accent}; --on-accent: {colours.on_accent}; }}"
