"""Cells that a spreadsheet would run as a formula, made harmless, and made again what they were.

A cell that begins with = + - @ or a control character is written with an apostrophe before it, which spreadsheets take
for "this is text". One that has apostrophes there already gets one more: `undone(safe(cell))` is always `cell`.
"""

import re

_DANGEROUS = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def safe(cell: str) -> str:
    return f"'{cell}" if _DANGEROUS.match(cell) else cell


def undone(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _DANGEROUS.match(cell) else cell
