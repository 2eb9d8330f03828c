"""The chain of consents: a later edit, deletion, insertion or reordering shows.

Acts write their Consent and nothing else. `seal`, run by the worker, hangs what is new onto one chain for the whole
installation: so no act waits for another, an import of a million rows is not one long transaction, and a chain that
has one writer cannot fork. A link holds a salted digest of the consent, not its content: the content can be erased,
the salt goes with it, and what stays says nothing about anybody. Why so: docs/decisions/0017-consent-chain.md.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.errors import MailerError
from mailer.tables import Consent, Seal, SealEvent, Subscriber, Subscription, metadata

AT_ONCE = 200
"""Consents sealed in one transaction: on SQLite a sender has to wait for it."""

PAGE = 2_000
"""Links held in memory while the chain is walked."""

_SALT = 16  #: octets
_LOCK = 0x5EA1  #: PostgreSQL's advisory lock: whoever seals is alone

_consent, _seal, _removal = (metadata.tables[name] for name in ("consent", "seal", "removal"))
_subscription, _subscriber = metadata.tables["subscription"], metadata.tables["subscriber"]


class AnchorError(MailerError):
    """An anchor is written NUMBER:HASH."""


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The place of a link and its hash: whoever kept one elsewhere knows that nothing before it was rewritten."""

    number: int
    link: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.link.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Anchor":
        """Raises AnchorError."""
        number, _, link = text.strip().partition(":")
        try:
            anchor = cls(number=int(number), link=bytes.fromhex(link))
        except ValueError:
            anchor = None
        if anchor is None or len(anchor.link) != 32 or not 0 < anchor.number < 2**63:
            raise AnchorError(f"{text!r} is not an anchor. Write it as mailer consent verify printed it: NUMBER:HASH")
        return anchor


# Digests


def content(values: Mapping[str, Any]) -> bytes:
    """A consent as octets: different ones for different consents, the same on every database. `values`: its row, and
    the edition of its subscription."""
    fields = [1, *(_plain(values[name]) for name in _SEALED)]
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()


_SEALED = (
    "id",
    "subscription_id",
    "edition_id",
    "subject",
    "event",
    "at",
    "wording",
    "language",
    "source",
    "network_digest",
    "request_id",
)


def _plain(value: Any) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes):
        return value.hex()
    return None if value is None else value if isinstance(value, int) else str(value)


def digest(values: Mapping[str, Any], salt: bytes) -> bytes:
    return hashlib.sha256(salt + content(values)).digest()


def _link(values: Mapping[str, Any], before: bytes) -> bytes:
    fields = [1, *(_plain(values[name]) for name in ("number", "event", "consent_id", "at", "why", "digest"))]
    return hashlib.sha256(before + json.dumps(fields, separators=(",", ":")).encode()).digest()


# Sealing


def waits(session: Session) -> bool:
    """Whether anything is to be sealed."""
    return any(session.connection().execute(each).first() is not None for each in (_UNSEALED.limit(1), _REMOVALS))


def seal(session: Session, now: datetime, *, limit: int = AT_ONCE) -> int:
    """Hangs up to `limit` consents and removals onto the chain. Returns how many; 0 where nothing (more) waits.

    On PostgreSQL the second of two at the same time does nothing. What another transaction holds is left for later.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql" and not connection.scalar(
        sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))
    ):
        return 0
    last = head(session)
    new = list(_new(connection, now, limit))
    removed = _removed(connection, now, limit)
    number, link = (last.number, last.link) if last else (0, b"")
    rows = []
    for values in [*(row for row, _ in new), *removed]:
        number += 1
        entry = {**values, "number": number}
        entry["link"] = link = _link(entry, link)
        rows.append(entry)
    if rows:
        connection.execute(sa.insert(_seal), rows)
    if new:
        connection.execute(_FILL_IN, [filled for _, filled in new])
    return len(rows)


_UNSEALED = sa.select(col(Consent.id)).where(
    col(Consent.salt).is_(None),
    ~sa.exists().where(col(Seal.consent_id) == col(Consent.id), col(Seal.event) == SealEvent.KEPT),
)
_REMOVALS = sa.select(_removal).order_by(_removal.c.consent_id).limit(AT_ONCE)

_FILL_IN = (
    sa.update(_consent)
    .where(_consent.c.id == sa.bindparam("of"))
    .values({name: sa.bindparam(f"its_{name}") for name in ("salt", "subject", "network_salt", "network_digest")})
)


def _new(connection: sa.Connection, now: datetime, limit: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The link of each new consent, without number, and what its row is filled in with."""
    found = (
        _UNSEALED.with_only_columns(_consent, col(Subscription.edition_id), col(Subscriber.address_hash))
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .join(Subscriber, col(Subscriber.id) == col(Subscription.subscriber_id))
        .order_by(col(Consent.id))
        .limit(limit)
        .with_for_update(of=_consent, key_share=True, skip_locked=True)
    )
    for row in connection.execute(found).mappings():
        salt, network_salt = secrets.token_bytes(_SALT), secrets.token_bytes(_SALT) if row["network"] else None
        filled = {
            "salt": salt,
            "subject": row["address_hash"],
            "network_salt": network_salt,
            "network_digest": _network_digest(network_salt, row["network"]) if network_salt else None,
        }
        values = {
            "event": SealEvent.KEPT,
            "consent_id": row["id"],
            "at": now,
            "why": "",
            "digest": digest({**row, **filled}, salt),
        }
        yield values, {"of": row["id"], **{f"its_{name}": value for name, value in filled.items()}}


