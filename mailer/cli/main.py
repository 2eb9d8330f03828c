"""The command line: one Typer application, a module a subject. What goes wrong is one message and exit status 1."""

import sys

import typer

from mailer.cli import demo, dkim, issue, log, run, setup, user
from mailer.errors import MailerError

application = typer.Typer(
    name="mailer",
    help="Newsletter delivery in several languages: every reader gets every issue, once, and it can be proved.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
application.command("init")(setup.init)
application.command("migrate")(setup.migrate)
application.command("serve")(run.serve)
application.command("worker")(run.worker)
application.command("log")(log.show)
application.command("demo")(demo.run)
application.add_typer(issue.commands, name="issue")
application.add_typer(dkim.commands, name="dkim")
application.add_typer(user.commands, name="user")


def main() -> None:
    """Runs the command that was typed."""
    try:
        application()
    except MailerError as error:
        print(f"mailer: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # mailer log | head
        sys.stderr.close()
        sys.exit(0)
