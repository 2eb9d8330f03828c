"""The command line: one Typer application, a module a subject. What goes wrong is one message and exit status 1.

Only the module of the command that was typed is loaded: what needs no database starts without one.
"""

import sys
from importlib import import_module

import typer

from mailer.errors import MailerError

#: What is typed, and the function or the group of commands behind it.
COMMANDS = {
    "init": "mailer.cli.setup:init",
    "migrate": "mailer.cli.setup:migrate",
    "serve": "mailer.cli.serve:serve",
    "worker": "mailer.cli.worker:worker",
    "log": "mailer.cli.log:show",
    "demo": "mailer.cli.demo:run",
    "issue": "mailer.cli.issue:commands",
    "bounce": "mailer.cli.bounce:commands",
    "inbound": "mailer.cli.inbound:commands",
    "subscribers": "mailer.cli.subscribers:commands",
    "stats": "mailer.cli.stats:show",
    "suppression": "mailer.cli.suppression:commands",
    "consent": "mailer.cli.consent:commands",
    "retention": "mailer.cli.retention:show",
    "dkim": "mailer.cli.dkim:commands",
    "user": "mailer.cli.user:commands",
}


def application(typed: str | None = None) -> typer.Typer:
    """The application with all commands, or with the one that was typed."""
    built = typer.Typer(
        name="mailer",
        help="Newsletter delivery in several languages: every reader gets every issue, once, and it can be proved.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    built.callback()(_always_a_group)
    for name in [typed] if typed in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            built.add_typer(command, name=name)
        else:
            built.command(name)(command)
    return built


def _always_a_group() -> None:
    """Makes Typer expect a command's name where there is one command only."""


def main() -> None:
    """Runs the command that was typed."""
    try:
        application(sys.argv[1] if len(sys.argv) > 1 else None)()
    except MailerError as error:
        print(f"mailer: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # mailer log | head
        sys.stderr.close()
        sys.exit(0)
