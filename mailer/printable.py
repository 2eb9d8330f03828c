"""What strangers wrote, for terminals and logs."""

import traceback


def printable(text: str) -> str:
    """Without what would steer the terminal, or begin a line of its own in a log."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def where(error: BaseException) -> str:
    """The kind of an error and where it came from, without its words: they may repeat a mail, or name a reader."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + ", ".join(f"{each.filename}:{each.lineno}" for each in frames[-6:])
