"""What rendering takes and gives: plain data, handed from room to room."""

from collections.abc import Mapping
from dataclasses import dataclass


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
    leave_address: str | None = None  #: where a mail unsubscribes, and
    subscribe_address: str | None = None  #: where one subscribes; None where nobody reads it


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
    by_reply: bool  #: whether a reply is heard
    leave_address: str | None = None  #: where a mail unsubscribes; None where nobody reads it


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
