"""The questions that letters ask: what a reader saw who replies to them. Apart from the rest, which loads much."""

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


def moving(language: str, names: Mapping[str, str]) -> str:
    """What the letter to a new address asks."""
    return words(language).gettext(
        "Someone who reads “{name}” at another address, we hope it was you, asked us to send it to this one"
        " from now on.",
        name=in_language(names, language),
    )
