"""When a reader's mail has failed often enough: what is in doubt waits for a second failure, soft ones add up.

Counted is the run of failures since the last mail that arrived, or since the reader or the operator said that all is
well. A report that came back counts like a refusal in the session itself. Only what is the reader's counts; what is
ours, such as a block or a spam verdict, never does. Before soft failures end a subscription the reader is asked.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, col, func, select

from mailer.delivery import automatic
from mailer.delivery.dead import give_up
from mailer.delivery.reply import Meaning, Reply, Stage, meaning
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.inbound.incoming import Category, Effect
from mailer.subscribers import optin
from mailer.tables import (
    Arrival,
    Attempt,
    Consent,
    ConsentEvent,
    Delivery,
    DeliveryKind,
    Subscriber,
    Subscription,
    Suppression,
    SuppressionReason,
)

log = logging.getLogger(__name__)

OURS = frozenset(
    {
        Category.SPAM,
        Category.POLICY,
        Category.BLOCKED,
        Category.AUTHENTICATION,
        Category.OUR_FAULT,
        Category.MESSAGE,
        Category.UNKNOWN,
    }
)
"""Faults of the sender, its host or the message, and words that nobody here knows: for the operator to look at."""

DOUBTED = frozenset({Category.UNKNOWN_USER, Category.DOUBTED_USER, Category.UNKNOWN_DOMAIN, Category.INACTIVE})
"""Death that may be an illness: the second failure decides, where it comes a day after the first or later. An unknown
user is among them where the report is not about the reader's own address but about one behind a forwarding."""

POINTS: Mapping[Category, int] = MappingProxyType(
    {
        Category.MAILBOX_FULL: 1,
        Category.TEMPORARY: 1,
        **dict.fromkeys(DOUBTED, 2),
    }
)
NEAR = 3
"""Points from which on the reader is asked."""
ENOUGH = 5
SENDS = 3
SPAN = timedelta(days=14)
"""ENOUGH points, from SENDS mails or more, the last sent SPAN after the first or later, and one after the question."""

ASKED_EVERY = timedelta(days=30)

A_DAY = timedelta(days=1)
SETTLED = timedelta(days=5)
"""A mail of which nothing came back for so long has arrived: servers give up after five days (RFC 5321 §4.5.4.1)."""

LOOKED_AT = 60  #: mails

REFUSALS: Mapping[Meaning, tuple[Category, frozenset[Stage]]] = MappingProxyType(
    {
        Meaning.MAILBOX_FULL: (Category.MAILBOX_FULL, frozenset({Stage.RCPT, Stage.DATA, Stage.DOT})),
        Meaning.TEMPORARY: (Category.TEMPORARY, frozenset({Stage.RCPT})),
        Meaning.INACTIVE: (Category.INACTIVE, frozenset({Stage.RCPT})),
        Meaning.DOUBTED_ADDRESS: (Category.DOUBTED_USER, frozenset({Stage.RCPT})),
        Meaning.DEAD_DOMAIN: (Category.UNKNOWN_DOMAIN, frozenset({Stage.RCPT})),
    }
)
"""What a refusal in the session counts as, and at which stages it speaks of the reader. A dead address is given up at
once, where its answer is recorded."""

_AGES_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class _Failure(NamedTuple):
    sent_at: datetime
    category: Category


class _Run(NamedTuple):
    failures: Sequence[_Failure]  #: the newest first, one for each mail: the heaviest
    asked_at: datetime | None  #: when the reader was last asked, within this run


def refusal(reply: Reply) -> Category | None:
    """What this answer of a server counts as; None where it says nothing about the reader."""
    category, stages = REFUSALS.get(meaning(reply), (None, frozenset[Stage]()))
    return category if reply.stage in stages else None


def weigh(session: Session, subscription_id: int, now: datetime, note: str = "") -> str | None:
    """After a failure that counts: suppresses the reader, or asks whether mails are read, or neither.

    Returns why the reader was suppressed. `note`: the server's words, for the operator.
    """
    found = select(Subscriber).join(Subscription).where(Subscription.id == subscription_id)
    reader = session.exec(found.with_for_update(of=Subscriber)).one_or_none()
    if reader is None or reader.id is None:
        return None
    run = _run(session, reader, now)
    dead, lost = _dead(run), _lost(run)
    why = dead or (lost if _asked_in_vain(run) else None)
    if why:
        reason = SuppressionReason.BOUNCE if dead else SuppressionReason.UNREACHABLE
        give_up(session, subscription_id, reason, f"{why}: {note}" if note else why, now)
    elif _points(run) >= NEAR and not _was_asked(session, reader, since=now - ASKED_EVERY):
        _ask(session, subscription_id, now)
    return why


