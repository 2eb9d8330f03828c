"""Automatic replies (RFC 3834): they are never answered, and confirm or unsubscribe nobody."""

from collections.abc import Mapping

from mailer.inbound import wording

#: A field, and what its value begins with where it marks an automatic reply.
_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("auto-submitted", ("auto-",)),
    ("x-autoreply", ("",)),
    ("x-autorespond", ("",)),
    ("x-autoresponder", ("",)),
    ("x-auto-response-suppress", ("all", "oof", "autoreply", "dr")),
    ("x-mail-autoreply", ("",)),
    ("x-facebook-notify", ("",)),
    ("precedence", ("auto_reply", "auto-reply", "autoreply")),
    ("x-precedence", ("auto_reply", "auto-reply", "autoreply")),
    ("delivered-to", ("autoresponder",)),
    ("x-cron-env", ("",)),
)


def is_automatic(fields: Mapping[str, str]) -> bool:
    """Whether a mail with these fields was sent by a program for somebody who is away or busy."""
    if any(fields[name].strip().lower().startswith(values) for name, values in _MARKS if name in fields):
        return True
    return named_automatic(fields)


def named_automatic(fields: Mapping[str, str]) -> bool:
    """Whether the subject alone says so."""
    return wording.AUTOMATIC.search(fields.get("subject", "")) is not None
