"""mailer user: members of staff."""

import sys
from typing import Annotated

import typer

from mailer import staff
from mailer.cli.shared import installation
from mailer.tables import UserRole

commands = typer.Typer(help="Staff accounts.", no_args_is_help=True)


@commands.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What they sign in with.")],
    role: Annotated[UserRole, typer.Option(help="editor or operator.")] = UserRole.OPERATOR,
) -> None:
    """Create an account. The password is asked for, or read from standard input where that is not a terminal."""
    app = installation()
    if sys.stdin.isatty():
        password = typer.prompt("Password (12 characters or more)", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    with app.database.write() as session:
        staff.add_user(session, name, role, password, app.clock())
    print(f"{name} ({role}) can sign in at {app.link_host}/console")


@commands.callback()
def _group() -> None:
    """Keeps `user` a group while it has one command."""
