"""Mail that did nothing and waits for the operator: nothing that comes in goes into nothing."""

from collections.abc import Sequence

from sqlmodel import Session, col, select

from mailer.errors import MailerError
from mailer.inbound.incoming import Effect
from mailer.tables import Arrival, Quarantine

KEPT = 1 << 20  #: octets of a mail; more of it is counted, not kept


class NotThere(MailerError):
    """There is no mail of that number."""


def keep(session: Session, arrival: Arrival, octets: bytes) -> None:
    """Puts a mail away."""
    assert arrival.id is not None
    session.add(Quarantine(arrival_id=arrival.id, size=len(octets), octets=octets[:KEPT]))


def arrivals(session: Session, *, quarantined: bool = False, limit: int = 50) -> Sequence[Arrival]:
    """What came in, the newest first."""
    wanted = select(Arrival).order_by(col(Arrival.id).desc()).limit(limit)
    return session.exec(wanted.where(Arrival.effect == Effect.QUARANTINED) if quarantined else wanted).all()


def one(session: Session, arrival_id: int) -> tuple[Arrival, Quarantine | None]:
    """A mail, with its octets where they were kept. Raises NotThere."""
    arrival = session.get(Arrival, arrival_id)
    if arrival is None:
        raise NotThere(f"There is no mail {arrival_id}. Type: mailer inbound list")
    return arrival, session.get(Quarantine, arrival_id)
