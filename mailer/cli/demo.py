"""mailer demo: the whole road, embedded."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mailer.cli.printing import JsonOption, print_json
from mailer.cli.shared import run_loop, start_logging
from mailer.demo.road import Result, walk
from mailer.demo.stage import Stage, stage
from mailer.issues.folder import read_folder
from mailer.resources import resource

EXAMPLE = "2026-11-16"


def run(
    readers: Annotated[int, typer.Option(min=1, max=20_000, help="How many readers subscribe.")] = 300,
    issue: Annotated[Path | None, typer.Option(help="An issue's folder; the example otherwise.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when the issue is sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Subscribe a crowd, send an issue, count what arrived. Nothing leaves this machine."""
    folder = issue or resource("templates") / "example" / EXAMPLE
    read_folder(folder)  # its mistakes are told before anything is built
    start_logging("warning")
    result = run_loop(_run(readers, folder, once, as_json))
    if as_json:
        print_json(asdict(result))
    if not result.is_good:
        sys.exit(1)


async def _run(readers: int, folder: Path, once: bool, as_json: bool) -> Result:
    console = Console(stderr=as_json)
    bars = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="mailer-demo-") as temporary:
        async with stage(Path(temporary)) as built:
            with Progress(*bars, console=console) as progress:
                result = await walk(built, readers, folder, progress)
            console.print(_told(result))
            if not once:
                console.print(_where_to_look(built))
                await _until_interrupted()
    return result


def _told(result: Result) -> str:
    silent = result.readers - result.confirmed
    return (
        f"{result.readers} readers filled in the form, {result.confirmed} confirmed,"
        f" {silent} never pressed the button and get nothing more.\n"
        f"{result.accepted} have the issue in their mailbox, {result.refused} mailboxes had been closed"
        f" and said so, {result.unsubscribed} left by one click.\n"
        f"Lost: {result.lost}. Mailed twice: {result.duplicates}. ({result.seconds} s)"
    )


def _where_to_look(built: Stage) -> str:
    return (
        f"\nOpen   {built.front}/{built.publication.slug}/en   the publication's page: read, subscribe yourself\n"
        f"       {built.mail}   the mail that was caught: confirm, read, leave\n"
        f"       {built.front}/console   the send log (name demo, password {built.password})\n"
        "Ctrl-C ends it; nothing is kept."
    )


async def _until_interrupted() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
