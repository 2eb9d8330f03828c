"""The states of an Issue and the only ways between them.

draft ─check─> ready ─schedule─> scheduled ─begin─> sending ─finish─> sent
  ^            │   ^─unschedule──┘  │                │  ^
  └────add─────┤                    │           pause v  │ resume
               └─── cancelled <─────┴──── cancel ─── paused      (sending also ─cancel─> cancelled)
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType

from mailer.errors import MailerError


class IssueStatus(enum.StrEnum):
    DRAFT = "draft"  #: taken in from its folder, not yet checked
    READY = "ready"  #: passed the preflight
    SCHEDULED = "scheduled"  #: in a slot of the calendar
    SENDING = "sending"  #: its deliveries are written and go out
    PAUSED = "paused"  #: an operator stopped it; no delivery starts
    SENT = "sent"  #: none of its deliveries is unfinished
    CANCELLED = "cancelled"  #: what had not been sent was withdrawn


class IssueEvent(enum.StrEnum):
    ADD = "add"  #: its folder is taken in, again or for the first time
    CHECK = "check"  #: the preflight found nothing wrong
    SCHEDULE = "schedule"  #: put into a slot, or moved to another
    UNSCHEDULE = "unschedule"  #: taken out of its slot
    BEGIN = "begin"  #: its moment came; the deliveries are written
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"  #: the last delivery is finished
    CANCEL = "cancel"


_S, _E = IssueStatus, IssueEvent

TRANSITIONS: Mapping[tuple[IssueStatus, IssueEvent], IssueStatus] = MappingProxyType(
    {
        (_S.DRAFT, _E.ADD): _S.DRAFT,
        (_S.READY, _E.ADD): _S.DRAFT,  # a changed issue is checked again
        (_S.CANCELLED, _E.ADD): _S.DRAFT,
        (_S.DRAFT, _E.CHECK): _S.READY,
        (_S.READY, _E.CHECK): _S.READY,
        (_S.READY, _E.SCHEDULE): _S.SCHEDULED,
        (_S.SCHEDULED, _E.SCHEDULE): _S.SCHEDULED,
        (_S.SCHEDULED, _E.UNSCHEDULE): _S.READY,
        (_S.SCHEDULED, _E.BEGIN): _S.SENDING,
        (_S.SENDING, _E.PAUSE): _S.PAUSED,
        (_S.PAUSED, _E.RESUME): _S.SENDING,
        (_S.SENDING, _E.FINISH): _S.SENT,
        (_S.SCHEDULED, _E.CANCEL): _S.CANCELLED,
        (_S.SENDING, _E.CANCEL): _S.CANCELLED,
        (_S.PAUSED, _E.CANCEL): _S.CANCELLED,
    }
)

_COMMANDS: Mapping[IssueEvent, str] = MappingProxyType(
    {
        _E.ADD: "mailer issue add FOLDER",
        _E.CHECK: "mailer issue check",
        _E.SCHEDULE: "mailer issue queue",
        _E.PAUSE: "mailer issue pause",
        _E.RESUME: "mailer issue resume",
        _E.CANCEL: "mailer issue cancel",
    }
)
"""What a person types for an event. Begin and finish are the worker's; unscheduling has no command."""


class IllegalTransition(MailerError):
    """The event means nothing in this state. The message names the commands that do."""

    def __init__(self, status: IssueStatus, event: IssueEvent) -> None:
        ways = [_COMMANDS[way] for way in possible(status) if way in _COMMANDS]
        mend = f"What can be done now: {', '.join(ways)}." if ways else "Nothing more can be done with it."
        super().__init__(f"The issue is {status}; it cannot take '{event}'. {mend}")
        self.status, self.event = status, event


def possible(status: IssueStatus) -> tuple[IssueEvent, ...]:
    """The events that mean something in this state, in the order of their definition."""
    return tuple(event for event in IssueEvent if (status, event) in TRANSITIONS)


def advance(status: IssueStatus, event: IssueEvent) -> IssueStatus:
    """The state after `event`. Raises IllegalTransition."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None
