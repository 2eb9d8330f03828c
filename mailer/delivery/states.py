"""The states of a Delivery and the only ways between them. The ledger moves rows along this table and no other.

queued ──claim──> sending ──> accepted ──> bounced, complained
  ^  └─withdraw     │ └─────> refused
  │                 ├───────> deferred ──claim──> sending
  └──resend── uncertain <┘         (deferred also ──> withdrawn)
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from mailer.errors import MailerError


class DeliveryStatus(enum.StrEnum):
    QUEUED = "queued"  #: waits for its first attempt, or for another after an uncertain one
    SENDING = "sending"  #: an attempt is on disk and may be on the wire
    ACCEPTED = "accepted"  #: the relay took responsibility (250 after the dot)
    DEFERRED = "deferred"  #: refused for now; another attempt is due
    REFUSED = "refused"  #: refused for good
    UNCERTAIN = "uncertain"  #: the attempt started and its answer is not known (RFC 1047)
    WITHDRAWN = "withdrawn"  #: the reader left, or the issue was cancelled, before it was sent
    BOUNCED = "bounced"  #: accepted, and reported undeliverable later
    COMPLAINED = "complained"  #: accepted, and reported as unwanted later


class DeliveryEvent(enum.StrEnum):
    CLAIM = "claim"
    ACCEPT = "accept"
    DEFER = "defer"
    REFUSE = "refuse"
    LOSE_TRACK = "lose track"  #: the session or the process ended between attempt and answer
    RETURN = "return"  #: the attempt ended before anything of it was sent: as if never claimed
    RESEND = "resend"  #: an uncertain one goes out again, under the same Message-ID
    WRITE_OFF = "write off"  #: the operator gives an uncertain one up
    WITHDRAW = "withdraw"
    BOUNCE = "bounce"
    COMPLAIN = "complain"


_S, _E = DeliveryStatus, DeliveryEvent

TRANSITIONS: Mapping[DeliveryEvent, Mapping[DeliveryStatus, DeliveryStatus]] = MappingProxyType(
    {
        _E.CLAIM: {_S.QUEUED: _S.SENDING, _S.DEFERRED: _S.SENDING},
        _E.ACCEPT: {_S.SENDING: _S.ACCEPTED},
        _E.DEFER: {_S.SENDING: _S.DEFERRED},
        _E.REFUSE: {_S.SENDING: _S.REFUSED},
        _E.LOSE_TRACK: {_S.SENDING: _S.UNCERTAIN},
        _E.RETURN: {_S.SENDING: _S.QUEUED},
        _E.RESEND: {_S.UNCERTAIN: _S.QUEUED},
        _E.WRITE_OFF: {_S.UNCERTAIN: _S.REFUSED},
        _E.WITHDRAW: {_S.QUEUED: _S.WITHDRAWN, _S.DEFERRED: _S.WITHDRAWN},
        _E.BOUNCE: {_S.ACCEPTED: _S.BOUNCED, _S.UNCERTAIN: _S.BOUNCED},
        _E.COMPLAIN: {_S.ACCEPTED: _S.COMPLAINED, _S.UNCERTAIN: _S.COMPLAINED, _S.BOUNCED: _S.COMPLAINED},
    }
)

WAITING = frozenset({_S.QUEUED, _S.DEFERRED})
"""Due now or later: these, and only these, have a `due_at`."""

UNFINISHED = WAITING | {_S.SENDING, _S.UNCERTAIN}
"""An issue is sent when none of its deliveries is in one of these."""


class AttemptOutcome(enum.StrEnum):
    """What came of one attempt. NULL in the table while it is open."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"
    UNSENT = "unsent"  #: nothing of it left: no connection, or the relay turned the whole session away


class IllegalTransition(MailerError):
    """The event means nothing in this state."""

    def __init__(self, status: DeliveryStatus, event: DeliveryEvent) -> None:
        super().__init__(f"A delivery that is {status} cannot {event}.")
        self.status, self.event = status, event


def advance(status: DeliveryStatus, event: DeliveryEvent) -> DeliveryStatus:
    """The state after `event`. Raises IllegalTransition."""
    try:
        return TRANSITIONS[event][status]
    except KeyError:
        raise IllegalTransition(status, event) from None
