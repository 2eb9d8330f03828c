"""The question that a confirmation asks: what a reader saw who replies to it. Apart from the rest, which loads much."""

from collections.abc import Mapping

from mailer.rendering.words import in_language, words


def question(language: str, names: Mapping[str, str], edition_label: str) -> list[str]:
    """A sentence or two each, in the reader's language."""
    spoken = words(language)
    return [
        spoken.gettext(
            "Someone, we hope it was you, asked us to send “{name}” to this address.",
            name=in_language(names, language),
        ),
        spoken.gettext("Edition: {edition}. It comes once a week.", edition=edition_label),
    ]
