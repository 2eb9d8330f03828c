"""Everything that is held about one reader: for the reader's own page, and for the operator who is asked.

What a row holds is taken as it is, so a new column is in it by itself; a new table is considered in TABLES, or a test
fails.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, SQLModel, col, select

from mailer import erasure
from mailer.subscribers import person, receipts
from mailer.subscribers.subscription import UNDO
from mailer.tables import (
    Arrival,
    Attempt,
    Delivery,
    Edition,
    Issue,
    Publication,
    Subscriber,
    Subscription,
    Suppression,
)

TABLES: Mapping[str, str] = {
    "subscriber": "the address",
    "subscription": "subscriptions",
    "consent": "subscriptions.consents",
    "address_change": "none: which consents go together",
    "parting": "none: reasons by month, without who gave them",
    "seal": "subscriptions.consents: its digest",
    "removal": "none: ids of consents that are gone already",
    "suppression": "suppressions",
    "delivery": "mails",
    "attempt": "mails.attempts",
    "arrival": "mails.reports; those of nobody's delivery are not known to be anybody's",
    "quarantine": "none: mail of people who are not known to be this reader; it is erased by the address",
    "forward": "none: likewise",
    "past_deliveries": "none: counts",
    "publication": "none",
    "edition": "none",
    "issue": "none",
    "translation": "none",
    "picture": "none",
    "commentary": "none",
    "message": "none: the same for everybody",
    "worker": "none",
    "departures": "none: counts",
    "counted": "none: counts under a keyed hash, for a day",
    "retention": "none: counts",
    "staff": "none: members of staff",
    "staff_session": "none: members of staff",
    "api_token": "none: members of staff",
}
"""Each table, and where it stands in what `of_person` returns, or why it holds nothing about a reader."""

_OURS = {"id", "subscriber_id", "subscription_id", "edition_id", "issue_id", "message_id", "consent_id", "delivery_id"}
"""Numbers of rows: they say nothing about a reader."""


def of_person(session: Session, subscriber: Subscriber) -> dict[str, Any]:
    """For the operator: all of it, with that of the addresses that the reader came from or went on to."""
    held = _of_subscriber(session, subscriber)
    return held | {"other_addresses": [_of_subscriber(session, each) for each in _others(session, subscriber)]}


def file_of(session: Session, subscription_id: int, now: datetime) -> bytes | None:
    """`of_reader`, of whoever reads or read by this subscription, as JSON; None where it was erased."""
    subscription = session.get(Subscription, subscription_id)
    if subscription is None:
        return None
    subscriber = session.get_one(Subscriber, subscription.subscriber_id)
    return as_json(of_reader(session, subscriber, unless_moved_since=now - UNDO))


def as_json(held: Mapping[str, Any]) -> bytes:
    """For a person to read, and for a program."""
    return json.dumps(held, ensure_ascii=False, indent=2, default=lambda each: each.isoformat()).encode() + b"\n"


def of_reader(session: Session, subscriber: Subscriber, *, unless_moved_since: datetime | None) -> dict[str, Any]:
    """For the reader: the same without who of the staff did what, and without their notes.

    Of the other addresses those that the reader came from, except one that may take the change back (see
    `erasure.erase_person`). Where they went on to is never told at an address that they left
    (docs/decisions/0016-change-of-address.md).
    """
    former = _others(session, subscriber, unless_moved_since=unless_moved_since, onward=False)
    held, *others = (_without_staff(_of_subscriber(session, each)) for each in (subscriber, *former))
    return held | {"other_addresses": others}


def _others(session: Session, subscriber: Subscriber, **which: Any) -> list[Subscriber]:
    assert subscriber.id is not None
    ids = erasure.addresses_of(session, subscriber.id, **which)
    found = select(Subscriber).where(col(Subscriber.id).in_(ids), Subscriber.id != subscriber.id)
    return list(session.exec(found.order_by(col(Subscriber.id))))


def _without_staff(held: dict[str, Any]) -> dict[str, Any]:
    return held | {
        "subscriptions": [
            each | {"consents": [_without_operator(consent) for consent in each["consents"]]}
            for each in held["subscriptions"]
        ],
        "suppressions": [
            {name: value for name, value in entry.items() if name not in _STAFF} for entry in held["suppressions"]
        ],
    }


_STAFF = {"added_by", "lifted_by", "note"}


def _without_operator(consent: dict[str, Any]) -> dict[str, Any]:
    """What was sealed names them too, so neither it nor its salt is shown; the digest is."""
    if not consent["source"].startswith(person.BY_COMMAND):
        return consent
    return consent | {"source": "operator", "content": None, "salt": None}


def _of_subscriber(session: Session, subscriber: Subscriber) -> dict[str, Any]:
    """Dictionaries, lists, texts, numbers and aware moments."""
    acts = receipts.of_address(session, subscriber.address_hash)
    rows = session.exec(
        select(Subscription, Edition, Publication)
        .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        .join(Publication, col(Publication.id) == col(Edition.publication_id))
        .where(Subscription.subscriber_id == subscriber.id)
        .order_by(col(Subscription.id))
    ).all()
    return {
        **_values(subscriber),
        "subscriptions": [
            {
                "publication": publication.slug,
                "edition": edition.code,
                "languages": edition.languages,
                **_values(subscription),
                "consents": [each.values() for each in acts if each.consent.subscription_id == subscription.id],
            }
            for subscription, edition, publication in rows
        ],
        "mails": _mails(session, [subscription.id for subscription, _, _ in rows]),
        "suppressions": [
            _values(entry)
            for entry in session.exec(
                select(Suppression)
                .where(Suppression.address_hash == subscriber.address_hash)
                .order_by(col(Suppression.id))
            )
        ],
    }


def _mails(session: Session, subscription_ids: Sequence[int | None]) -> list[dict[str, Any]]:
    """The newest first."""
    found = (
        select(Delivery, Edition.code, Issue.slug)
        .join(Edition, col(Edition.id) == col(Delivery.edition_id))
        .outerjoin(Issue, col(Issue.id) == col(Delivery.issue_id))
        .where(col(Delivery.subscription_id).in_(subscription_ids))
        .order_by(col(Delivery.id).desc())
    )
    rows = session.exec(found).all()
    ids = [delivery.id for delivery, _, _ in rows]
    attempts = session.exec(select(Attempt).where(col(Attempt.delivery_id).in_(ids)).order_by(col(Attempt.id))).all()
    reports = session.exec(select(Arrival).where(col(Arrival.delivery_id).in_(ids)).order_by(col(Arrival.id))).all()
    return [
        {
            "issue": issue,
            "edition": edition,
            **_values(delivery),
            "attempts": [_values(each) for each in attempts if each.delivery_id == delivery.id],
            "reports": [_values(each) for each in reports if each.delivery_id == delivery.id],
        }
        for delivery, edition, issue in rows
    ]


def _values(row: SQLModel) -> dict[str, Any]:
    return row.model_dump(exclude=_OURS)
