"""Subscribers and subscriptions are let go, and the mail that went to them loses its reader. No hash stays."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from mailer.delivery import ledger
from mailer.subscribers import chain
from mailer.tables import Subscriber, Subscription


def forget(session: Session, subscriber_ids: Sequence[int], why: str, now: datetime) -> None:
    """Lets these subscribers go without leaving a hash: for those who never confirmed."""
    subscriptions = sa.select(col(Subscription.id)).where(col(Subscription.subscriber_id).in_(subscriber_ids))
    forget_subscriptions(session, subscriptions, why, now)
    session.execute(
        sa.delete(Subscriber).where(col(Subscriber.id).in_(subscriber_ids)).execution_options(synchronize_session=False)
    )


def forget_subscriptions(session: Session, subscriptions: sa.Select[Any], why: str, now: datetime) -> None:
    """What hangs on these subscriptions, before they are deleted themselves."""
    session.flush()
    ledger.forget_readers(session, subscriptions, now)
    chain.remove(session, subscriptions, why, now)
