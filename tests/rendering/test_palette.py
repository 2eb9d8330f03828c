"""What is read can be read, in both modes, whatever accent a publication chooses."""

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.rendering.palette import LEAST_CONTRAST, Palette, contrast, dark, light

colours = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@given(colours)
def test_every_colour_that_is_read_has_contrast_enough(accent: str) -> None:
    for palette in (light(accent), dark(accent)):
        for text in (palette.ink, palette.muted, palette.accent):
            assert contrast(text, palette.paper) >= LEAST_CONTRAST
        assert contrast(palette.on_accent, palette.accent) >= LEAST_CONTRAST


@given(colours)
def test_colours_are_well_formed(accent: str) -> None:
    for colour in (*astuple(light(accent)), *astuple(dark(accent))):
        assert len(colour) == 7
        assert int(colour[1:], 16) >= 0


def test_an_accent_that_can_be_read_is_left_alone() -> None:
    assert light("#8a1c1c").accent == "#8a1c1c"
    assert isinstance(dark("#8a1c1c"), Palette)
    assert dark("#8a1c1c").accent != "#8a1c1c"
