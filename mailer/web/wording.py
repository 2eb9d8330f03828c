"""The words a reader agrees to. The form shows them and the consent record keeps them: one text, from here."""

from mailer.rendering.words import Words
from mailer.web.place import Place


def agreement(words: Words, at: Place) -> str:
    """What the form says above its button."""
    return words.gettext(
        "I want to receive “{name}” by e-mail every week. I can unsubscribe at any time with one click.",
        name=at.name(words.language),
    )


def confirmation(words: Words, at: Place, edition: str) -> str:
    """What the page of the confirm link asks. `edition`: its label."""
    return words.gettext(
        "Confirm that you want to receive “{name}” by e-mail every week. Edition: {edition}.",
        name=at.name(words.language),
        edition=edition,
    )
