"""How often somebody may ask: counted in the database, so that it holds for every process and survives a restart.

Fixed windows: an hour for networks, receiving domains and everybody together, a day for an address. A key is a keyed
hash of what is counted and of the window it falls into: the table names nobody, and a row that is past its window is
worth nothing to anyone. The functions take a session of a writing transaction and never commit.
"""

import enum
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from mailer.tables import Counted


class Measure(enum.StrEnum):
    """What is counted."""

    EVERYBODY = "everybody"  #: requests to this installation
    NETWORK = "network"  #: those from one network, truncated as in the consent record
    DOMAIN = "domain"  #: those for addresses of one receiving domain
    ADDRESS = "address"  #: those for one mailbox, whatever tag stands behind its name
    PROOF = "proof"  #: uses of one proof of work, which counts once


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = {
    Measure.EVERYBODY: _HOUR,
    Measure.NETWORK: _HOUR,
    Measure.DOMAIN: _HOUR,
    Measure.ADDRESS: _DAY,
}

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def window_end(measure: Measure, now: datetime) -> datetime:
    """When the count begins again. A proof's never does while the proof is valid."""
    if measure is Measure.PROOF:
        return now + _DAY
    window = WINDOWS[measure]
    return _EPOCH + ((now - _EPOCH) // window + 1) * window


def seen(session: Session, measured: Mapping[Measure, str], key: str, now: datetime) -> dict[Measure, int]:
    """How often each was counted in the current window. `key`: the secret of the hashes."""
    keys = {_key(measure, value, key, now): measure for measure, value in measured.items()}
    found = session.exec(select(Counted.key, Counted.number).where(col(Counted.key).in_(keys)))
    return dict.fromkeys(measured, 0) | {keys[name]: number for name, number in found}


def count(session: Session, measured: Mapping[Measure, str], key: str, now: datetime) -> dict[Measure, int]:
    """Counts each once more. Returns the new numbers: exact, also where others count at the same time."""
    if not measured:
        return {}
    keys = {_key(measure, value, key, now): measure for measure, value in measured.items()}
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    rows = [  # in one order for everybody, so that two transactions never wait for each other
        {"key": name, "number": 1, "until": window_end(measure, now)} for name, measure in sorted(keys.items())
    ]
    counting = insert(Counted).values(rows)
    counting = counting.on_conflict_do_update(index_elements=["key"], set_={"number": col(Counted.number) + 1})
    found = session.connection().execute(counting.returning(col(Counted.key), col(Counted.number)))
    return {keys[name]: number for name, number in found}


def forget(session: Session, now: datetime) -> None:
    """Drops the windows that are over."""
    session.connection().execute(sa.delete(Counted).where(col(Counted.until) < now))


def _key(measure: Measure, value: str, key: str, now: datetime) -> str:
    window = "" if measure is Measure.PROOF else window_end(measure, now).isoformat()
    counted = "\0".join(("mailer limit", measure, window, value))
    return hmac.digest(key.encode(), counted.encode(), hashlib.sha256).hex()[:32]
