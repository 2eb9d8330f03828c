"""The ledger: what may be sent, what is being sent, what came of it. Everything that changes a Delivery is here.

    enqueuing   an issue becomes one Delivery for each of its readers
    claiming    an Attempt is written and the Delivery is `sending`, before the first byte may leave
    recording   the answer is written and the Delivery moves on
    uncertain   what a dead worker left open is not known, and the publication's policy or the operator decides
    forgetting  readers go: what waits for them is withdrawn, and what servers said of them is blanked
    following   a reader goes on at another address: what waits goes there
    ending      when an issue is done, and what becomes of a cancelled one
    returning   a report or a complaint came in about a mail that was taken
    moving      the one statement that changes a Delivery's state

Functions take a session and never commit: the caller's one transaction records the answers of the last moments and
claims the next deliveries, so answers are grouped by nothing but the speed of the disk. Every statement names the
states it may leave (delivery.states); one that finds other rows than it expects raises and changes nothing.

What runs for every reader is one statement for many, put together once when the module is loaded: at a million
readers, putting a statement together costs more than the database needs for it.
"""

from mailer.delivery.ledger.claiming import Claim, LeaseLost, claim, has_due
from mailer.delivery.ledger.ending import is_finished, withdraw_issue
from mailer.delivery.ledger.enqueuing import count_readers, enqueue_issue
from mailer.delivery.ledger.following import follow
from mailer.delivery.ledger.forgetting import discard, forget_late, forget_readers, forget_recipient, has_reader
from mailer.delivery.ledger.moving import exchange
from mailer.delivery.ledger.recording import Answer, record, refused_among
from mailer.delivery.ledger.uncertain import (
    MAY_RESEND,
    RESEND_AFTER,
    give_back,
    left_open,
    orphan,
    resend,
    settle_uncertain,
)

__all__ = [
    "MAY_RESEND",
    "RESEND_AFTER",
    "Answer",
    "Claim",
    "LeaseLost",
    "claim",
    "count_readers",
    "discard",
    "enqueue_issue",
    "exchange",
    "follow",
    "forget_late",
    "forget_readers",
    "forget_recipient",
    "give_back",
    "has_due",
    "has_reader",
    "is_finished",
    "left_open",
    "orphan",
    "record",
    "refused_among",
    "resend",
    "settle_uncertain",
    "withdraw_issue",
]
