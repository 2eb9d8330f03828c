"""Everything an operator needs to answer one reader's question, and to end the reader's subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from mailer.subscribers import subscription
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, Delivery, Edition, Publication, Subscriber, Subscription, Suppression

BY_COMMAND = "command ("
"""How the source of a consent begins that an operator recorded: who it was, and perhaps a note, follow."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One subscription, where it is to, and its evidence, the oldest first."""

    publication: str  #: slug
    edition: str  #: code
    subscription: Subscription
    consents: Sequence[Consent]


@dataclass(frozen=True, kw_only=True)
class Person:
    """What stands here about an address. Without `subscriber`: at most entries on the suppression list."""

    subscriber: Subscriber | None
    readings: Sequence[Reading]
    suppressions: Sequence[Suppression]  #: also those that were lifted, the oldest first
    delivery_ids: Sequence[int]  #: the last ones, the newest first

    @property
    def is_known(self) -> bool:
        return self.subscriber is not None or bool(self.suppressions)


def find(session: Session, address_hash: str, *, deliveries: int = 10) -> Person:
    """Looks an address up by its keyed hash, with its last so many deliveries."""
    subscriber = session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one_or_none()
    listed = select(Suppression).where(Suppression.address_hash == address_hash).order_by(col(Suppression.id))
    readings = _readings(session, subscriber) if subscriber else []
    return Person(
        subscriber=subscriber,
        readings=readings,
        suppressions=session.exec(listed).all(),
        delivery_ids=_last(session, [each.subscription.id for each in readings], deliveries),
    )


def remove(session: Session, address_hash: str, *, source: str, now: datetime) -> list[Reading]:
    """Ends every subscription of the address, with evidence of who did it. Returns those that this act ended."""
    subscriber = session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one_or_none()
    ended = []
    for reading in _readings(session, subscriber) if subscriber else ():
        if reading.subscription.status is not SubscriptionStatus.UNSUBSCRIBED:
            assert reading.subscription.id is not None
            subscription.leave(session, reading.subscription.id, source=source, network="", now=now)
            ended.append(reading)
    return ended


def _readings(session: Session, subscriber: Subscriber) -> list[Reading]:
    found = (
        select(Publication.slug, Edition.code, Subscription)
        .join(Edition, col(Edition.publication_id) == col(Publication.id))
        .join(Subscription, col(Subscription.edition_id) == col(Edition.id))
        .where(Subscription.subscriber_id == subscriber.id)
        .order_by(col(Subscription.id))
    )
    return [
        Reading(
            publication=publication,
            edition=edition,
            subscription=each,
            consents=session.exec(
                select(Consent).where(Consent.subscription_id == each.id).order_by(col(Consent.id))
            ).all(),
        )
        for publication, edition, each in session.exec(found)
    ]


def _last(session: Session, subscription_ids: Sequence[int | None], limit: int) -> list[int]:
    found = (
        select(Delivery.id)
        .where(col(Delivery.subscription_id).in_(subscription_ids))
        .order_by(col(Delivery.id).desc())
        .limit(limit)
    )
    return [each for each in session.exec(found) if each is not None]
