"""The templates of mails: escaped by default, and a name that is not handed in is an error."""

import functools
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mailer.rendering.words import Words
from mailer.resources import resource


@functools.cache
def environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(resource("templates")),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, words: Words, values: Mapping[str, Any]) -> str:
    """The template with `_`, `pgettext` and `ngettext` in the language of `words`."""
    return environment().get_template(template).render(spoken(words) | dict(values))


def spoken(words: Words) -> dict[str, Any]:
    """What a template calls to speak a language."""
    return {"_": words.gettext, "pgettext": words.pgettext, "ngettext": words.ngettext, "language": words.language}
