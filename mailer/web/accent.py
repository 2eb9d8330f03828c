"""A publication's accent colour, made legible on both grounds of the pages (WCAG 2.2 §1.4.3: contrast ≥ 4.5:1)."""

import re

_PAPER = (255, 255, 255)
_NIGHT = (32, 35, 38)  # the lightest dark ground in site.css

_ENOUGH = 4.6

_Colour = tuple[int, int, int]


def stylesheet(colour: str) -> str:
    """The address of the stylesheet for "#rrggbb"."""
    return f"/static/accent-{colour.lstrip('#').lower()}.css"


def content(name: str) -> str | None:
    """What stands at /static/`name`, None where it is not such an address."""
    found = re.fullmatch(r"accent-([0-9a-f]{6})\.css", name)
    if not found:
        return None
    colour = _parse(found[1])
    light, dark = _towards((0, 0, 0), colour, _PAPER), _towards((255, 255, 255), colour, _NIGHT)
    return (
        f":root {{ --accent: {_format(light)}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --accent: {_format(dark)}; }} }}\n"
    )


def _towards(end: _Colour, colour: _Colour, ground: _Colour) -> _Colour:
    """The first colour on the way from `colour` to `end` that can be read on `ground`."""
    steps = (_mix(colour, end, step / 20) for step in range(21))
    return next(each for each in steps if contrast(each, ground) >= _ENOUGH)


def contrast(one: _Colour, other: _Colour) -> float:
    """From 1 to 21 (WCAG 2.2, "contrast ratio")."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: _Colour) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _mix(one: _Colour, other: _Colour, share: float) -> _Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _parse(digits: str) -> _Colour:
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _format(colour: _Colour) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour)
