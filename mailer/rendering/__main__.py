"""The process that mailer.rendering.apart starts: work from stdin, what was made of it to stdout."""

import pickle
import sys
from importlib import import_module

from mailer.errors import MailerError

if __name__ == "__main__":
    work, values, named = pickle.load(sys.stdin.buffer)  # noqa: S301 (written by our own process)
    module, _, function = work.partition(":")
    made, complaint = None, ""
    try:
        made = getattr(import_module(module), function)(*values, **named)
    except MailerError as error:
        complaint = str(error)
    sys.stdout.buffer.write(pickle.dumps((made, complaint)))
