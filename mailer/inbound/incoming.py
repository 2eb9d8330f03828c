"""What an incoming mail means: the values that reading gives and that effects take."""

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    BOUNCE = "bounce"  #: mail that was not delivered, or not yet
    COMPLAINT = "complaint"  #: a reader's provider speaks for the reader (RFC 5965)
    AUTO_REPLY = "auto-reply"  #: an absence, a receipt, a machine's thanks: never acted on (RFC 3834)
    OTHER = "other"  #: mail from people, and what could not be understood


class Category(enum.StrEnum):
    """What became of the mail at one recipient."""

    UNKNOWN_USER = "unknown user"
    UNKNOWN_DOMAIN = "unknown domain"
    DOUBTED_USER = "unknown user, in doubt"  #: words that are mostly, not always, those of an unknown user
    INACTIVE = "inactive"
    MAILBOX_FULL = "mailbox full"
    TEMPORARY = "temporary"
    MESSAGE = "this message"  #: too large, malformed, in a loop
    SPAM = "spam"
    POLICY = "policy"
    BLOCKED = "blocked"
    AUTHENTICATION = "authentication"
    OUR_FAULT = "our fault"  #: our sender, our right to relay, our login
    UNKNOWN = "unknown"  #: refused in words that nobody here knows
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto-reply"
    DELIVERED = "delivered"  #: delivered, relayed or expanded: no failure


class Effect(enum.StrEnum):
    """What an incoming mail did."""

    NOTHING = "nothing"  #: it asks for nothing: an automatic reply, a delay, a receipt
    ALARM = "alarm"  #: it tells of a fault of ours: a line in the log for the operator, and nobody pays
    BOUNCED = "bounced"  #: the delivery it names has failed
    SUPPRESSED = "suppressed"  #: and its address gets no more mail
    COMPLAINED = "complained"  #: the reader was unsubscribed and suppressed
    LIFTED = "lifted"  #: a complaint was taken back
    LEFT = "left"
    CONFIRMED = "confirmed"
    REQUESTED = "requested"  #: a mail answers: asks whether it was the reader who wrote, or brings what was asked for
    CHANGED = "changed"  #: the reader's editions, language, pause or address
    ERASED = "erased"
    QUARANTINED = "quarantined"  #: it waits for the operator


class Action(enum.StrEnum):
    """RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """What the mail says of one address. It is what the sender of the mail claims; only a token makes it true."""

    address: str  #: the address that failed; behind a forwarding, not the one that was written to
    original: str | None = None  #: the address that was written to, where the report names it
    permanent: bool = False  #: the address or its domain is dead; never for a delay or a fault that may be ours
    category: Category
    action: Action | None = None
    status: str | None = None  #: RFC 3463, such as 5.1.1
    diagnostic: str | None = None  #: the words, on one line, at most 1,000 characters
    server: str | None = None  #: the host that refused, where the report names it


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """One mail, read."""

    kind: Kind
    recipients: tuple[Recipient, ...] = ()
    feedback: str | None = None  #: Feedback-Type in lower case: abuse, opt-out, not-spam, fraud … (RFC 5965 §7.3)
    reporter: str | None = None  #: Reporting-MTA, or the name of the program that reported a complaint
    sender: str | None = None  #: the address in From
    returned_at: int | None = (
        None  #: the line, from 0, where the returned message begins; nothing is read from there on
    )
    returned_id: str | None = None  #: the returned message's Message-ID: a hint for people, never a proof
    truncated: bool = False  #: the mail is larger, deeper or in more parts than is read
