"""Cells that a spreadsheet would run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.subscribers.formulas import safe, undone


@given(st.text("'=+-@\t\r\na,\" ", max_size=8) | st.text(max_size=8))
def test_a_cell_is_harmless_and_comes_back_as_it_was(cell: str) -> None:
    written = safe(cell)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert undone(written) == cell


@pytest.mark.parametrize("cell", ["", "anna@example.org", "it's", "'quoted'"])
def test_an_ordinary_cell_is_left_alone(cell: str) -> None:
    assert safe(cell) == undone(cell) == cell