def _dead(run: _Run) -> str | None:
    doubted = [each for each in run.failures if each.category in DOUBTED]
    if len(doubted) >= 2 and doubted[0].sent_at - doubted[-1].sent_at >= A_DAY:
        return f"{doubted[0].category}, again after {doubted[-1].sent_at:%Y-%m-%d}"
    return None


def _lost(run: _Run) -> str | None:
    failures = run.failures
    if _points(run) >= ENOUGH and len(failures) >= SENDS and failures[0].sent_at - failures[-1].sent_at >= SPAN:
        first, last = failures[-1], failures[0]
        return f"{len(failures)} mails in a row failed since {first.sent_at:%Y-%m-%d}, the last one: {last.category}"
    return None


def _points(run: _Run) -> int:
    return sum(POINTS[each.category] for each in run.failures)


# The question


def _asked_in_vain(run: _Run) -> bool:
    """Whether a mail failed that was sent after the reader was asked."""
    return run.asked_at is not None and any(each.sent_at > run.asked_at for each in run.failures)


def _was_asked(session: Session, reader: Subscriber, *, since: datetime) -> bool:
    asked = (
        select(Delivery.id)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(
            Subscription.subscriber_id == reader.id,
            Delivery.kind == DeliveryKind.WARNING,
            Delivery.queued_at > since,
        )
    )
    return session.exec(asked.limit(1)).first() is not None


def _ask(session: Session, subscription_id: int, now: datetime) -> None:
    owed = optin.ask_again(session, subscription_id, now)
    if owed:
        automatic.queue(session, owed, now)
        log.info("subscription %d: mails keep failing, the reader is asked", subscription_id)


# The run


def _run(session: Session, reader: Subscriber, now: datetime) -> _Run:
    """What failed since the last success, since a suppression was lifted, and since the reader confirmed."""
    since = _all_was_well(session, reader)
    sent = session.execute(
        sa.select(
            col(Delivery.id),
            col(Delivery.kind),
            col(Delivery.status),
            col(Delivery.queued_at),
            col(Delivery.changed_at),
        )
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(col(Subscription.subscriber_id) == reader.id, col(Delivery.queued_at) >= since)
        .order_by(col(Delivery.id).desc())
        .limit(LOOKED_AT)
    ).all()
    told = _reported(session, [row[0] for row in sent])
    for delivery_id, category in _refused(session, [row[0] for row in sent if row[2] is DeliveryStatus.REFUSED]):
        told[delivery_id].append(category)
    failures, asked_at = list[_Failure](), None
    for delivery_id, kind, status, queued_at, changed_at in sent:
        if status is DeliveryStatus.ACCEPTED and changed_at <= now - SETTLED and not told[delivery_id]:
            break
        if kind is DeliveryKind.WARNING:
            asked_at = asked_at or queued_at  # its own failure counts for nothing
        elif told[delivery_id]:
            failures.append(_Failure(queued_at, max(told[delivery_id], key=lambda each: POINTS[each])))
    return _Run(failures, asked_at)


def _all_was_well(session: Session, reader: Subscriber) -> datetime:
    """When a suppression was last lifted, or the reader last confirmed."""
    lifted = session.exec(
        select(func.max(Suppression.lifted_at)).where(Suppression.address_hash == reader.address_hash)
    ).one()
    confirmed = session.exec(
        select(func.max(Consent.at))
        .join(Subscription, col(Subscription.id) == col(Consent.subscription_id))
        .where(Subscription.subscriber_id == reader.id, Consent.event == ConsentEvent.CONFIRMED)
    ).one()
    return max(lifted or _AGES_AGO, confirmed or _AGES_AGO)


def _reported(session: Session, delivery_ids: Sequence[int]) -> defaultdict[int | None, list[Category]]:
    reports = session.exec(
        select(Arrival.delivery_id, Arrival.category).where(
            col(Arrival.delivery_id).in_(delivery_ids),
            col(Arrival.effect).in_((Effect.BOUNCED, Effect.SUPPRESSED)),
        )
    )
    told = defaultdict[int | None, list[Category]](list)
    for delivery_id, category in reports:
        if category is not None and category in POINTS:
            told[delivery_id].append(Category(category))
    return told


def _refused(session: Session, delivery_ids: Sequence[int | None]) -> list[tuple[int, Category]]:
    """What the last attempts at these deliveries, refused for good, count as."""
    attempts = session.exec(
        select(Attempt.delivery_id, Attempt.stage, Attempt.code, Attempt.reply)
        .where(
            col(Attempt.delivery_id).in_(delivery_ids),
            col(Attempt.outcome).in_((AttemptOutcome.REFUSED, AttemptOutcome.DEFERRED)),
            col(Attempt.code).is_not(None),
        )
        .order_by(col(Attempt.id))
    )
    last = {
        delivery_id: Reply(Stage(stage), code, reply or "") for delivery_id, stage, code, reply in attempts if stage
    }
    return [(delivery_id, category) for delivery_id, reply in last.items() if (category := refusal(reply))]
