"""mailer bounce: what a mail that came back means."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mailer.cli.printing import JsonOption, print_json, printable
from mailer.errors import MailerError
from mailer.inbound.incoming import Incoming, Recipient
from mailer.inbound.reading import read

commands = typer.Typer(help="Bounces, complaints and automatic replies.", no_args_is_help=True)

FILE_OCTETS = 50_000_000
"""More of a file is not read."""


@commands.command("classify")
def classify(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Message files; - is standard input.")],
    as_json: JsonOption = False,
) -> None:
    """Say what each message means. Needs no settings and no database, and changes nothing."""
    unread = []
    for name in files:
        try:
            incoming = read(_octets(name))
        except OSError as error:
            unread.append(f"{name}: {error.strerror or error}")
            continue
        if as_json:
            print_json(_object(name, incoming))
        else:
            _show(name, incoming)
    if unread:
        raise MailerError("Not read, give files with one message each:\n  " + "\n  ".join(unread))


def _octets(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(FILE_OCTETS)
    with Path(name).open("rb") as file:
        return file.read(FILE_OCTETS)


def _object(name: str, incoming: Incoming) -> dict[str, Any]:
    return {
        "file": name.encode("utf-8", "replace").decode(),  # a name may be no UTF-8
        "kind": incoming.kind,
        "recipients": [_recipient(recipient, incoming) for recipient in incoming.recipients],
    }


def _recipient(recipient: Recipient, incoming: Incoming) -> dict[str, Any]:
    told: dict[str, Any] = {
        "address": recipient.address,
        "permanent": recipient.permanent,
        "category": recipient.category,
        "status": recipient.status,
        "diagnostic": recipient.diagnostic,
    }
    if incoming.feedback:
        told["feedback"] = incoming.feedback
    return told


def _show(name: str, incoming: Incoming) -> None:
    print(printable(f"{Path(name).name}: {incoming.kind}"))
    for each in incoming.recipients:
        words = (
            each.address,
            incoming.feedback or each.category,
            "permanent" if each.permanent else "",
            each.status or "",
        )
        print(printable("  " + "  ".join(filter(None, words))))
        if each.diagnostic:
            print(printable("    " + each.diagnostic[:200]))
