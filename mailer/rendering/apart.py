"""Rendering in a process of its own: what it loads (Premailer, lxml, Pillow, 30 MB) is given back when it ends.

A worker renders once an edition and then sends for hours. The process costs half a second.
"""

import enum
import pickle
import subprocess
import sys
from typing import Any

from mailer.program import like_ours
from mailer.rendering.errors import RenderError


class Work(enum.StrEnum):
    """What can be rendered: a module, and the function in it."""

    EDITIONS = "mailer.rendering.html:render_editions"
    AUTOMATIC = "mailer.rendering.automatic:render_automatic"


def apart(work: Work, *values: object, **named: object) -> Any:
    """What the function makes of these values. Raises RenderError with the words of its MailerError.

    The process is out of the terminal's group: Ctrl-C is for its parent, which lets it end.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mailer.rendering"],
            input=pickle.dumps((str(work), values, named)),
            stdout=subprocess.PIPE,
            env=like_ours(),
            process_group=0,
            check=False,
        )
    except OSError as error:
        raise RenderError(f"Rendering could not be started: {error}.") from None
    if done.returncode:
        raise RenderError(f"Rendering ended with status {done.returncode}. What it said stands in the log before this.")
    made, complaint = pickle.loads(done.stdout)  # noqa: S301 (written by our own process)
    if complaint:
        raise RenderError(complaint)
    return made
