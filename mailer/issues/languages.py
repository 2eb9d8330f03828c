"""Which languages there are: those that have a catalogue of translated words. A new one is one new file."""

import functools
from pathlib import Path

from mailer.resources import resource


def catalogue(language: str) -> Path:
    """The file with the language's words."""
    return resource("templates") / "words" / f"{language}.po"


@functools.cache
def available() -> tuple[str, ...]:
    """The codes, sorted: ("be", "en", "ru")."""
    return tuple(sorted(path.stem for path in catalogue("*").parent.glob("*.po")))
