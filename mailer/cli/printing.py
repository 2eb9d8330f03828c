"""How commands print for programs, and what strangers wrote."""

import json
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, default=lambda each: each.isoformat()))


def printable(text: str) -> str:
    """Without what would steer the terminal: strangers wrote it."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