def _network_digest(salt: bytes, network: str) -> bytes:
    return hashlib.sha256(salt + network.encode()).digest()


def _removed(connection: sa.Connection, now: datetime, limit: int) -> list[dict[str, Any]]:
    """The links of what went. What was never sealed leaves none."""
    waiting = connection.execute(_REMOVALS.limit(limit)).mappings().all()
    if not waiting:
        return []
    ids = [row["consent_id"] for row in waiting]
    sealed = set(
        connection.execute(
            sa.select(_seal.c.consent_id).where(_seal.c.consent_id.in_(ids), _seal.c.event == SealEvent.KEPT)
        ).scalars()
    )
    connection.execute(sa.delete(_removal).where(_removal.c.consent_id.in_(ids)))
    return [
        {"event": SealEvent.REMOVED, "consent_id": row["consent_id"], "at": now, "why": row["why"], "digest": b""}
        for row in waiting
        if row["consent_id"] in sealed
    ]


def remove(session: Session, subscription_ids: sa.Select[Any] | Iterable[int], why: str, now: datetime) -> None:
    """Notes that the consents of these subscriptions go, in the transaction that lets them go."""
    going = sa.select(_consent.c.id, sa.literal(why), sa.literal(now, type_=_removal.c.at.type))
    if not isinstance(subscription_ids, sa.Select):
        subscription_ids = list(subscription_ids)
    going = going.where(_consent.c.subscription_id.in_(subscription_ids))
    session.connection().execute(sa.insert(_removal).from_select(["consent_id", "why", "at"], going))


def head(session: Session) -> Anchor | None:
    """The newest link."""
    row = session.connection().execute(sa.select(_seal).order_by(_seal.c.number.desc()).limit(1)).mappings().first()
    return Anchor(number=row["number"], link=row["link"]) if row else None


# Verifying


@dataclass(kw_only=True)
class Verdict:
    """What a walk along the chain found."""

    head: Anchor | None = None
    links: int = 0
    consents: int = 0  #: that stand there as they were sealed
    blanked: int = 0  #: of these, without their network any more
    removed: dict[str, int] = field(default_factory=dict)  #: why -> how many
    unsealed: int = 0  #: that wait for the worker
    broken: str | None = None  #: the first thing that is not as it was sealed, a sentence


