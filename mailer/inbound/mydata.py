"""By mail: everything that is held about a reader, to the reader's own mailbox, and its erasure."""

from datetime import datetime, timedelta

from sqlmodel import Session

from mailer import erasure
from mailer.delivery import automatic
from mailer.inbound.done import Done
from mailer.inbound.incoming import Effect
from mailer.subscribers import access
from mailer.tables import DeliveryKind, Subscription


def ask(session: Session, subscription_id: int, kind: DeliveryKind, window: timedelta, now: datetime) -> Done:
    """The letter with the ways (MY_DATA), or all of it (MY_DATA_FILE), goes to the reader."""
    owed = access.ask(session, subscription_id, kind, window=window, now=now)
    automatic.queue(session, owed, now)
    if owed is None:
        return Done(effect=Effect.NOTHING, reason="the address gets no mail, or was answered a moment ago")
    return Done(effect=Effect.REQUESTED, reason="the reader asked what is held about them", queued=True)


def erase(session: Session, subscription_id: int, now: datetime) -> Done:
    """Everything goes. There is nobody left to be answered."""
    named = session.get(Subscription, subscription_id)
    erased = erasure.erase_person(session, named.subscriber_id, by="reader", now=now) if named else []
    if not erased:
        return Done(effect=Effect.NOTHING, reason="what it names was erased before")
    return Done(effect=Effect.ERASED, reason="the reader had everything erased", erased=erased)
