"""From a file to the database: some rows at a time, each group in a transaction of its own.

Killed in the middle and started again it goes on: who was brought in is met as present, and nothing is done twice.
Between two transactions the next rows are read and checked, so that whoever else writes finds room.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from functools import cached_property
from itertools import islice

from sqlalchemy.exc import IntegrityError

from mailer.clock import Clock
from mailer.database import Database
from mailer.subscribers import network
from mailer.subscribers.address import Address, AddressError, hash, parse
from mailer.subscribers.importing import writing
from mailer.subscribers.importing.columns import SEVERAL, Columns, Role, cell, mailbox
from mailer.subscribers.importing.dates import happened
from mailer.subscribers.importing.fates import ACTS, Act, As, Fate, Fated, Item, decide
from mailer.subscribers.importing.memory import Memory
from mailer.subscribers.importing.table import Row, Table
from mailer.subscribers.importing.words import Word, flag, is_blank, word
from mailer.subscribers.importing.writing import Hand
from mailer.tables import Edition, SuppressionReason

BATCH = 500
"""Rows in one transaction, which then lasts some hundredths of a second."""

LONGEST = 2_000
"""Characters of evidence."""


@dataclass(frozen=True, kw_only=True)
class How:
    """What the operator said."""

    mode: As
    publication_id: int | None  #: None: all, for suppressed addresses
    publication: str = ""  #: slug
    publications: Mapping[str, int] = field(default_factory=dict)  #: slug -> id, of those that a list may name
    editions: Sequence[Edition] = ()
    edition: Edition | None = None  #: for rows that name none
    named: Mapping[str, Edition] = field(default_factory=dict)  #: words for editions in this file
    evidence: str = ""
    note: str = ""
    key: str = ""  #: of the addresses' hashes

    @cached_property
    def known(self) -> Mapping[str, Edition]:
        """Editions by what a file may call them, in lower case: a code, a label, a language that only one has."""
        found = dict[str, Edition]()
        languages = Counter(language for each in self.editions for language in each.languages)
        for each in self.editions:
            alone = [language for language in each.languages if languages[language] == 1 and len(each.languages) == 1]
            for name in (*alone, each.label, each.code):
                found[name.casefold()] = each
        return {**found, **{name.casefold(): edition for name, edition in self.named.items()}}


class Import:
    """One file on its way in. Iterating it brings rows in and says their fates."""

    def __init__(
        self,
        table: Table,
        columns: Columns,
        how: How,
        database: Database,
        clock: Clock,
        hand: Hand | None,
    ) -> None:
        """`hand`: None for a dry run, which changes nothing."""
        self._columns, self._how, self._hand = columns, how, hand
        self._database, self._clock = database, clock
        self._table = table
        self.counts = Counter[Fate]()
        self.octets = 0

    def __iter__(self) -> Iterator[list[Fated]]:
        """The fates of some rows at a time, once what they call for is committed. Raises TableError, DatabaseError."""
        memory = Memory()
        try:
            with self._table.rows() as rows:
                following = iter(rows)
                while some := list(islice(following, BATCH)):
                    fates = self._bring_in(some, memory)
                    self.counts.update(fated.fate for fated in fates)
                    self.octets = rows.octets
                    yield fates
        finally:
            memory.close()

    def _bring_in(self, rows: Sequence[Row], memory: Memory) -> list[Fated]:
        read = [self._item(row) for row in rows]
        items = [each for each in read if isinstance(each, Item)]
        for last in (False, False, True):
            try:
                decided = self._transact(items, memory)
            except IntegrityError:  # an address subscribed between our look and our writing
                if last:
                    raise
            else:
                break
        fates = iter(decided)
        return [next(fates) if isinstance(each, Item) else each for each in read]

    def _transact(self, items: Sequence[Item], memory: Memory) -> list[Fated]:
        if not items:
            return []
        hand, how = self._hand, self._how
        with self._database.write() if hand else self._database.read() as session:
            standings = writing.standings(session, items, how.publication_id, how.mode, lock=hand is not None)
            before = {
                held.id: held.status
                for each in standings.values()
                for held in each.held.values()
                if held.id is not None
            }
            memory.recall(standings)
            fates = [decide(standings[item.hash], item, how.mode) for item in items]
            changes = [
                (item, fated.fate) for item, fated in zip(items, fates, strict=True) if fated.fate in writing.CHANGING
            ]
            if hand and changes:
                writing.write(session, changes, standings, before, hand, self._clock())
        memory.keep(standings)
        return fates

    # Rows

    def _item(self, row: Row) -> Item | Fated:
        """What a row asks for, or its fate where that is clear from the row alone."""
        if row.problem:
            return Fated(row.line, "", Fate.INVALID, row.problem)
        how, columns = self._how, self._columns
        typed = self._cell(row, Role.ADDRESS)
        hashed = self._cell(row, Role.HASH)
        address: Address | None = None
        if typed or not (how.mode is As.SUPPRESSED and _is_hash(hashed)):
            try:
                address = parse(mailbox(typed))
            except AddressError as error:
                width = len(self._table.header)
                ragged = (
                    f" The row has {len(row.cells)} cells, the first one has {width}."
                    if len(row.cells) != width
                    else ""
                )
                return Fated(
                    row.line, typed[:200], Fate.INVALID, f"{error}{ragged}" if typed else "there is no address"
                )
        shown = address.text if address else ""
        said = Word.SUBSCRIBED if how.mode is As.SUPPRESSED else _word(row, columns, self._table.header)
        if isinstance(said, str):
            return Fated(row.line, shown, Fate.SKIPPED, said)
        act = ACTS[how.mode][said]
        if act is Act.SKIP:
            return Fated(row.line, shown, Fate.SKIPPED, f"the file says: {said.said}")
        publication = self._cell(row, Role.PUBLICATION)
        if how.mode is As.OWN and publication not in ("", how.publication):
            return Fated(row.line, shown, Fate.SKIPPED, f"it is of the publication {publication[:50]!r}")
        edition = self._edition(row)
        if act is Act.SUPPRESS:
            edition = None
        elif edition is None:
            named = self._cell(row, Role.EDITION)
            return Fated(
                row.line, shown, Fate.SKIPPED, f"there is no edition {named[:50]!r}" if named else "it names no edition"
            )
        return Item(
            line=row.line,
            shown=shown,
            address=address,
            hash=hash(address, how.key) if address else hashed,
            act=act,
            edition_id=(edition.id or 0) if edition else 0,
            language=_language(self._cell(row, Role.LANGUAGE), edition),
            evidence=self._evidence(row, act),
            network=network.truncated(came_from.partition("/")[0])
            if (came_from := self._cell(row, Role.NETWORK))
            else "",
            reason=_reason(self._cell(row, Role.REASON), said),
            note=self._note(row, said),
            paused_until=_moment(self._cell(row, Role.PAUSED)) if how.mode is As.OWN else None,
            publication_id=how.publications.get(publication) if how.mode is As.SUPPRESSED else None,
        )

    def _cell(self, row: Row, role: Role) -> str:
        places = self._columns.get(role)
        return cell(row, places[0]) if places else ""

    def _edition(self, row: Row) -> Edition | None:
        named = self._cell(row, Role.EDITION)
        return self._how.known.get(named.casefold()) if named else self._how.edition

    def _evidence(self, row: Row, act: Act) -> str:
        """Of a consent: who left elsewhere brings none."""
        since = self._cell(row, Role.SINCE)
        words = self._cell(row, Role.EVIDENCE)[:LONGEST] or self._how.evidence
        if self._how.mode is As.OWN:
            return words
        if act is Act.LEAVE:
            return ""
        return f"{words} (the file says: since {since[:50]})".strip() if since else words

    def _note(self, row: Row, said: Word) -> str:
        if self._how.mode is As.SUPPRESSED:
            note = self._cell(row, Role.NOTE) if Role.NOTE in self._columns else self._how.note
            named = self._cell(row, Role.PUBLICATION)
            if named and named not in self._how.publications:  # rather for all than for none
                note = f"{note} (for the publication {named[:50]!r}, which is not here)".strip()
            return note
        return f"the file says: {said.said}" if said > Word.INACTIVE and self._how.mode is not As.OWN else ""


def _word(row: Row, columns: Columns, header: Sequence[str]) -> Word | str:
    """The strongest thing that a row says of its reader, or why that is not clear. Who left did so whatever else is
    unclear."""
    width = len(header)
    said = Word.SUBSCRIBED
    places = [place for role in SEVERAL for place in columns.get(role, ())]
    cells = len(row.cells)
    while cells > width and not row.cells[cells - 1].strip():
        cells -= 1
    if places and (cells <= max(places) or cells > width):
        return f"it has {cells} cells, the first row {width}: its status may stand in any of them"
    unclear = ""
    for role, meant in ((Role.LEFT, Word.LEFT), (Role.DEAD, Word.DEAD)):
        for place in columns.get(role, ()):
            did = happened(cell(row, place))
            if did is None:
                unclear = unclear or (
                    f"{header[place][:50]!r} is {cell(row, place)[:50]!r}, which is neither a date nor yes nor no"
                )
            elif did:
                said = max(said, meant)
    words = [cell(row, place) for role in (Role.STATUS, Role.RECEIVES) for place in columns.get(role, ())]
    is_told = any(not is_blank(each) for each in words)
    for role, read in ((Role.STATUS, word), (Role.RECEIVES, flag)):
        for place in columns.get(role, ()):
            found = read(cell(row, place))
            if found is not None:
                said = max(said, found)
            elif not is_blank(cell(row, place)):
                unclear = unclear or f"its status {cell(row, place)[:50]!r} is not known"
            elif role is Role.RECEIVES or not is_told:
                unclear = unclear or f"{header[place][:50]!r} is blank: it does not say that the reader is subscribed"
    return said if said >= Word.LEFT or not unclear else unclear


def _reason(named: str, said: Word) -> SuppressionReason:
    if named and named in list(SuppressionReason):
        return SuppressionReason(named)
    return SuppressionReason.BOUNCE if said is Word.DEAD else SuppressionReason.OPERATOR


def _language(named: str, edition: Edition | None) -> str:
    languages = edition.languages if edition else ["en"]
    return named.lower() if named.lower() in languages else languages[0]


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo and MINYEAR + 1 < moment.year < MAXYEAR else None


def _is_hash(text: str) -> bool:
    return len(text) == 64 and not set(text) - set("0123456789abcdef")
