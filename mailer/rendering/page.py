"""From a template to the HTML of a mail: rendered, then inlined, once."""

import logging
from collections.abc import Mapping
from typing import Any

from premailer import Premailer

from mailer.rendering import palette, templates
from mailer.rendering.body import Letterhead
from mailer.rendering.words import Words, in_language


def page(template: str, words: Words, letterhead: Letterhead, values: Mapping[str, Any]) -> str:
    """The whole document, in the language of `words` and the colours of `letterhead`."""
    colours = {"light": palette.light(letterhead.accent), "dark": palette.dark(letterhead.accent)}
    shown = {
        "adapting_rules": templates.render("email/adapting.css", words, colours),
        "contact_address": letterhead.contact_address,
        "in_language": in_language,
        "postal_address": in_language(letterhead.postal_address, words.language),
    }
    source = templates.render(template, words, shown | dict(values))
    return _inlined(source, templates.render("email/style.css", words, colours))


def _inlined(source: str, stylesheet: str) -> str:
    """The stylesheet's rules as style attributes. The mail's own <style> keeps what attributes cannot say."""
    made: str = Premailer(
        source,
        css_text=stylesheet,
        keep_style_tags=True,
        disable_leftover_css=True,
        disable_basic_attributes=["width", "height"],  # they would replace those of pictures
        disable_validation=True,
        allow_network=False,
        cssutils_logging_level=logging.CRITICAL,
    ).transform()
    return made
