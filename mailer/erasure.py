"""Erasing a reader: the person goes from everything; a keyed hash stays, so that no list brings them back.

subscriber, subscriptions, consents     deleted; the chain keeps a link that fits nothing any more
deliveries, attempts                    stay without their reader and domain, and without what servers said or say later
automatic mail and issues that wait     withdrawn
reports, mail in the quarantine         without words, thrown away
suppression list                        the keyed hash

A reader who changed the address has two: `erase_person` takes both, unless somebody reads at the other.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col, select

from mailer.delivery import forgetting, ledger
from mailer.subscribers import former
from mailer.subscribers.address import Address
from mailer.tables import (
    Subscriber,
    Suppression,
    SuppressionReason,
)


def erase(session: Session, subscriber_id: int, *, by: str, why: str = "erased", now: datetime) -> bool:
    """Erases the subscriber. False where there is none (any more).

    An address that was suppressed for another reason stays so for that reason. The mail from it in the quarantine goes
    with `quarantine.discard_mail`, outside this transaction.
    """
    subscriber = session.exec(
        select(Subscriber).where(Subscriber.id == subscriber_id).with_for_update(of=Subscriber)
    ).one_or_none()
    if subscriber is None:
        return False
    _keep_the_hash(session, subscriber.address_hash, by=by, now=now)
    ledger.forget_recipient(session, subscriber.address, now)
    forgetting.forget(session, [subscriber_id], why, now)
    session.expunge(subscriber)
    return True


def erase_person(session: Session, subscriber_id: int, *, by: str, now: datetime) -> list[str]:
    """Erases the subscriber, whatever is read there, and of the other addresses of the same reader each that nobody has
    a use for (`former.together`). Returns what was erased."""
    _lock(session, former.addresses_of(session, subscriber_id))
    erased = list[str]()
    for each in former.together(session, subscriber_id, now).goes:
        address = session.get_one(Subscriber, each).address
        if erase(session, each, by=by, now=now):
            erased.append(address)
    return erased


def _lock(session: Session, subscriber_ids: Sequence[int]) -> None:
    """In the order in which a change of address locks them."""
    rows = sa.select(col(Subscriber.id)).where(col(Subscriber.id).in_(subscriber_ids)).order_by(col(Subscriber.id))
    session.execute(rows.with_for_update())


def erase_listed(session: Session, address: Address, address_hash: str, *, now: datetime) -> bool:
    """What is held of an address without its being a reader's: on the suppression list, where the keyed hash stays, and
    as the recipient of test mail. False where nothing was."""
    listed = session.execute(
        sa.update(Suppression)
        .where(
            col(Suppression.address_hash) == address_hash,
            sa.or_(col(Suppression.address).is_not(None), col(Suppression.note) != ""),
        )
        .values(address=None, note="")
        .returning(col(Suppression.id))
        .execution_options(synchronize_session=False)
    ).all()
    tests = ledger.forget_recipient(session, address.text, now)
    return bool(listed or tests)


def _keep_the_hash(session: Session, address_hash: str, *, by: str, now: datetime) -> None:
    """Every entry of the list loses the address and its note, which may quote it; one for every publication stands."""
    stands = False
    for entry in session.exec(select(Suppression).where(Suppression.address_hash == address_hash)):
        entry.address, entry.note = None, ""
        stands |= entry.lifted_at is None and entry.publication_id is None
        session.add(entry)
    if not stands:
        session.add(Suppression(address_hash=address_hash, reason=SuppressionReason.ERASED, added_at=now, added_by=by))
