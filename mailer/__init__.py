"""mailer: every reader gets every issue in their language, once, and it can be proved."""

__version__ = "0.1.0"
