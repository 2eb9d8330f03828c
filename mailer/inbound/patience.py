"""When a reader's mail has failed often enough: what is in doubt waits for a second failure, soft ones add up.

Counted is the run of failures since the last mail that arrived. Only what is the reader's counts; what is ours, such as
a block or a spam verdict, never does.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from sqlmodel import Session, col, select

from mailer.delivery.states import DeliveryStatus
from mailer.inbound.incoming import Category, Effect
from mailer.tables import Arrival, Delivery, Subscription

OURS = frozenset(
    {
        Category.SPAM,
        Category.POLICY,
        Category.BLOCKED,
        Category.AUTHENTICATION,
        Category.OUR_FAULT,
        Category.MESSAGE,
    }
)
"""Faults of the sender, its host or the message: for the operator to mend."""

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
ENOUGH = 5
SENDS = 3
SPAN = timedelta(days=14)
"""ENOUGH points, from SENDS mails or more, the last sent SPAN after the first or later."""

A_DAY = timedelta(days=1)
SETTLED = timedelta(days=5)
"""A mail of which nothing came back for so long has arrived: servers give up after five days (RFC 5321 §4.5.4.1)."""

LOOKED_AT = 60  #: mails


class _Failure(NamedTuple):
    sent_at: datetime
    category: Category


def lost(session: Session, subscriber_id: int, now: datetime) -> str | None:
    """Why this reader's address is to be given up, or None while it is not."""
    run = _run(session, subscriber_id, now)
    doubted = [each for each in run if each.category in DOUBTED]
    if len(doubted) >= 2 and doubted[0].sent_at - doubted[-1].sent_at >= A_DAY:
        return f"{doubted[0].category}, again after {doubted[-1].sent_at:%Y-%m-%d}"
    points = sum(POINTS[each.category] for each in run)
    if points >= ENOUGH and len(run) >= SENDS and run[0].sent_at - run[-1].sent_at >= SPAN:
        return f"{len(run)} mails in a row failed since {run[-1].sent_at:%Y-%m-%d}, the last one: {run[0].category}"
    return None


def _run(session: Session, subscriber_id: int, now: datetime) -> list[_Failure]:
    """The failures since the last success, the newest first, one for each mail: the heaviest."""
    sent = session.exec(
        select(Delivery.id, Delivery.status, Delivery.queued_at, Delivery.changed_at)
        .join(Subscription, col(Subscription.id) == col(Delivery.subscription_id))
        .where(Subscription.subscriber_id == subscriber_id)
        .order_by(col(Delivery.id).desc())
        .limit(LOOKED_AT)
    ).all()
    reports = session.exec(
        select(Arrival.delivery_id, Arrival.category).where(
            col(Arrival.delivery_id).in_([row[0] for row in sent]),
            col(Arrival.effect).in_((Effect.BOUNCED, Effect.SUPPRESSED)),
        )
    )
    told = defaultdict[int | None, list[Category]](list)
    for delivery_id, category in reports:
        if category is not None and category in POINTS:
            told[delivery_id].append(Category(category))
    run = []
    for delivery_id, status, queued_at, changed_at in sent:
        if delivery_id in told:
            run.append(_Failure(queued_at, max(told[delivery_id], key=lambda each: POINTS[each])))
        elif status is DeliveryStatus.ACCEPTED and changed_at <= now - SETTLED:
            break
    return run
