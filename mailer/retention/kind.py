"""What one kind of data is, and the plainest ways in which it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from mailer.settings import Settings

PORTION = 500  #: rows, or readers


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of data."""

    name: str
    what: str  #: a few words for the operator
    days: Callable[[Settings], int]
    key: Any  #: the column that names a row
    going: Callable[[datetime], sa.Select[Any]]  #: cutoff -> the keys of what goes; what is older than it goes
    remove: Callable[[Session, Sequence[Any], datetime, datetime], int]  #: keys, cutoff, now -> how many went
    portion: int = PORTION
    then: Callable[[Session, datetime], None] | None = None  #: what is done with those that stay, once a day

    def cutoff(self, settings: Settings, now: datetime) -> datetime:
        return now - timedelta(days=self.days(settings))


def deleting(column: Any, older: Callable[[datetime], sa.ColumnElement[bool]]) -> Any:
    """Deletes the rows of these keys that still are old enough."""

    def remove(session: Session, keys: Sequence[Any], cutoff: datetime, now: datetime) -> int:
        return count(session, sa.delete(column.class_).where(column.in_(keys), older(cutoff)))

    return remove


def count(session: Session, statement: Any) -> int:
    done = session.connection().execute(statement)
    return int(done.rowcount)


def blanking(key: Any, *columns: Any) -> Any:
    def remove(session: Session, keys: Sequence[int], cutoff: datetime, now: datetime) -> int:
        return count(session, sa.update(key.class_).where(key.in_(keys)).values(dict.fromkeys(columns)))

    return remove
