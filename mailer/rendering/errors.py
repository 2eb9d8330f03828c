"""What rendering cannot do."""

from mailer.errors import MailerError


class RenderError(MailerError):
    """The mail cannot be made from this issue; the message says what to change in it."""
