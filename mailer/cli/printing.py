"""How commands print for programs, and what strangers wrote."""

import json
from typing import Annotated, Any, TextIO

import typer

from mailer.printable import printable

__all__ = ["JsonOption", "print_json", "printable"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def print_json(value: dict[str, Any], file: TextIO | None = None) -> None:
    """As readable as can be; what would steer a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False, default=lambda each: each.isoformat())
    print("".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text), file=file)
