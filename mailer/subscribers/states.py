"""The states of a Subscription and the only ways between them."""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from mailer.errors import MailerError


class SubscriptionStatus(enum.StrEnum):
    PENDING = "pending"  #: asked for; waits for the confirm link
    CONFIRMED = "confirmed"  #: gets every issue
    UNSUBSCRIBED = "unsubscribed"  #: left; only a fresh confirmation brings it back
    SUPPRESSED = "suppressed"  #: the address is dead or complained; see Suppression


class SubscriptionEvent(enum.StrEnum):
    REQUEST = "request"  #: somebody filled in the form with this address
    CONFIRM = "confirm"  #: the link in the confirmation mail was acted on
    LEAVE = "leave"  #: the reader unsubscribed
    SUPPRESS = "suppress"  #: the address went on the suppression list
    IMPORT = "import"  #: a file brings the reader in, with evidence of a consent given elsewhere; never back in
    CHOOSE = "choose"  #: who reads another edition already wants this one too
    RESTORE = "restore"  #: leaving was taken back


_S, _E = SubscriptionStatus, SubscriptionEvent

TRANSITIONS: Mapping[tuple[SubscriptionStatus, SubscriptionEvent], SubscriptionStatus] = MappingProxyType(
    {
        (_S.PENDING, _E.REQUEST): _S.PENDING,
        (_S.PENDING, _E.CONFIRM): _S.CONFIRMED,
        (_S.PENDING, _E.LEAVE): _S.UNSUBSCRIBED,
        (_S.PENDING, _E.SUPPRESS): _S.SUPPRESSED,
        (_S.PENDING, _E.IMPORT): _S.CONFIRMED,
        (_S.PENDING, _E.CHOOSE): _S.CONFIRMED,
        (_S.CONFIRMED, _E.REQUEST): _S.CONFIRMED,
        (_S.CONFIRMED, _E.CONFIRM): _S.CONFIRMED,
        (_S.CONFIRMED, _E.LEAVE): _S.UNSUBSCRIBED,
        (_S.CONFIRMED, _E.SUPPRESS): _S.SUPPRESSED,
        (_S.CONFIRMED, _E.IMPORT): _S.CONFIRMED,
        (_S.CONFIRMED, _E.CHOOSE): _S.CONFIRMED,
        (_S.CONFIRMED, _E.RESTORE): _S.CONFIRMED,
        (_S.UNSUBSCRIBED, _E.REQUEST): _S.PENDING,
        (_S.UNSUBSCRIBED, _E.LEAVE): _S.UNSUBSCRIBED,
        (_S.UNSUBSCRIBED, _E.SUPPRESS): _S.SUPPRESSED,
        (_S.UNSUBSCRIBED, _E.CHOOSE): _S.CONFIRMED,
        (_S.UNSUBSCRIBED, _E.RESTORE): _S.CONFIRMED,
        (_S.SUPPRESSED, _E.REQUEST): _S.PENDING,  # only after the suppression was lifted; see optin.request
        (_S.SUPPRESSED, _E.LEAVE): _S.UNSUBSCRIBED,
        (_S.SUPPRESSED, _E.SUPPRESS): _S.SUPPRESSED,
        (_S.SUPPRESSED, _E.CHOOSE): _S.CONFIRMED,  # likewise
    }
)


class IllegalTransition(MailerError):
    """The event means nothing in this state."""

    def __init__(self, status: SubscriptionStatus, event: SubscriptionEvent) -> None:
        super().__init__(f"A subscription that is {status} cannot {event}.")
        self.status, self.event = status, event


def advance(status: SubscriptionStatus, event: SubscriptionEvent) -> SubscriptionStatus:
    """The state after `event`. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None
