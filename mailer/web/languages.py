"""Which language to speak to somebody who has not said so by the address of the page."""

from collections.abc import Sequence

from mailer.issues.languages import available

FALLBACK = "en"


def accepted(header: str, offered: Sequence[str] | None = None) -> str:
    """The one of `offered`, or of all that we speak, that Accept-Language wants most: by its primary subtag.

    RFC 9110 §12.5.4.
    """
    offered = offered or available()
    wanted = sorted((_range(part) for part in header[:1000].split(",")), key=lambda each: -each[0])
    for quality, language in wanted:
        if quality > 0 and language in offered:
            return language
    return FALLBACK if FALLBACK in offered else offered[0]


def of_path(path: str) -> str | None:
    """The language that the path /{publication}/{language}/… names, if we speak it."""
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and parts[2] in available() else None


def _range(part: str) -> tuple[float, str]:
    tag, _, weight = part.partition(";")
    try:
        quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
    except ValueError:
        quality = 0.0
    return quality, tag.strip().lower().partition("-")[0]
