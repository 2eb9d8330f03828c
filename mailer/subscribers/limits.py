"""How often somebody may ask: counted in the database, so that it holds for every process and survives a restart.

Fixed windows: an hour for networks, receiving domains and everybody together, a day for an address and for a link. A
key is a keyed hash of what is counted and of the window it falls into: the table names nobody, and a row that is past
its window is worth nothing to anyone. The functions take a session of a writing transaction and never commit.
"""

import enum
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.statement import Statement
from mailer.tables import Counted, metadata


class Measure(enum.StrEnum):
    """What is counted."""

    EVERYBODY = "everybody"  #: requests to this installation
    NETWORK = "network"  #: those from one network, truncated as in the consent record
    DOMAIN = "domain"  #: those for addresses of one receiving domain
    MAILED = "mailed"  #: the same by mail: who fills the form's limit leaves this road open
    MOVED = "moved"  #: mails that changes of address cause there: no link leaves strangers less of the form
    ADDRESS = "address"  #: those for one mailbox, whatever tag stands behind its name
    AUTHOR = "author"  #: the same by mail, apart for the same reason
    LINK = "link"  #: changes of address that the links of one reader asked for, whatever came of them
    PROOF = "proof"  #: uses of one proof of work, which counts once
    PROOF_FOR = "proof for"  #: the one that counted, with its mailbox and edition: who presses twice is told the same


_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = {
    Measure.EVERYBODY: _HOUR,
    Measure.NETWORK: _HOUR,
    Measure.DOMAIN: _HOUR,
    Measure.MAILED: _HOUR,
    Measure.MOVED: _HOUR,
    Measure.ADDRESS: _DAY,
    Measure.AUTHOR: _DAY,
    Measure.LINK: _DAY,
}

_FOR_GOOD = frozenset({Measure.PROOF, Measure.PROOF_FOR})

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def window_end(measure: Measure, now: datetime) -> datetime:
    """When the count begins again. A proof's never does while the proof is valid."""
    if measure in _FOR_GOOD:
        return now + _DAY
    window = WINDOWS[measure]
    return _EPOCH + ((now - _EPOCH) // window + 1) * window


def seen(session: Session, measured: Mapping[Measure, str], key: str, now: datetime) -> dict[Measure, int]:
    """How often each was counted in the current window. `key`: the secret of the hashes."""
    found = {measure: _SEEN.first(session, key=_key(measure, value, key, now)) for measure, value in measured.items()}
    return {measure: row[0] if row else 0 for measure, row in found.items()}


def count(session: Session, measured: Mapping[Measure, str], key: str, now: datetime) -> dict[Measure, int]:
    """Counts each once more. Returns the new numbers: exact, also where others count at the same time."""
    keys = {_key(measure, value, key, now): measure for measure, value in measured.items()}
    if not keys:
        return {}
    values = dict[str, Any]()
    for place, name in enumerate(sorted(keys)):  # one order for everybody: two transactions never wait for each other
        values |= {f"key_{place}": name, f"until_{place}": window_end(keys[name], now)}
    return {keys[name]: number for name, number in _COUNT[len(keys)].rows(session, **values)}


def forget(session: Session, now: datetime) -> None:
    """Drops the windows that are over."""
    session.connection().execute(sa.delete(Counted).where(col(Counted.until) < now))


def _key(measure: Measure, value: str, key: str, now: datetime) -> str:
    window = "" if measure in _FOR_GOOD else window_end(measure, now).isoformat()
    counted = "\0".join(("mailer limit", measure, window, value))
    return hmac.digest(key.encode(), counted.encode(), hashlib.sha256).hex()[:32]


_COUNTED = metadata.tables["counted"]
_SEEN = Statement(sa.select(_COUNTED.c.number).where(_COUNTED.c.key == sa.bindparam("key")))


def _counting(many: int) -> Statement:
    def statement(insert: Any) -> Any:
        rows = [
            {"key": sa.bindparam(f"key_{place}"), "number": sa.literal(1), "until": sa.bindparam(f"until_{place}")}
            for place in range(many)
        ]
        once = insert(_COUNTED).values(rows)
        more = once.on_conflict_do_update(index_elements=["key"], set_={"number": _COUNTED.c.number + 1})
        return more.returning(_COUNTED.c.key, _COUNTED.c.number)

    return Statement(statement)


_COUNT = {many: _counting(many) for many in range(1, len(Measure) + 1)}
