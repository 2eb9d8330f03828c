"""A reader asks for everything that is held about them (GDPR art. 15).

The link to it goes to the reader's own mailbox: a link from any other letter, which may have been forwarded, shows
nothing and erases nothing.
"""

from datetime import datetime, timedelta

from sqlmodel import Session

from mailer.subscribers.optin import Owed
from mailer.subscribers.subscription import publication_of, row_of, was_written_to
from mailer.subscribers.suppression import is_suppressed
from mailer.tables import DeliveryKind


def ask(
    session: Session,
    subscription_id: int,
    kind: DeliveryKind = DeliveryKind.MY_DATA,
    *,
    window: timedelta,
    now: datetime,
) -> Owed | None:
    """Somebody with a link that names this subscription wants it, whatever became of the subscription.

    `kind`: MY_DATA for the letter with the link, MY_DATA_FILE for all of it. None where nobody is known any more, to a
    suppressed address, and within `window` of the last such letter.
    """
    row = row_of(session, subscription_id, lock=True)
    if row is None:
        return None
    subscription, subscriber = row
    if is_suppressed(session, subscriber.address_hash, publication_of(session, subscription)):
        return None
    if was_written_to(session, subscription.subscriber_id, since=now - window, now=now, kinds=(kind,)):
        return None
    return Owed(kind, subscription_id, subscription.edition_id, subscriber.domain)
