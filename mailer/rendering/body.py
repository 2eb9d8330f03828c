"""What rendering takes and gives: plain data, handed from room to room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from mailer import links
from mailer.links import Command


@dataclass(frozen=True, kw_only=True)
class Letterhead:
    """What a publication puts on each of its mails."""

    names: Mapping[str, str]  #: language -> name of the publication
    contact_address: str  #: the editors'
    postal_address: Mapping[str, str]  #: language -> address
    accent: str  #: "#rrggbb"


@dataclass(frozen=True, kw_only=True)
class Links:
    """Ready-made URLs; may contain slot markers, so rendering never alters them."""

    view: Mapping[str, str]  #: language -> the issue on the web; does not identify the reader; none of a private one
    archive: Mapping[str, str]  #: none where nothing is shown on the web
    preferences: str
    unsubscribe: str
    leave_address: str | None = None  #: where a mail unsubscribes,
    subscribe_address: str | None = None  #: where one subscribes,
    ways_address: str | None = None  #: and where one brings the other addresses; None where nobody reads it


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What stands in the addresses by which a mail is answered, or the slot markers for it."""

    mail_domain: str
    unsubscribe: str
    preferences: str
    act: str  #: of what the mail asks for

    def leave(self) -> str:
        return links.by_mail(Command.LEAVE, self.unsubscribe, self.mail_domain)

    def change(self, command: Command, what: str | int = "") -> str:
        """One of those behind the preferences."""
        return links.by_mail(command, self.preferences, self.mail_domain, what)

    def answer(self, command: Command) -> str:
        return links.by_mail(command, self.act, self.mail_domain)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a reader stands with a publication, and what can be chosen there by mail."""

    read: Sequence[str] = ()  #: labels of editions
    add: Mapping[str, str] = field(default_factory=dict)  #: code -> label, of those that are offered and not read
    drop: Mapping[str, str] = field(default_factory=dict)  #: likewise, where more than one is read
    languages: Sequence[str] = ()  #: others than that of letters
    pauses: Sequence[int] = ()  #: weeks
    paused_until: date | None = None
    may_undo: bool = False  #: leaving can be taken back


@dataclass(frozen=True, kw_only=True)
class About:
    """What an automatic mail is about. Addresses may hold slot markers."""

    names: Mapping[str, str]  #: language -> name of the publication
    edition: str  #: its label
    act: str  #: link of the button, where a mail asks for something
    preferences: str  #: link
    unsubscribe: str  #: link
    front: str  #: link
    archive: str | None  #: link; None where nothing is shown on the web
    valid_hours: int  #: of the button's link
    by_mail: Tokens | None = None  #: None where nobody reads what readers write
    choices: Choices | None = None  #: of a reader, where the mail says how they stand


@dataclass(frozen=True, kw_only=True)
class Inline:
    """A picture inside the mail (RFC 2392)."""

    cid: str
    media_type: str
    content: bytes
    filename: str


@dataclass(frozen=True, kw_only=True)
class Body:
    """One mail's content in its two forms, from the same source."""

    subject: str
    html: str
    text: str
    inlines: tuple[Inline, ...] = ()
