"""The whole policy: what goes, after how many days, and what lets it go."""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlmodel import col

from mailer.retention import mail, readers
from mailer.retention.kind import Kind, blanking, count, deleting
from mailer.subscribers import partings
from mailer.subscribers.subscription import UNDO
from mailer.tables import (
    AddressChange,
    Arrival,
    Attempt,
    Consent,
    Delivery,
    Departures,
    Forward,
    Parting,
    Quarantine,
    Subscriber,
    Subscription,
    Suppression,
    UserSession,
)

_LATELY = timedelta(days=3)  #: servers may still say something of a reader who was erased while a mail was on its way

KINDS: Sequence[Kind] = (
    Kind(
        name="unconfirmed",
        what="requests that nobody confirmed, with their addresses",
        days=lambda settings: settings.keep_unconfirmed_days,
        key=col(Subscription.id),
        going=readers.unconfirmed,
        remove=readers.drop_unconfirmed,
        portion=100,
    ),
    Kind(
        name="former",
        what="readers who left, or whose address is dead; a keyed hash stays",
        days=lambda settings: settings.keep_former_days,
        key=col(Subscriber.id),
        going=readers.former,
        remove=readers.erasing(readers.former),
        portion=20,
    ),
    Kind(
        name="left-behind",
        what="former addresses of readers who were erased at their new one",
        days=lambda settings: UNDO.days,
        key=col(Subscriber.id),
        going=readers.left_behind,
        remove=readers.erasing(readers.left_behind),
        portion=20,
    ),
    Kind(
        name="changes",
        what="that a change of address was asked for",
        days=lambda settings: max(UNDO.days, -(-settings.confirmation_hours // 24)),
        key=col(AddressChange.request_id),
        going=lambda cutoff: sa.select(col(AddressChange.request_id)).where(col(AddressChange.asked_at) < cutoff),
        remove=deleting(AddressChange.request_id, lambda cutoff: col(AddressChange.asked_at) < cutoff),
    ),
    Kind(
        name="partings",
        what="why readers left; nobody knows who",
        days=lambda settings: settings.keep_log_days,
        key=col(Parting.id),
        going=lambda cutoff: sa.select(col(Parting.id)).where(col(Parting.month) < cutoff.date()),
        remove=deleting(Parting.id, lambda cutoff: col(Parting.month) < cutoff.date()),
        then=partings.mix,
    ),
    Kind(
        name="networks",
        what="networks in consents",
        days=lambda settings: settings.keep_network_days,
        key=col(Consent.id),
        going=readers.with_network,
        remove=readers.blank_networks,
    ),
    Kind(
        name="deliveries",
        what="deliveries with every attempt; counts by issue stay",
        days=lambda settings: settings.keep_log_days,
        key=col(Delivery.id),
        going=mail.old_deliveries,
        remove=mail.discard_deliveries,
    ),
    Kind(
        name="replies",
        what="words of servers about readers who were erased",
        days=lambda settings: _LATELY.days,
        key=col(Attempt.id),
        going=mail.words_of_relays,
        remove=blanking(col(Attempt.id), col(Attempt.reply)),
    ),
    Kind(
        name="reports",
        what="words of reports about readers who were erased",
        days=lambda settings: 0,
        key=col(Arrival.id),
        going=mail.words_of_reports,
        remove=blanking(col(Arrival.id), col(Arrival.diagnostic), col(Arrival.reporter)),
    ),
    Kind(
        name="quarantine",
        what="the text of mail that came in",
        days=lambda settings: settings.keep_quarantine_days,
        key=col(Quarantine.arrival_id),
        going=mail.old_quarantine,
        remove=lambda session, keys, cutoff, now: count(
            session, sa.delete(Quarantine).where(col(Quarantine.arrival_id).in_(keys))
        ),
        portion=20,
    ),
    Kind(
        name="forwards",
        what="the text of mail that went on to the editors",
        days=lambda settings: settings.keep_quarantine_days,
        key=col(Forward.arrival_id),
        going=mail.old_forwards,
        remove=lambda session, keys, cutoff, now: count(
            session, sa.delete(Forward).where(col(Forward.arrival_id).in_(keys))
        ),
    ),
    Kind(
        name="arrivals",
        what="what is known of mail that came in",
        days=lambda settings: settings.keep_arrival_days,
        key=col(Arrival.id),
        going=mail.old_arrivals,
        remove=deleting(Arrival.id, mail.is_past),
    ),
    Kind(
        name="lifted",
        what="entries of the suppression list that were lifted",
        days=lambda settings: settings.keep_log_days,
        key=col(Suppression.id),
        going=lambda cutoff: sa.select(col(Suppression.id)).where(col(Suppression.lifted_at) < cutoff),
        remove=deleting(Suppression.id, lambda cutoff: col(Suppression.lifted_at) < cutoff),
    ),
    Kind(
        name="listed",
        what="addresses and notes on the suppression list, of who is no reader; a keyed hash stays",
        days=lambda settings: settings.keep_former_days,
        key=col(Suppression.id),
        going=readers.listed_alone,
        remove=readers.blank_listed,
    ),
    Kind(
        name="sessions",
        what="browsers that are no longer signed in",
        days=lambda settings: 0,
        key=col(UserSession.id),
        going=lambda cutoff: sa.select(col(UserSession.id)).where(col(UserSession.expires_at) < cutoff),
        remove=deleting(UserSession.id, lambda cutoff: col(UserSession.expires_at) < cutoff),
    ),
    Kind(
        name="departures",
        what="how many mails a relay was given, five minutes each",
        days=lambda settings: 2,
        key=col(Departures.relay),
        going=lambda cutoff: sa.select(col(Departures.relay)).where(col(Departures.began_at) < cutoff).distinct(),
        remove=deleting(Departures.relay, lambda cutoff: col(Departures.began_at) < cutoff),
    ),
)
