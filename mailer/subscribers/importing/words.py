"""What other programs call a reader's state.

Sources: listmonk (status of subscribers and subscriptions), Mailchimp (status in its API; its export has a file for
each), Mailman 3 (delivery status), Ghost, Keila, and this program's own export.
"""

import enum
from collections.abc import Mapping


class Word(enum.IntEnum):
    """What a row says about its reader. Of several words in one row the highest counts."""

    SUBSCRIBED = 1
    PENDING = 2  #: asked for it and never confirmed
    INACTIVE = 3  #: gets no mail there, and did not leave either
    LEFT = 4
    DEAD = 5  #: its mail came back
    BLOCKED = 6  #: complained, or was put on a list of those who get no mail

    @property
    def said(self) -> str:
        return _SAID[self]


_SAID = {
    Word.SUBSCRIBED: "subscribed",
    Word.PENDING: "never confirmed",
    Word.INACTIVE: "gets no mail there",
    Word.LEFT: "left",
    Word.DEAD: "its mail came back",
    Word.BLOCKED: "blocked",
}

STATUSES: Mapping[str, Word] = {
    **dict.fromkeys(("subscribed", "enabled", "active", "confirmed", "opted in", "optin", "member"), Word.SUBSCRIBED),
    **dict.fromkeys(("подписан", "падпісаны", "активен"), Word.SUBSCRIBED),
    **dict.fromkeys(("pending", "unconfirmed", "not confirmed", "unverified", "waiting"), Word.PENDING),
    **dict.fromkeys(("не подтвержден", "не подтверждён", "не пацверджаны"), Word.PENDING),
    **dict.fromkeys(("disabled", "inactive", "nonsubscribed", "non-subscribed", "transactional"), Word.INACTIVE),
    **dict.fromkeys(("by_user", "by_moderator", "archived", "unknown", "nomail"), Word.INACTIVE),
    **dict.fromkeys(("unsubscribed", "left", "opted out", "optout", "removed", "deleted"), Word.LEFT),
    **dict.fromkeys(("отписан", "отписался", "адпісаны", "адпісаўся"), Word.LEFT),
    **dict.fromkeys(("cleaned", "bounced", "unreachable", "by_bounces", "hard bounced", "invalid"), Word.DEAD),
    **dict.fromkeys(
        ("blocklisted", "blacklisted", "blocked", "suppressed", "complained", "abuse", "spam"), Word.BLOCKED
    ),
}

YES = ("true", "yes", "1", "t", "y", "да", "так")
NO = ("false", "no", "0", "f", "n", "нет", "не")
_BLANK = frozenset(
    (
        *("", "null", "(null)", "<null>", "\\n", "none", "nil", "nan", "nat", "undefined"),
        *("n/a", "#n/a", "na", "-", "--", "\N{EN DASH}", "\N{EM DASH}"),
    )
)


def is_blank(cell: str) -> bool:
    """Also where a program says in a word that nothing stands there."""
    return cell.strip().casefold() in _BLANK


def flag(cell: str) -> Word | None:
    """A column such as Ghost's subscribed_to_emails. None: it holds neither yes nor no; blank is how many write no."""
    bare = cell.strip().casefold()
    if bare in YES:
        return Word.SUBSCRIBED
    return Word.LEFT if bare in NO else None


def word(cell: str) -> Word | None:
    """A status in a word. None: not known."""
    return STATUSES.get(cell.strip().casefold())
