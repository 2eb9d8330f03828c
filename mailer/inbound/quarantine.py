"""Mail that did nothing and waits for the operator: nothing that comes in goes into nothing."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.database import Database
from mailer.errors import MailerError
from mailer.inbound.incoming import Effect
from mailer.subscribers.address import AddressError, parse
from mailer.tables import Arrival, Forward, Quarantine

KEPT = 10 * 1024 * 1024
"""Octets of a mail; more of it is counted, not kept."""

FULL = 1000 * 1024 * 1024
"""Octets of all mails together; what comes then is to come again."""

CUT = 1024 * 1024
"""Octets that are kept of a mail that would take more than half of FULL: a hundred large ones shut nobody out."""

MAILS = 20_000
"""At most so many, however small."""


class NotThere(MailerError):
    """There is no mail of that number."""


class Cut(NotThere):
    """Only the beginning of it was kept."""


class QuarantineFull(MailerError):
    """Strangers could fill the disk."""

    def __init__(self) -> None:
        super().__init__("the quarantine is full; read it, then type: mailer inbound discard --older-than DAYS")


def keep(
    session: Session, arrival: Arrival, octets: bytes, *, size: int, sender: str | None, flaw: str = ""
) -> Quarantine:
    """Puts a mail of `size` octets away, of which `octets` are here. `flaw`: why no program may act on it, now or when
    it is taken again. Raises QuarantineFull."""
    assert arrival.id is not None
    held, mails = session.execute(sa.select(sa.func.sum(col(Quarantine.kept)), sa.func.count())).one()
    whole, octets = len(octets), octets[:KEPT]
    if (held or 0) + len(octets) > FULL // 2:
        octets = octets[:CUT]
    if mails >= MAILS or (held or 0) + len(octets) > FULL:
        raise QuarantineFull
    row = Quarantine(
        arrival_id=arrival.id, sender=sender, size=max(size, whole), kept=len(octets), octets=octets, flaw=flaw
    )
    session.add(row)
    return row


def discard(session: Session, *, numbers: Sequence[int] = (), before: datetime | None = None) -> int:
    """Throws the octets of these mails away, or of all that came before a moment; what is known of them stays. Returns
    how many."""
    old = sa.select(col(Arrival.id)).where(col(Arrival.arrived_at) < before) if before else numbers
    return int(session.execute(sa.delete(Quarantine).where(col(Quarantine.arrival_id).in_(old))).rowcount)  # type: ignore[attr-defined]


def naming(session: Session, address: str) -> list[int]:
    """The mails, waiting or forwarded, that hold this address in the clear, in any case, its domain in its own script
    or as A-labels. One is in memory at a time."""
    wanted, found, after = _spellings(address), set[int](), 0
    following = select(Quarantine.arrival_id, Quarantine.sender, Quarantine.octets).order_by(col(Quarantine.arrival_id))
    while row := session.exec(following.where(Quarantine.arrival_id > after).limit(1)).first():
        after, sender, octets = row
        if _holds(wanted, octets.decode("utf-8", "replace"), sender):
            found.add(after)
    told = select(Forward.arrival_id, Forward.reply_to, Forward.subject, Forward.text)
    found.update(row[0] for row in session.exec(told.execution_options(yield_per=100)) if _holds(wanted, *row[1:]))
    return sorted(found)


def _holds(spellings: Sequence[str], *texts: str | None) -> bool:
    """Here and not in the database: SQLite knows no case but that of ASCII."""
    return any(each in _even(text) for text in texts if text for each in spellings)


def _spellings(address: str) -> list[str]:
    """As it is stored, and as mail writes it (RFC 5890 §2.3.2.1)."""
    try:
        labels = f"{address.rpartition('@')[0]}@{parse(address).domain}"
    except AddressError:
        labels = address
    return list(dict.fromkeys((_even(address), _even(labels))))


def _even(text: str) -> str:
    """In lower case and composed (NFC), in whatever script: as addresses are compared."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.lower())


def erase(session: Session, numbers: Sequence[int]) -> None:
    """Throws these mails away, and what was said above those that went on to the editors."""
    discard(session, numbers=numbers)
    session.execute(sa.delete(Forward).where(col(Forward.arrival_id).in_(numbers)))


class Discarded(NamedTuple):
    """What came of `discard_mail`."""

    mails: int  #: how many
    is_overwritten: bool  #: False where SQLite's log of changes could not be emptied; retention does it later


def discard_mail(database: Database, addresses: Iterable[str]) -> Discarded:
    """Throws away what waits here and holds one of these addresses. Then, on SQLite, what was overwritten
    is written through to the file, so that no log of changes keeps it."""
    with database.read() as session:
        numbers = sorted({number for each in addresses for number in naming(session, each)})
    if numbers:
        with database.write() as session:
            erase(session, numbers)
    return Discarded(len(numbers), database.write_through())


def arrivals(session: Session, *, quarantined: bool = False, limit: int = 50) -> Sequence[Arrival]:
    """What came in, the newest first."""
    wanted = select(Arrival).order_by(col(Arrival.id).desc()).limit(limit)
    if quarantined:
        wanted = wanted.where(Arrival.effect == Effect.QUARANTINED, col(Arrival.id).in_(select(Quarantine.arrival_id)))
    return session.exec(wanted).all()


def whole(session: Session, arrival_id: int, *, lock: bool = False) -> tuple[Arrival, Quarantine]:
    """A mail that is in the quarantine with every octet. Raises NotThere or Cut."""
    arrival, kept = one(session, arrival_id, lock=lock)
    if kept is None:
        raise NotThere(f"The text of mail {arrival_id} was not kept, or discarded: there is nothing to take again.")
    if kept.kept < kept.size:
        raise Cut(f"Only the first {kept.kept} octets of mail {arrival_id} were kept: it cannot be taken again.")
    return arrival, kept


def one(session: Session, arrival_id: int, *, lock: bool = False) -> tuple[Arrival, Quarantine | None]:
    """A mail, with its octets where they were kept. Raises NotThere."""
    arrival = session.get(Arrival, arrival_id, with_for_update=lock)
    if arrival is None:
        raise NotThere(f"There is no mail {arrival_id}. Type: mailer inbound list")
    return arrival, session.get(Quarantine, arrival_id)
