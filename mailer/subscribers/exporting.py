"""Readers, the suppression list and the evidence of consent as rows for a file, in constant memory.

Some rows at a time are read, each time anew, so that no long transaction keeps the database from tidying up while an
issue goes out: a reader who acts meanwhile may stand in the file as before or after that.
"""

import enum
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from mailer.database import Database
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, ConsentEvent, Edition, Publication, Subscriber, Subscription, Suppression, metadata

PORTION = 2_000  #: rows read at a time


class What(enum.StrEnum):
    SUBSCRIBERS = "subscribers"
    SUPPRESSED = "suppressed"
    CONSENTS = "consents"


class Form(enum.StrEnum):
    """Which program is to read the subscribers."""

    OWN = "mailer"  #: mailer subscribers import --as own
    LISTMONK = "listmonk"
    MAILCHIMP = "mailchimp"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """None: of all."""

    publication_id: int | None = None
    edition: str | None = None  #: code
    status: SubscriptionStatus | None = None


Row = sa.RowMapping
_Question = tuple[sa.Select[*tuple[Any, ...]], Any]


def rows(database: Database, what: What, wanted: Wanted) -> Iterator[Row]:
    """One after the other, in the order of their ids."""
    question, key = _QUESTIONS[what](wanted)
    last = 0
    while True:
        with database.read() as session:
            found = session.execute(question.where(key > last).order_by(key).limit(PORTION)).mappings().all()
        yield from found
        if len(found) < PORTION:
            return
        last = found[-1]["id"]


def _subscribers(wanted: Wanted) -> _Question:
    given = (ConsentEvent.CONFIRMED, ConsentEvent.IMPORTED)
    other = metadata.tables["consent"].alias("other")
    newest = (
        sa.select(sa.func.max(other.c.id))
        .where(other.c.subscription_id == col(Subscription.id), other.c.event.in_(given))
        .correlate(Subscription)
        .scalar_subquery()
    )
    question: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(Subscription.id),
            col(Subscriber.address),
            col(Publication.slug).label("publication"),
            col(Edition.code).label("edition"),
            col(Subscription.status),
            col(Subscription.language),
            col(Subscription.created_at),
            col(Subscription.changed_at),
            col(Subscription.paused_until),
            *(col(each) for each in (Consent.event, Consent.at, Consent.wording, Consent.source, Consent.network)),
        )
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        .join(Publication, col(Publication.id) == col(Edition.publication_id))
        .outerjoin(Consent, col(Consent.id) == newest)
    )
    return _narrowed(question, wanted), col(Subscription.id)


def _consents(wanted: Wanted) -> _Question:
    question: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(Consent.id),
            col(Subscriber.address),
            col(Publication.slug).label("publication"),
            col(Edition.code).label("edition"),
            *(col(each) for each in (Consent.event, Consent.at, Consent.wording, Consent.language, Consent.source)),
            *(col(each) for each in (Consent.network, Consent.request_id)),
        )
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        .join(Publication, col(Publication.id) == col(Edition.publication_id))
    )
    return _narrowed(question, wanted), col(Consent.id)


def _narrowed(question: sa.Select[*tuple[Any, ...]], wanted: Wanted) -> sa.Select[*tuple[Any, ...]]:
    if wanted.publication_id is not None:
        question = question.where(col(Edition.publication_id) == wanted.publication_id)
    if wanted.edition is not None:
        question = question.where(col(Edition.code) == wanted.edition)
    return question if wanted.status is None else question.where(col(Subscription.status) == wanted.status)


def _suppressed(wanted: Wanted) -> _Question:
    """Of a publication: what holds for it, by itself or with all others."""
    columns = (
        *(Suppression.id, Suppression.address, Suppression.address_hash, Suppression.reason, Suppression.note),
        *(Suppression.added_at, Suppression.added_by),
    )
    question: sa.Select[*tuple[Any, ...]] = (
        sa.select(*map(col, columns), col(Publication.slug).label("publication"))
        .outerjoin(Publication, col(Publication.id) == col(Suppression.publication_id))
        .where(col(Suppression.lifted_at).is_(None))
    )
    if wanted.publication_id is not None:
        of = col(Suppression.publication_id)
        question = question.where(sa.or_(of.is_(None), of == wanted.publication_id))
    return question, col(Suppression.id)


_QUESTIONS: Mapping[What, Callable[[Wanted], _Question]] = {
    What.SUBSCRIBERS: _subscribers,
    What.SUPPRESSED: _suppressed,
    What.CONSENTS: _consents,
}


# Columns: a header and what stands below it

Column = Callable[[Row], Any]


def _of(name: str) -> Column:
    return lambda row: row[name]


def _evidence(row: Row) -> str:
    """The newest consent in words. One that was brought in keeps the words that it was brought in with."""
    if row["event"] is None:
        return ""
    if row["event"] is ConsentEvent.IMPORTED:
        return str(row["wording"])
    return f"{row['event']} {text(row['at'])} by {row['source']}: {row['wording']}"


def _attributes(row: Row) -> str:
    return json.dumps({"edition": row["edition"], "language": row["language"]})


def _same(*names: str) -> Mapping[str, Column]:
    return {name: _of(name) for name in names}


COLUMNS: Mapping[tuple[What, Form], Mapping[str, Column]] = {
    (What.SUBSCRIBERS, Form.OWN): {
        **_same("address", "publication", "edition", "status", "language", "created_at", "changed_at", "paused_until"),
        "network": lambda row: row["network"] or "",
        "evidence": _evidence,
    },
    (What.SUBSCRIBERS, Form.LISTMONK): {"email": _of("address"), "name": lambda _: "", "attributes": _attributes},
    (What.SUBSCRIBERS, Form.MAILCHIMP): {
        "Email Address": _of("address"),
        "Language": _of("language"),
        "Tags": _of("edition"),
    },
    (What.SUPPRESSED, Form.OWN): {
        **_same("address", "address_hash", "publication"),  # none: every publication
        "suppression_reason": _of("reason"),
        "suppression_note": _of("note"),
        **_same("added_at", "added_by"),
    },
    (What.CONSENTS, Form.OWN): _same(
        *("id", "address", "publication", "edition", "event", "at", "wording", "language", "source", "network"),
        "request_id",
    ),
}


def text(value: Any) -> str:
    """A value in a cell."""
    if value is None:
        return ""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else str(value)


def cells(columns: Mapping[str, Column], found: Iterator[Row]) -> Iterator[Sequence[str]]:
    """The header, then the rows."""
    yield list(columns)
    for row in found:
        yield [text(column(row)) for column in columns.values()]
