"""Receipts: one consent as it can be handed to the reader or to a regulator, with its place in the chain."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from mailer.subscribers import chain, subscription
from mailer.tables import Consent, ConsentEvent, Edition, Publication, Seal, SealEvent, Subscriber, Subscription

ACTS = {
    ConsentEvent.REQUESTED: "asked to subscribe",
    ConsentEvent.CONFIRMED: "confirmed by the link or a reply",
    ConsentEvent.LEFT: "unsubscribed",
}


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One act of one reader."""

    consent: Consent
    publication: str  #: slug
    edition: str  #: code
    edition_id: int
    address: str  #: the reader's, as it is now
    address_hash: str
    seal: Seal | None  #: None while it waits for the worker

    @property
    def wording_version(self) -> str:
        """The same for the same words: the first 12 hexadecimal digits of their SHA-256; "" where none were shown."""
        words = self.consent.wording
        return hashlib.sha256(words.encode()).hexdigest()[:12] if words else ""

    @property
    def is_for_this_address(self) -> bool:
        """False where the reader had another address then."""
        return self.consent.subject in (None, self.address_hash)

    def values(self) -> dict[str, Any]:
        """All of it, for programs."""
        consent, seal = self.consent, self.seal
        return {
            "number": consent.id,
            "event": str(consent.event),
            "at": consent.at,
            "address": self.address if self.is_for_this_address else None,
            "publication": self.publication,
            "edition": self.edition,
            "wording": consent.wording,
            "wording_version": self.wording_version,
            "language": consent.language,
            "source": consent.source,
            "network": consent.network,
            "confirms": consent.request_id,
            "sealed_at": seal.at if seal else None,
            "link": seal.number if seal else None,
            "digest": seal.digest.hex() if seal else None,
            "salt": consent.salt.hex() if consent.salt else None,
            "content": chain.content(consent.model_dump() | {"edition_id": self.edition_id}).decode() if seal else None,
        }

    def lines(self) -> list[str]:
        """The same for people; `printf CONTENT`, salted, hashes to the digest."""
        found = self.values()
        who = found["address"] or "a former address of this reader"
        said = [
            f"Consent {found['number']}: {who} {ACTS.get(self.consent.event, self.consent.event)}",
            f"  when      {self.consent.at:%Y-%m-%d %H:%M:%S} UTC",
            f"  for       {self.publication}, edition {self.edition}",
        ]
        if found["wording"]:
            said.append(f"  wording   {found['wording']} ({found['language']}, version {found['wording_version']})")
        said.append(f"  by        {found['source']}" + (f", from {found['network']}" if found["network"] else ""))
        if found["confirms"]:
            said.append(f"  confirms  consent {found['confirms']}")
        if self.seal is None:
            return [*said, "  sealed    not yet"]
        return [
            *said,
            f"  sealed    {self.seal.at:%Y-%m-%d %H:%M:%S} UTC, link {found['link']}",
            f"  digest    {found['digest']}",
            f"  salt      {found['salt']}",
            f"  content   {found['content']}",
        ]


def of_address(session: Session, address_hash: str) -> Sequence[Receipt]:
    """Every consent under the reader who has this address now, the oldest first."""
    subscriber = session.exec(select(Subscriber).where(Subscriber.address_hash == address_hash)).one_or_none()
    if subscriber is None:
        return []
    found = (
        select(Consent, Publication.slug, Edition, Seal)
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .join(Edition, col(Edition.id) == col(Subscription.edition_id))
        .join(Publication, col(Publication.id) == col(Edition.publication_id))
        .outerjoin(Seal, (col(Seal.consent_id) == col(Consent.id)) & (col(Seal.event) == SealEvent.KEPT))
        .where(Subscription.subscriber_id == subscriber.id)
        .order_by(col(Consent.id))
    )
    return [
        Receipt(
            consent=consent,
            publication=publication,
            edition=edition.code,
            edition_id=subscription.id_of(edition),
            address=subscriber.address,
            address_hash=subscriber.address_hash,
            seal=seal,
        )
        for consent, publication, edition, seal in session.exec(found)
    ]
