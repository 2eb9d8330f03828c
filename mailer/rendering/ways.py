"""What a reader can do by mail, in the words that letters offer it with: whoever writes has agreed to these."""

from mailer.rendering.words import Words


def introduction(words: Words) -> str:
    """What stands above them."""
    return words.gettext("If our site does not open, an empty letter does the same:")


def pause(words: Words, weeks: int) -> str:
    return words.ngettext("Pause for {count} week", "Pause for {count} weeks", weeks)


def resume(words: Words) -> str:
    return words.gettext("End the pause")


def add(words: Words, edition: str) -> str:
    """`edition`: its label, as below."""
    return words.gettext("Also send me the edition {edition}", edition=edition)


def drop(words: Words, edition: str) -> str:
    return words.gettext("No longer send me the edition {edition}", edition=edition)


def speak(words: Words) -> str:
    """In the language that is to be written."""
    return words.gettext("Pages and letters in {language}", language=words.name)


def undo(words: Words) -> str:
    return words.gettext("Undo: keep me subscribed")


def new_address(words: Words) -> str:
    return words.gettext("Read at another address: write from that address")


def take_back(words: Words) -> str:
    return words.gettext("Take the change back")


def leave(words: Words) -> str:
    return words.gettext("Unsubscribe")


def everything_else(words: Words) -> str:
    """The address that brings the other addresses."""
    return words.gettext("Everything else by mail")


def my_data(words: Words) -> str:
    return words.gettext("See or erase what you hold about me")


def data(words: Words) -> str:
    return words.gettext("Send me all of it as a file")


def erase(words: Words) -> str:
    return words.gettext("Erase all of it, at once and for good")
