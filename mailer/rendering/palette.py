"""The colours of mails and pages, light and dark, derived from a publication's one accent.

Contrast is that of WCAG 2.2 §1.4.3: 4.5:1 or better for everything that is read.
"""

import colorsys
from dataclasses import dataclass

LEAST_CONTRAST = 4.5


@dataclass(frozen=True, kw_only=True)
class Palette:
    """One mode. Every colour is "#rrggbb"."""

    paper: str
    ink: str  #: text
    muted: str  #: labels
    hairline: str
    accent: str  #: links, signs, the button
    on_accent: str  #: the button's text


def light(accent: str) -> Palette:
    return _palette("#ffffff", "#1f1d1a", "#66615a", "#dfdad2", accent)


def dark(accent: str) -> Palette:
    return _palette("#171614", "#e9e5dd", "#a8a297", "#3a3732", accent)


def _palette(paper: str, ink: str, muted: str, hairline: str, accent: str) -> Palette:
    seen = readable(accent, on=paper)
    on_accent = max("#ffffff", "#171614", key=lambda text: contrast(text, seen))
    return Palette(paper=paper, ink=ink, muted=muted, hairline=hairline, accent=seen, on_accent=on_accent)


def readable(colour: str, *, on: str) -> str:
    """`colour`, as much lighter or darker as it takes to be read on `on`; the hue and its strength stay."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in _channels(colour)))
    step = 0.01 if _luminance(on) < 0.18 else -0.01
    while contrast(colour, on) < LEAST_CONTRAST and 0 <= lightness + step <= 1:
        lightness += step
        colour = _hex(colorsys.hls_to_rgb(hue, lightness, saturation))
    return colour


def contrast(one: str, other: str) -> float:
    """The contrast ratio, from 1 (the same) to 21 (black on white)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _hex(channels: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
