"""What every room's errors have in common."""


class MailerError(Exception):
    """Something a person can act on: `str()` is one message that says what happened, where, and what to type.

    The edges (command line, pages) show it without a traceback. Each room raises subclasses of its own.
    """