def verify(
    session: Session,
    *,
    expected: Anchor | None = None,
    since: Anchor | None = None,
    hash_of: Callable[[str], str] | None = None,
) -> Verdict:
    """Walks the chain, in constant memory, from its beginning or from `since`, to its end or to what is broken.

    `expected`: an anchor that must stand in the chain. `hash_of`: address -> its keyed hash; without it, an address
    that was changed beside its hash does not show.
    """
    found = Verdict()
    wanted = {each.number: each for each in (expected, since) if each}
    number, link = (since.number - 1, None) if since else (0, b"")
    for row in _links(session, number):
        number += 1
        if row["number"] != number:
            return _broken(found, f"link {number} is missing")
        if link is not None and _link(row, link) != row["link"]:
            return _broken(found, f"link {number}, of consent {row['consent_id']}, is not the one that was sealed")
        link = row["link"]
        if number in wanted and wanted[number].link != link:
            return _broken(found, f"link {number} is another one than the anchor says: the chain was rewritten")
        why = _not_as_sealed(row, hash_of)
        if why:
            return _broken(found, f"consent {row['consent_id']} (link {number}) {why}")
        found.links += 1
        found.head = Anchor(number=number, link=link)
        if row["event"] == SealEvent.REMOVED:
            found.removed[row["why"]] = found.removed.get(row["why"], 0) + 1
        elif row["id"] is not None:
            found.consents += 1
            found.blanked += row["network_digest"] is not None and row["network_salt"] is None
    if any(each.number > number for each in wanted.values()):
        return _broken(found, f"the chain ends at link {number}, before the anchor: its end was cut off")
    connection = session.connection()
    smuggled = connection.scalar(_SMUGGLED)
    if smuggled is not None:
        return _broken(found, f"consent {smuggled} claims to be sealed, and no link is its own")
    again = connection.scalar(_AGAIN)
    if again is not None:
        return _broken(found, f"consent {again} was removed, and stands there again")
    found.unsealed = connection.scalar(sa.select(sa.func.count()).select_from(_UNSEALED.subquery())) or 0
    return found


def _broken(found: Verdict, why: str) -> Verdict:
    found.broken = why
    return found


_RETURN = _seal.alias("gone")
_WALK = (
    sa.select(
        _seal,
        *(column for column in _consent.c if column.name not in ("event", "at")),
        _consent.c.event.label("act"),
        _consent.c.at.label("acted_at"),
        _subscription.c.edition_id,
        _subscriber.c.address,
        _subscriber.c.address_hash,
        sa.func.coalesce(_RETURN.c.number, _removal.c.consent_id).label("gone"),
    )
    .outerjoin(_consent, sa.and_(_consent.c.id == _seal.c.consent_id, _seal.c.event == SealEvent.KEPT))
    .outerjoin(_subscription, _subscription.c.id == _consent.c.subscription_id)
    .outerjoin(_subscriber, _subscriber.c.id == _subscription.c.subscriber_id)
    .outerjoin(_RETURN, sa.and_(_RETURN.c.consent_id == _seal.c.consent_id, _RETURN.c.event == SealEvent.REMOVED))
    .outerjoin(_removal, _removal.c.consent_id == _seal.c.consent_id)
    .where(_seal.c.number > sa.bindparam("after"))
    .order_by(_seal.c.number)
    .limit(PAGE)
)
_SMUGGLED = (
    sa.select(_consent.c.id)
    .outerjoin(_seal, sa.and_(_seal.c.consent_id == _consent.c.id, _seal.c.event == SealEvent.KEPT))
    .where(_consent.c.salt.is_not(None), _seal.c.number.is_(None))
    .limit(1)
)
_AGAIN = (
    sa.select(_consent.c.id)
    .join(_seal, sa.and_(_seal.c.consent_id == _consent.c.id, _seal.c.event == SealEvent.REMOVED))
    .limit(1)
)


def _links(session: Session, after: int) -> Iterator[Mapping[str, Any]]:
    """A page at a time, each as one moment of the data."""
    while True:
        page = session.connection().execute(_WALK, {"after": after}).mappings().all()
        yield from map(dict, page)
        if len(page) < PAGE:
            return
        after = page[-1]["number"]


def _not_as_sealed(row: Mapping[str, Any], hash_of: Callable[[str], str] | None) -> str | None:
    """What is wrong with the consent of a link, None where nothing is."""
    if row["event"] == SealEvent.REMOVED:
        return None
    if row["id"] is None:
        return None if row["gone"] is not None else "was deleted behind the chain's back"
    if row["salt"] is None:
        return "lost its salt, and cannot be compared"
    salt, network = row["network_salt"], row["network"]
    if salt is None and network:
        return "has a network that was not sealed"
    if salt is not None and _network_digest(salt, network) != row["network_digest"]:
        return "has another network than was sealed"
    if digest({**row, "event": row["act"], "at": row["acted_at"]}, row["salt"]) != row["digest"]:
        return "is not what was sealed"
    if row["subject"] != row["address_hash"] or (hash_of and row["subject"] != hash_of(row["address"])):
        return "stands under another address than it was sealed for"
    return None
