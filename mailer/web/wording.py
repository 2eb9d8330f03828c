"""The words a reader agrees to. The form shows them and the consent record keeps them: one text, from here."""

from datetime import datetime

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


def choice(words: Words, at: Place) -> str:
    """What the preferences say above the editions."""
    return words.gettext(
        "I want to receive the editions of “{name}” that are checked here by e-mail every week, and no others.",
        name=at.name(words.language),
    )


def chosen(words: Words, at: Place, edition: str, *, checked: bool) -> str:
    """The same with one of the boxes. `edition`: its label."""
    return f"{choice(words, at)} [{'x' if checked else ' '}] {edition}"


def pause(words: Words, at: Place, until: datetime) -> str:
    """What a pause means."""
    day = words.day(until.astimezone(at.zone).date())
    if not at.publication.archive:
        return words.gettext("No issue before {day}. What comes out until then is not sent later.", day=day)
    return words.gettext(
        "No issue before {day}. What comes out until then is not sent later; it can be read in the archive.", day=day
    )


def resume(words: Words) -> str:
    return words.gettext("End the pause")


def leaving(words: Words, at: Place, edition: str | None) -> str:
    """What the unsubscribe page asks. `edition`: its label, where the reader has others and keeps them."""
    name = at.name(words.language)
    if edition is None:
        return words.gettext("Unsubscribe from “{name}”?", name=name)
    return words.gettext("Unsubscribe from “{name}”, edition {edition}?", name=name, edition=edition)


def restoring(words: Words) -> str:
    """What the button says that takes leaving back."""
    return words.gettext("Undo: keep me subscribed")


def new_address(words: Words, at: Place) -> str:
    """What the page asks at the new address."""
    return words.gettext(
        "Confirm that “{name}” is to come to this address from now on, and no longer to the old one.",
        name=at.name(words.language),
    )


def moving(words: Words) -> str:
    """What the form says in which another address is typed."""
    return words.gettext(
        "We send a link to the new address. Our letters go there only once somebody opens it there and presses the"
        " button; we tell the old address, where the change can be taken back for 30 days."
    )


def old_address(words: Words, at: Place) -> str:
    """What the page asks at the old address."""
    return words.gettext(
        "Take the change of address back: “{name}” is to come to this address again, and no longer to the other one.",
        name=at.name(words.language),
    )
