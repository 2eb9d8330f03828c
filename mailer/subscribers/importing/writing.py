"""A batch of rows and the database: what is known of their addresses, and what they change, in few statements.

The functions take a session of a writing transaction and never commit. Subscribers that exist are locked before
anything under them is looked at, as a reader's own act does it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.subscribers.importing.fates import Act, As, Fate, Held, Item, Standing
from mailer.subscribers.states import SubscriptionEvent, SubscriptionStatus, advance
from mailer.subscribers.suppression import LIFTED_BY_CONFIRMING
from mailer.tables import Consent, ConsentEvent, Edition, Subscriber, Subscription, Suppression, metadata


class ToAsk(NamedTuple):
    """A reader who is to get a confirmation mail."""

    subscription_id: int
    edition_id: int
    consent_id: int  #: what it answers
    destination: str  #: the receiving domain


@dataclass(frozen=True, kw_only=True)
class Hand:
    """Who writes, from where, and how a mail is queued."""

    source: str  #: "import readers.csv"
    by: str
    ask: Callable[[Session, Sequence[ToAsk]], None]


CHANGING = frozenset({Fate.ADDED, Fate.ASKED, Fate.WAITING, Fate.LEFT, Fate.SUPPRESSED})


def standings(
    session: Session, items: Collection[Item], publication_id: int | None, how: As, *, lock: bool
) -> dict[str, Standing]:
    """How the addresses stand in this publication; in none, only for what they are suppressed."""
    found = {item.hash: Standing() for item in items}
    of = col(Suppression.publication_id)
    listed = sa.select(col(Suppression.address_hash), of, col(Suppression.reason)).where(
        col(Suppression.address_hash).in_(list(found)),
        col(Suppression.lifted_at).is_(None),
        sa.true() if how is As.SUPPRESSED else sa.or_(of.is_(None), of == publication_id),
    )
    weak_first = col(Suppression.reason).not_in(LIFTED_BY_CONFIRMING)
    for address_hash, suppressed_in, reason in session.execute(listed.order_by(weak_first, col(Suppression.id))):
        found[address_hash].suppress(reason, suppressed_in)
    readers = sa.select(col(Subscriber.id), col(Subscriber.address_hash)).where(
        col(Subscriber.address_hash).in_(list(found))
    )
    by_id = dict[int, Standing]()
    for subscriber_id, address_hash in session.execute(
        readers.order_by(col(Subscriber.id)).with_for_update() if lock else readers
    ):
        found[address_hash].subscriber_id = subscriber_id
        by_id[subscriber_id] = found[address_hash]
    if by_id and publication_id is not None:
        _subscriptions(session, by_id, publication_id)
        _left(session, by_id)
        _by_reader(session, items, found, how)
    return found


def _subscriptions(session: Session, by_id: Mapping[int, Standing], publication_id: int) -> None:
    editions = sa.select(col(Edition.id)).where(col(Edition.publication_id) == publication_id)
    rows = sa.select(
        col(Subscription.subscriber_id), col(Subscription.edition_id), col(Subscription.status), col(Subscription.id)
    ).where(col(Subscription.subscriber_id).in_(list(by_id)), col(Subscription.edition_id).in_(editions))
    for subscriber_id, edition_id, status, subscription_id in session.execute(rows):
        by_id[subscriber_id].held[edition_id] = Held(status, subscription_id)


def _left(session: Session, by_id: Mapping[int, Standing]) -> None:
    """Whose last word was that they leave, of those whom somebody has asked for since."""
    pending = {
        each.id: each
        for standing in by_id.values()
        for each in standing.held.values()
        if each.status is SubscriptionStatus.PENDING
    }
    later = metadata.tables["consent"].alias("later")
    again = sa.exists().where(
        later.c.subscription_id == col(Consent.subscription_id),
        later.c.event.in_((ConsentEvent.CONFIRMED, ConsentEvent.RESTORED)),
        later.c.id > col(Consent.id),
    )
    left = sa.select(col(Consent.subscription_id)).where(
        col(Consent.subscription_id).in_(list(pending)), col(Consent.event) == ConsentEvent.LEFT, ~again
    )
    for subscription_id in session.execute(left).scalars() if pending else ():
        pending[subscription_id].left = True


def _by_reader(session: Session, items: Collection[Item], found: Mapping[str, Standing], how: As) -> None:
    """Who confirmed here, of those whom the file takes out."""
    if how is As.SUPPRESSED:
        return
    out = {item.hash for item in items if item.act in (Act.LEAVE, Act.SUPPRESS, Act.END)}
    held = {
        each.id: each
        for address_hash in out
        for each in found[address_hash].held.values()
        if each.status is SubscriptionStatus.CONFIRMED
    }
    confirmed = sa.select(col(Consent.subscription_id)).where(
        col(Consent.subscription_id).in_(list(held)), col(Consent.event) == ConsentEvent.CONFIRMED
    )
    for subscription_id in session.execute(confirmed).scalars() if held else ():
        held[subscription_id].by_reader = True


def write(
    session: Session,
    changes: Sequence[tuple[Item, Fate]],
    standings: Mapping[str, Standing],
    before: Mapping[int, SubscriptionStatus],
    hand: Hand,
    now: datetime,
) -> None:
    """Makes the database what `standings` say after these changes, with evidence for each.

    `before`: the statuses of the subscriptions that existed, by id.
    """
    told = [(item, fate) for item, fate in changes if item.act is not Act.SUPPRESS]
    _subscribe(session, [item for item, _ in told], standings, now)
    ids = _add(session, told, standings, now)
    _move(session, told, standings, before, now)
    _evidence(session, told, ids, hand, now)
    asked = [(item, ids[item.hash, item.edition_id]) for item, fate in told if fate is Fate.ASKED]
    if asked:
        hand.ask(session, _to_ask(session, asked))
    _list(session, [item for item, _ in changes if item.act is Act.SUPPRESS], standings, hand, now)


def _insert(session: Session, table: type, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(sa.insert(table), rows)


def _subscribe(session: Session, items: Sequence[Item], standings: Mapping[str, Standing], now: datetime) -> None:
    """Subscribers that are not there yet. Raises IntegrityError where one subscribes at this moment."""
    fresh = {
        item.hash: {
            "address": item.address.text,
            "address_hash": item.hash,
            "domain": item.address.domain,
            "created_at": now,
        }
        for item in items
        if item.address and standings[item.hash].subscriber_id is None
    }
    _insert(session, Subscriber, list(fresh.values()))
    written = sa.select(col(Subscriber.id), col(Subscriber.address_hash)).where(
        col(Subscriber.address_hash).in_(list(fresh))
    )
    for subscriber_id, address_hash in session.execute(written) if fresh else ():
        standings[address_hash].subscriber_id = subscriber_id


def _add(
    session: Session, told: Sequence[tuple[Item, Fate]], standings: Mapping[str, Standing], now: datetime
) -> dict[tuple[str, int], int]:
    """Subscriptions that are not there yet. Returns the ids of all that were told of, by address and edition."""
    rows, hashes = dict[tuple[str, int], dict[str, Any]](), dict[int, str]()
    ids = dict[tuple[str, int], int]()
    for item, _ in told:
        standing = standings[item.hash]
        held = standing.held[item.edition_id]
        if held.id is not None:
            ids[item.hash, item.edition_id] = held.id
            continue
        assert standing.subscriber_id is not None
        hashes[standing.subscriber_id] = item.hash
        rows[item.hash, item.edition_id] = {
            "subscriber_id": standing.subscriber_id,
            "edition_id": item.edition_id,
            "status": held.status,
            "language": item.language,
            "created_at": now,
            "changed_at": now,
            "paused_until": item.paused_until,
        }
    _insert(session, Subscription, list(rows.values()))
    written = sa.select(col(Subscription.id), col(Subscription.subscriber_id), col(Subscription.edition_id)).where(
        col(Subscription.subscriber_id).in_(list(hashes))
    )
    for subscription_id, subscriber_id, edition_id in session.execute(written) if hashes else ():
        ids[hashes[subscriber_id], edition_id] = subscription_id
    return ids


_EVENTS = {
    SubscriptionStatus.CONFIRMED: SubscriptionEvent.IMPORT,
    SubscriptionStatus.UNSUBSCRIBED: SubscriptionEvent.LEAVE,
    SubscriptionStatus.SUPPRESSED: SubscriptionEvent.SUPPRESS,
}


def _move(
    session: Session,
    told: Sequence[tuple[Item, Fate]],
    standings: Mapping[str, Standing],
    before: Mapping[int, SubscriptionStatus],
    now: datetime,
) -> None:
    moved = defaultdict[SubscriptionStatus, set[int]](set)
    for item, _ in told:
        held = standings[item.hash].held[item.edition_id]
        if held.id is not None and before[held.id] is not held.status:
            assert advance(before[held.id], _EVENTS[held.status]) is held.status
            moved[held.status].add(held.id)
    for status, ids in moved.items():
        changing = sa.update(Subscription).where(col(Subscription.id).in_(list(ids)))
        session.execute(changing.values(status=status, changed_at=now))


def _evidence(
    session: Session,
    told: Sequence[tuple[Item, Fate]],
    ids: Mapping[tuple[str, int], int],
    hand: Hand,
    now: datetime,
) -> None:
    """A Consent for each. None is one that the reader gave here: its event says so."""
    rows = []
    for item, fate in told:
        common = {
            "subscription_id": ids[item.hash, item.edition_id],
            "at": now,
            "language": item.language,
            "source": f"{hand.source}: {item.note}" if item.note else hand.source,
            "network": item.network,
        }
        if item.evidence or fate not in (Fate.LEFT, Fate.SUPPRESSED):
            rows.append({**common, "event": ConsentEvent.IMPORTED, "wording": item.evidence})
        if fate is Fate.LEFT:
            rows.append({**common, "event": ConsentEvent.LEFT, "wording": ""})
    _insert(session, Consent, rows)


def _to_ask(session: Session, asked: Sequence[tuple[Item, int]]) -> list[ToAsk]:
    evidence = (
        sa.select(col(Consent.subscription_id), sa.func.max(col(Consent.id)))
        .where(
            col(Consent.subscription_id).in_([subscription_id for _, subscription_id in asked]),
            col(Consent.event) == ConsentEvent.IMPORTED,
        )
        .group_by(col(Consent.subscription_id))
    )
    consents = {row[0]: row[1] for row in session.execute(evidence)}
    return [
        ToAsk(subscription_id, item.edition_id, consents[subscription_id], item.address.domain)
        for item, subscription_id in asked
        if item.address
    ]


def _list(
    session: Session, items: Sequence[Item], standings: Mapping[str, Standing], hand: Hand, now: datetime
) -> None:
    """On the suppression list, for every publication or the one that is named; its subscriptions end."""
    rows = [
        {
            "address_hash": item.hash,
            "address": item.address.text if item.address else None,
            "publication_id": item.publication_id,
            "reason": item.reason,
            "note": item.note[:500],
            "added_at": now,
            "added_by": hand.by,
        }
        for item in items
    ]
    _insert(session, Suppression, rows)
    readers = defaultdict[int | None, list[int]](list)
    for item in items:
        if (subscriber_id := standings[item.hash].subscriber_id) is not None:
            readers[item.publication_id].append(subscriber_id)
    for publication_id, ids in readers.items():
        ending = sa.update(Subscription).where(
            col(Subscription.subscriber_id).in_(ids), col(Subscription.status) != SubscriptionStatus.SUPPRESSED
        )
        if publication_id is not None:
            editions = sa.select(col(Edition.id)).where(col(Edition.publication_id) == publication_id)
            ending = ending.where(col(Subscription.edition_id).in_(editions))
        session.execute(ending.values(status=SubscriptionStatus.SUPPRESSED, changed_at=now))
