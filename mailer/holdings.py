"""Everything that is held about one reader: for the reader's own page, and for the operator who is asked.

What a row holds is taken as it is, so a new column is in it by itself; a new table is considered in TABLES, or a test
fails.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, SQLModel, col, select

from mailer.subscribers import former, person, receipts
from mailer.subscribers.address import Address, same
from mailer.tables import (
    Arrival,
    Attempt,
    Delivery,
    DeliveryKind,
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

_OURS = {
    *("id", "subscriber_id", "subscription_id", "edition_id", "issue_id", "message_id", "consent_id", "delivery_id"),
    *("moved_to_id", "taken_back_to_id"),
}
"""Numbers of rows: they say nothing about a reader."""


def of_person(session: Session, subscriber: Subscriber) -> dict[str, Any]:
    """For the operator: all of it, with that of the addresses that the reader came from or went on to. Whoever moved a
    reader with a forwarded letter is among them."""
    assert subscriber.id is not None
    others = set(former.addresses_of(session, subscriber.id)) - {subscriber.id}
    found = session.exec(select(Subscriber).where(col(Subscriber.id).in_(others)).order_by(col(Subscriber.id)))
    return _of_subscriber(session, subscriber) | {"other_addresses": [_of_subscriber(session, each) for each in found]}


def of_address(session: Session, address: Address, address_hash: str) -> dict[str, Any] | None:
    """For the operator: of whoever has the address, also where it is no reader's: on the suppression list, in test
    mail. None where nothing is held."""
    reader = session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one_or_none()
    if reader is not None:
        return of_person(session, reader)
    held = {"mails": _mails(session, [], address.text), "suppressions": _suppressions(session, address_hash)}
    return {"address": address.text, "subscriptions": [], **held, "other_addresses": []} if any(held.values()) else None


def of_reader(session: Session, subscriber: Subscriber) -> dict[str, Any]:
    """For the reader, of this address and of no other (docs/decisions/0016-change-of-address.md): the same without who
    of the staff did what, and without their notes."""
    return _without_staff(_of_subscriber(session, subscriber))


def file_of(session: Session, subscription_id: int) -> bytes | None:
    """`of_reader`, of whoever reads or read by this subscription, as JSON; None where it was erased."""
    subscription = session.get(Subscription, subscription_id)
    if subscription is None:
        return None
    return as_json(of_reader(session, session.get_one(Subscriber, subscription.subscriber_id)))


def as_json(held: Mapping[str, Any]) -> bytes:
    """For a person to read, and for a program."""
    return json.dumps(held, ensure_ascii=False, indent=2, default=lambda each: each.isoformat()).encode() + b"\n"


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
        "mails": _mails(session, [subscription.id for subscription, _, _ in rows], subscriber.address),
        "suppressions": _suppressions(session, subscriber.address_hash),
    }


def _suppressions(session: Session, address_hash: str) -> list[dict[str, Any]]:
    found = select(Suppression).where(Suppression.address_hash == address_hash).order_by(col(Suppression.id))
    return [_values(entry) for entry in session.exec(found)]


def _mails(session: Session, subscription_ids: Sequence[int | None], address: str) -> list[dict[str, Any]]:
    """To these subscriptions, and test mail to the address, however it was typed. The newest first."""
    is_test = col(Delivery.kind) == DeliveryKind.TEST
    typed = session.exec(select(Delivery.recipient).where(col(Delivery.recipient).is_not(None), is_test).distinct())
    spellings = [each for each in typed if each and (each == address or same(each, address))]
    tests = sa.and_(is_test, col(Delivery.recipient).in_(spellings))
    found = (
        select(Delivery, Edition.code, Issue.slug)
        .join(Edition, col(Edition.id) == col(Delivery.edition_id))
        .outerjoin(Issue, col(Issue.id) == col(Delivery.issue_id))
        .where(sa.or_(col(Delivery.subscription_id).in_(subscription_ids), tests))
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
