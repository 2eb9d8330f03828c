"""What becomes of each row. Nothing here reads or writes the database: a dry run and a real one decide alike.

Whoever left, was suppressed or was erased here is not brought back by any file.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from mailer.subscribers.address import Address
from mailer.subscribers.importing.words import Word
from mailer.subscribers.states import SubscriptionStatus
from mailer.subscribers.suppression import LIFTED_BY_CONFIRMING
from mailer.tables import SuppressionReason


class As(enum.StrEnum):
    """As what a file is brought in."""

    CONFIRMED = "confirmed"  #: its readers read us at once; there is evidence of their consent
    PENDING = "pending"  #: each gets a mail and is asked to confirm
    SUPPRESSED = "suppressed"  #: its addresses get no mail
    OWN = "own"  #: an export of our own, to the states that it tells, without any mail


class Fate(enum.StrEnum):
    """What became of a row, or would."""

    ADDED = "added"  #: reads the edition from now on
    ASKED = "asked"  #: gets a mail and is asked to confirm
    WAITING = "waiting"  #: pending as in the export it comes from; no mail
    LEFT = "left"  #: the file says that the reader left; recorded
    SUPPRESSED = "suppressed"  #: gets no mail from now on
    PRESENT = "present"  #: is so already
    REPEATED = "repeated"  #: the file says it in an earlier line
    KEPT_OUT = "kept-out"  #: left, was suppressed or was erased here
    SKIPPED = "skipped"  #: the file does not say that this reader is to be brought in
    INVALID = "invalid"  #: no address, or no row


class Act(enum.Enum):
    """What a row asks for."""

    ADD = enum.auto()
    ASK = enum.auto()
    WAIT = enum.auto()
    LEAVE = enum.auto()
    SUPPRESS = enum.auto()  #: on the list
    END = enum.auto()  #: the subscription is suppressed; the list itself comes from another file
    SKIP = enum.auto()


_LEAVING = {Word.LEFT: Act.LEAVE, Word.DEAD: Act.SUPPRESS, Word.BLOCKED: Act.SUPPRESS, Word.INACTIVE: Act.SKIP}

ACTS: Mapping[As, Mapping[Word, Act]] = {
    As.CONFIRMED: {Word.SUBSCRIBED: Act.ADD, Word.PENDING: Act.SKIP, **_LEAVING},
    As.PENDING: {Word.SUBSCRIBED: Act.ASK, Word.PENDING: Act.ASK, **_LEAVING},
    As.SUPPRESSED: dict.fromkeys(Word, Act.SUPPRESS),
    As.OWN: {
        Word.SUBSCRIBED: Act.ADD,
        Word.PENDING: Act.WAIT,
        Word.LEFT: Act.LEAVE,
        Word.BLOCKED: Act.END,
        Word.DEAD: Act.END,
        Word.INACTIVE: Act.SKIP,
    },
}


class Item(NamedTuple):
    """A row that was understood."""

    line: int
    shown: str  #: the address for the report
    address: Address | None  #: None: only its hash is known, of one that was erased
    hash: str
    act: Act
    edition_id: int  #: 0 for an act that is not about an edition
    language: str
    evidence: str
    network: str
    reason: SuppressionReason
    note: str
    paused_until: datetime | None = None  #: no issue before then
    publication_id: int | None = None  #: that a suppression holds for; None: every one

    @property
    def about(self) -> int:
        """What a file speaks of once for each address: an edition; a publication's list, below 0; the list, 0."""
        return self.edition_id or -(self.publication_id or 0)


class Fated(NamedTuple):
    """A line of the report."""

    line: int
    address: str
    fate: Fate
    reason: str


@dataclass
class Held:
    """A subscription as it stands, with what this file has done to it so far."""

    status: SubscriptionStatus
    id: int | None = None  #: None: not in the database yet
    by_reader: bool = False  #: confirmed here by the reader's own act
    left: bool = False  #: pending because somebody asked in the form after the reader had left


@dataclass
class Standing:
    """An address as it stands in one publication, with what this file has done to it so far."""

    subscriber_id: int | None = None
    held: dict[int, Held] = field(default_factory=dict)  #: by edition
    listed: SuppressionReason | None = None  #: for every publication
    listed_for: dict[int, SuppressionReason] = field(default_factory=dict)  #: for one alone: its id -> why
    lines: dict[int, int] = field(default_factory=dict)  #: Item.about -> the line that spoke of it

    def suppress(self, reason: SuppressionReason, publication_id: int | None = None) -> None:
        if publication_id is not None:
            self.listed_for[publication_id] = reason
            return
        self.listed = reason
        for held in self.held.values():
            held.status = SubscriptionStatus.SUPPRESSED

    @property
    def held_back(self) -> SuppressionReason | None:
        """Why it gets no mail of the publication that readers are brought into."""
        return self.listed or next(iter(self.listed_for.values()), None)

    def listed_as(self, publication_id: int | None) -> SuppressionReason | None:
        """The stronger of the reasons why it gets no mail of this publication, of none: of any."""
        alone = self.listed_for.get(publication_id) if publication_id is not None else None
        return alone if self.listed is None or (alone and self.listed in LIFTED_BY_CONFIRMING) else self.listed


_STATUS = {
    Act.ADD: (SubscriptionStatus.CONFIRMED, Fate.ADDED),
    Act.ASK: (SubscriptionStatus.PENDING, Fate.ASKED),
    Act.WAIT: (SubscriptionStatus.PENDING, Fate.WAITING),
    Act.LEAVE: (SubscriptionStatus.UNSUBSCRIBED, Fate.LEFT),
    Act.END: (SubscriptionStatus.SUPPRESSED, Fate.SUPPRESSED),
}
_JOINING = frozenset({Act.ADD, Act.ASK, Act.WAIT})
_OUT = frozenset({SubscriptionStatus.UNSUBSCRIBED, SubscriptionStatus.SUPPRESSED})

_LISTED = {
    SuppressionReason.BOUNCE: "its mail came back",
    SuppressionReason.COMPLAINT: "it complained",
    SuppressionReason.OPERATOR: "it is on the suppression list",
    SuppressionReason.ERASED: "it was erased, and is to get no mail",
    SuppressionReason.UNREACHABLE: "its mail came back for too long",
}

_LEFT = "the reader left here"
_ELSEWHERE = "the reader confirmed here; what the file says was elsewhere"


def decide(standing: Standing, item: Item, how: As) -> Fated:
    """The fate of a row. Where it is one that changes something, `standing` is as it will be afterwards."""
    own = how is As.OWN  # each line speaks for its edition alone
    before = standing.lines.get(item.about)
    held = standing.held.get(item.edition_id)
    counts = item.act is Act.LEAVE and (held is None or held.status not in _OUT)
    if before is not None and not counts and not _strengthens(standing, item, how):
        return _fated(item, Fate.REPEATED, f"as line {before}")
    standing.lines.setdefault(item.about, item.line)
    if item.act is Act.SUPPRESS:
        return _suppressed(standing, item, how)
    if item.act in _JOINING and (listed := standing.held_back):
        return _fated(item, Fate.KEPT_OUT, _LISTED[listed])
    if item.act in _JOINING and (out := _out(standing, held, item.act, own)):
        return _fated(item, Fate.KEPT_OUT, out)
    return _moved(standing, held, item, own)


def _strengthens(standing: Standing, item: Item, how: As) -> bool:
    """Whether a confirmation would lift what it is listed for, and not what this list says."""
    is_for_good = how is As.SUPPRESSED and item.reason not in LIFTED_BY_CONFIRMING
    return is_for_good and standing.listed_as(item.publication_id) in LIFTED_BY_CONFIRMING


def _suppressed(standing: Standing, item: Item, how: As) -> Fated:
    listed = standing.listed_as(item.publication_id)
    if listed and not _strengthens(standing, item, how):
        return _fated(item, Fate.PRESENT, _LISTED[listed])
    if how is not As.SUPPRESSED and any(held.by_reader for held in standing.held.values()):
        return _fated(item, Fate.PRESENT, _ELSEWHERE)
    standing.suppress(item.reason, item.publication_id)
    return _fated(item, Fate.SUPPRESSED, item.note)


def _out(standing: Standing, held: Held | None, act: Act, own: bool) -> str:
    looked_at = [held] if own and held else [] if own else standing.held.values()
    statuses = {each.status for each in looked_at}
    left = act is not Act.WAIT and any(each.left for each in looked_at)  # who waits already may go on waiting
    if SubscriptionStatus.UNSUBSCRIBED in statuses or left:
        return _LEFT
    if SubscriptionStatus.SUPPRESSED in statuses:
        return "it was suppressed here; only the reader can come back"
    return ""


def _moved(standing: Standing, held: Held | None, item: Item, own: bool) -> Fated:
    status, fate = _STATUS[item.act]
    if held is None:
        if item.act is Act.LEAVE and not own and (listed := standing.held_back):
            return _fated(item, Fate.PRESENT, _LISTED[listed])
        standing.held[item.edition_id] = Held(status)
        return _fated(item, fate, "")
    if held.status is status or (item.act in _JOINING and held.status is SubscriptionStatus.CONFIRMED):
        return _fated(item, Fate.PRESENT, f"is {held.status} here")
    if item.act is Act.END and (held.left or held.status is SubscriptionStatus.UNSUBSCRIBED):
        return _fated(item, Fate.PRESENT, _LEFT)  # an opt-out stays one
    if item.act in (Act.LEAVE, Act.END) and held.by_reader:
        return _fated(item, Fate.PRESENT, _ELSEWHERE)
    if item.act is Act.LEAVE and held.status is SubscriptionStatus.SUPPRESSED:
        return _fated(item, Fate.PRESENT, "is suppressed here")
    reason = f"was {held.status} here"
    held.status = status
    return _fated(item, fate, reason)


def _fated(item: Item, fate: Fate, reason: str) -> Fated:
    return Fated(item.line, item.shown, fate, reason)
