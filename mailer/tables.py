"""The data model on one page: rows without behaviour.

    Publication ─┬─ Edition ──── Subscription ── Subscriber        Suppression (by keyed hash, outlives its Subscriber)
                 │                  └─ Consent (append-only) ─┬─ AddressChange
                 │                                            └·· Seal (the chain they hang on), Removal
                 └─ Issue ─┬─ Translation, Commentary, Picture
                           └─ Message (one per edition, rendered once)
    Delivery (issue × subscription, or one automatic mail) ── Attempt ── Worker
    Arrival (mail that came in, and what it did) ── Quarantine ── Forward (the Delivery by which the editors get it)
    Counted (the form's limits)      User ── UserSession, ApiToken

Times are aware UTC. A status changes only along its room's table of transitions.
"""

import enum
import secrets
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy import Enum as SqlEnum
from sqlmodel import Field, SQLModel

from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.inbound.incoming import Category, Effect, Kind
from mailer.issues.states import IssueStatus
from mailer.issues.verdict import Verdict
from mailer.subscribers.states import SubscriptionStatus

# Before any table: Alembic's batch operations find constraints on SQLite by these names.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata: MetaData = SQLModel.metadata

_NEVER_REUSED = {"sqlite_autoincrement": True}  # rows that tokens name: an old link must not fit a new row

_BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only in a column called INTEGER


def _one_of(words: type[enum.StrEnum], name: str, *, check: bool = True, length: int = 16) -> Any:
    """A text column that holds only these words, as they are written."""
    return SqlEnum(
        words,
        name=name,
        native_enum=False,
        create_constraint=check,
        length=length,
        values_callable=lambda members: [member.value for member in members],
    )


def _quick_check(words: type[enum.StrEnum], name: str) -> CheckConstraint:
    """The same for a row that is written a million times: SQLite takes twice as long over IN, for which it builds a
    table in every statement."""
    return CheckConstraint(" OR ".join(f"{name} = '{word}'" for word in words), name=name)


class UncertainPolicy(enum.StrEnum):
    """What becomes of a delivery whose answer is not known."""

    RESEND = "resend"  #: goes out again under the same Message-ID; receivers fold such copies
    HOLD = "hold"  #: waits for the operator


class Publication(SQLModel, table=True):
    """One newsletter. An installation can hold several."""

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(unique=True, max_length=64)  #: in addresses and links
    names: dict[str, str] = Field(sa_type=JSON)  #: language -> name
    sender_address: str
    contact_address: str  #: the editors, shown in every mail
    list_id: str  #: RFC 2919, without the angle brackets
    postal_address: dict[str, str] = Field(sa_type=JSON)  #: language -> address
    accent: str = Field(max_length=7)  #: "#rrggbb"
    time_zone: str
    weekly_slot: str  #: cron rule, in time_zone
    uncertain_policy: UncertainPolicy = Field(
        default=UncertainPolicy.RESEND, sa_type=_one_of(UncertainPolicy, "uncertain_policy")
    )
    archive: bool = True  #: whether what was sent is shown on the web
    created_at: datetime


class Edition(SQLModel, table=True):
    """What a reader chooses: `en` -> [en]; `be-ru` -> [be, ru], both in one mail."""

    __table_args__ = (UniqueConstraint("publication_id", "code"),)

    id: int | None = Field(default=None, primary_key=True)
    publication_id: int = Field(foreign_key="publication.id")
    code: str = Field(max_length=32)
    label: str
    languages: list[str] = Field(sa_type=JSON)
    position: int  #: order on the form
    offered: bool = True  #: on the form; readers of an edition that is no longer offered keep it


class Issue(SQLModel, table=True):
    """One period of a publication."""

    __table_args__ = (UniqueConstraint("publication_id", "slug"),)

    id: int | None = Field(default=None, primary_key=True)
    publication_id: int = Field(foreign_key="publication.id")
    slug: str = Field(max_length=64)
    first_day: date
    last_day: date
    status: IssueStatus = Field(default=IssueStatus.DRAFT, sa_type=_one_of(IssueStatus, "status"))
    added_at: datetime
    scheduled_at: datetime | None = None  #: when it is due to go out
    began_at: datetime | None = None  #: when its deliveries were written; the Date of its mails
    finished_at: datetime | None = None
    halted_at: datetime | None = (
        None  #: when so much came back that it was paused: once, for whoever resumes it has looked
    )
    private: bool = False  #: only in its readers' mailboxes, never on the web
    veiled_at: datetime | None = None  #: when it was last hidden by command, or shown again


class Translation(SQLModel, table=True):
    """One issue in one language, as it was written."""

    issue_id: int = Field(foreign_key="issue.id", primary_key=True, ondelete="CASCADE")
    language: str = Field(primary_key=True, max_length=16)
    title: str
    source: str  #: the whole Markdown file


class Commentary(SQLModel, table=True):
    """A commentary of a translation as lists and addresses need it. Written once, with its translation."""

    __table_args__ = (UniqueConstraint("issue_id", "language", "name"),)

    issue_id: int = Field(foreign_key="issue.id", primary_key=True, ondelete="CASCADE")
    language: str = Field(primary_key=True, max_length=16)
    position: int = Field(primary_key=True)  #: in the issue, from 1; the same in every language
    name: str = Field(max_length=64)  #: in its address, from the headline
    headline: str
    verdict: Verdict | None = Field(default=None, sa_type=_one_of(Verdict, "verdict"))
    opening: str  #: its first words


class Picture(SQLModel, table=True):
    """A picture of an issue, fitted for mail."""

    issue_id: int = Field(foreign_key="issue.id", primary_key=True, ondelete="CASCADE")
    name: str = Field(primary_key=True)
    media_type: str
    width: int
    height: int
    content: bytes = Field(sa_type=LargeBinary)


class Message(SQLModel, table=True):
    """One issue in one edition as bytes with slots: what every reader of the edition gets, kept as proof."""

    __table_args__ = (UniqueConstraint("issue_id", "edition_id", "digest"),)

    id: int | None = Field(default=None, primary_key=True)
    issue_id: int = Field(foreign_key="issue.id")
    edition_id: int = Field(foreign_key="edition.id")
    digest: str = Field(max_length=64)  #: SHA-256 of content
    content: bytes = Field(sa_type=LargeBinary)  #: rendering.message.Message.dump()
    rendered_at: datetime
    host: str | None = None  #: the origin that its links point to; None where that is not known


class Subscriber(SQLModel, table=True):
    """An address."""

    id: int | None = Field(default=None, primary_key=True)
    address: str  #: as email-validator normalises it
    address_hash: str = Field(unique=True, max_length=64)  #: keyed, of the case-folded address
    domain: str  #: ASCII, lower case: the destination
    created_at: datetime


class Subscription(SQLModel, table=True):
    """A subscriber's reading of one edition."""

    __table_args__ = (
        UniqueConstraint("subscriber_id", "edition_id"),
        Index("ix_subscription_edition_id_status", "edition_id", "status"),
        Index(
            "ix_subscription_moved_to_id",
            "moved_to_id",
            sqlite_where=text("moved_to_id IS NOT NULL"),
            postgresql_where=text("moved_to_id IS NOT NULL"),
        ),
        _NEVER_REUSED,
    )

    id: int | None = Field(default=None, primary_key=True)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE")
    edition_id: int = Field(foreign_key="edition.id")
    status: SubscriptionStatus = Field(sa_type=_one_of(SubscriptionStatus, "status"))
    language: str = Field(max_length=16)  #: of pages and automatic mail
    created_at: datetime
    changed_at: datetime
    paused_until: datetime | None = None  #: no issue before then
    undo_until: datetime | None = None  #: leaving can be taken back until then; the same for what was left in one act
    moved_to_id: int | None = None  #: the subscription, of another address, in which it goes on
    taken_back_to_id: int | None = None  #: the one from which it had come, and in which the reader took that back
    #: For leaving; what it was is kept apart (Parting).
    gave_reason: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class ConsentEvent(enum.StrEnum):
    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    LEFT = "left"
    IMPORTED = "imported"  #: brought in: the wording is what the operator knows of the consent given elsewhere
    RESTORED = "restored"  #: leaving was taken back
    PAUSED = "paused"
    RESUMED = "resumed"


class Consent(SQLModel, table=True):
    """Evidence, append-only: who agreed to what, in which words, when and how (GDPR art. 7).

    What is None until it is sealed is filled in by subscribers.chain.seal, and by nothing else.
    """

    __table_args__ = (
        Index("ix_consent_unsealed", "id", sqlite_where=text("salt IS NULL"), postgresql_where=text("salt IS NULL")),
        Index(
            "ix_consent_event_at",  # for statistics
            "event",
            "at",
            "subscription_id",
            sqlite_where=text("event = 'confirmed' OR event = 'left'"),
            postgresql_where=text("event = 'confirmed' OR event = 'left'"),
        ),
        Index(
            "ix_consent_at",
            "at",
            sqlite_where=text("network_salt IS NOT NULL"),
            postgresql_where=text("network_salt IS NOT NULL"),
        ),
        _NEVER_REUSED,
    )

    id: int | None = Field(default=None, primary_key=True)
    subscription_id: int = Field(foreign_key="subscription.id", index=True, ondelete="CASCADE")
    event: ConsentEvent = Field(sa_type=_one_of(ConsentEvent, "event"))
    at: datetime
    wording: str  #: what the reader was shown, word for word
    language: str = Field(max_length=16)  #: of the wording
    source: str  #: the form, link or command it came by
    network: str  #: truncated: /24 of IPv4, /48 of IPv6; "" where none is known
    request_id: int | None = None  #: the Consent that a confirmation confirms; both go with their subscription
    salt: bytes | None = Field(default=None, sa_type=LargeBinary)  #: keeps the digest in its seal from being guessed
    subject: str | None = Field(default=None, max_length=64)  #: keyed hash of the address that it was for
    network_salt: bytes | None = Field(default=None, sa_type=LargeBinary)  #: gone with the network
    network_digest: bytes | None = Field(default=None, sa_type=LargeBinary)  #: None where no network was known


class SealEvent(enum.StrEnum):
    KEPT = "kept"
    REMOVED = "removed"


class Seal(SQLModel, table=True):
    """A link of the chain that shows whether a consent was changed, removed, added or moved behind its back.

    It names its consent without a foreign key: it stays when the consent goes.
    """

    __table_args__ = (UniqueConstraint("consent_id", "event"),)

    number: int = Field(primary_key=True, sa_type=_BIG, sa_column_kwargs={"autoincrement": False})  #: 1, 2, 3 …
    event: SealEvent = Field(sa_type=_one_of(SealEvent, "event"))
    consent_id: int
    at: datetime  #: when it was sealed, not when the reader acted
    why: str = Field(max_length=32)  #: what a removal was for; "" otherwise
    digest: bytes = Field(sa_type=LargeBinary)  #: SHA-256 of salt and content; empty for a removal
    link: bytes = Field(sa_type=LargeBinary)  #: SHA-256 of all this and of the link before


class Removal(SQLModel, table=True):
    """A consent that went for a reason, until the chain says so."""

    consent_id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    why: str = Field(max_length=32)
    at: datetime


class AddressChange(SQLModel, table=True):
    """A reader asked to read at another address; done once its mailbox confirms. The request is made at the new one."""

    __tablename__ = "address_change"

    request_id: int = Field(foreign_key="consent.id", primary_key=True, ondelete="CASCADE")
    subscription_id: int = Field(foreign_key="subscription.id", index=True, ondelete="CASCADE")  #: at the old one
    asked_at: datetime
    done_at: datetime | None = None


class PartingReason(enum.StrEnum):
    TOO_MUCH = "too much"
    NOT_FOR_ME = "not for me"
    UNSAFE = "unsafe"
    ELSEWHERE = "elsewhere"
    NEVER_ASKED = "never asked"
    OTHER = "other"


class Parting(SQLModel, table=True):
    """Why somebody left. Without address, subscription, day and order: nothing here says who it was."""

    #: Drawn by lot: consecutive numbers would pair with the times at which readers left.
    id: int = Field(
        default_factory=lambda: secrets.randbelow(2**63 - 1) + 1,
        primary_key=True,
        sa_type=_BIG,
        sa_column_kwargs={"autoincrement": False},
    )
    publication_id: int = Field(foreign_key="publication.id", index=True)
    month: date  #: its first day
    reason: PartingReason = Field(sa_type=_one_of(PartingReason, "reason"))
    words: str = Field(default="", max_length=500)


class SuppressionReason(enum.StrEnum):
    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    OPERATOR = "operator"
    ERASED = "erased"
    UNREACHABLE = "unreachable"  #: its mails failed for too long; a fresh confirmation lifts it


class Suppression(SQLModel, table=True):
    """An address that gets no mail. Erasing a subscriber leaves the keyed hash, so that the opt-out survives."""

    __table_args__ = (Index("ix_suppression_address_hash_lifted_at", "address_hash", "lifted_at"),)

    id: int | None = Field(default=None, primary_key=True)
    address_hash: str = Field(max_length=64)
    address: str | None = None  #: gone after erasure
    publication_id: int | None = Field(default=None, foreign_key="publication.id")  #: None: every publication
    reason: SuppressionReason = Field(sa_type=_one_of(SuppressionReason, "reason"))
    note: str = ""
    added_at: datetime
    added_by: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None


class DeliveryKind(enum.StrEnum):
    ISSUE = "issue"
    CONFIRMATION = "confirmation"
    WELCOME = "welcome"
    GOODBYE = "goodbye"  #: asks whether it was the reader who wants to leave
    FORWARD = "forward"  #: mail from a person, to the editors
    WARNING = "warning"  #: mails to the reader fail; asks whether they are read
    NEW_ADDRESS = "new-address"  #: asks at the address that a reader wants to move to
    OLD_ADDRESS = "old-address"  #: tells the address that a reader has moved from
    MY_DATA = "my-data"  #: leads to everything that is held about the reader
    MY_DATA_FILE = "my-data-file"  #: all of it
    PREFERENCES = "preferences"  #: how the reader's subscription stands, and how it is changed by mail
    TEST = "test"


class Delivery(SQLModel, table=True):
    """One mail to one reader, written before anything of it is sent. The row decides.

    Issue, edition and message are referred to without a foreign key: each would cost PostgreSQL 5 s in a million rows.
    The ledger looks once for all the deliveries of an issue, and nothing deletes what they refer to.
    """

    __table_args__ = (
        UniqueConstraint("subscription_id", "issue_id"),  # every reader gets every issue once
        Index(
            "uq_delivery_consent_id_kind",
            "consent_id",
            "kind",
            unique=True,
            sqlite_where=text("consent_id IS NOT NULL"),
            postgresql_where=text("consent_id IS NOT NULL"),
        ),
        # What is due, an issue at a time; automatic mail is the stream without an issue.
        Index(
            "ix_delivery_issue_id_due_at",
            "issue_id",
            "due_at",
            "id",
            sqlite_where=text("due_at IS NOT NULL"),
            postgresql_where=text("due_at IS NOT NULL"),
        ),
        Index("ix_delivery_issue_id_status", "issue_id", "status", "edition_id"),
        Index(
            "ix_delivery_recipient",
            "recipient",
            sqlite_where=text("recipient IS NOT NULL"),
            postgresql_where=text("recipient IS NOT NULL"),
        ),
        CheckConstraint("(due_at IS NOT NULL) = (status IN ('queued', 'deferred'))", name="due_while_waiting"),
        _quick_check(DeliveryKind, "kind"),
        _quick_check(DeliveryStatus, "status"),
        _NEVER_REUSED,
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    kind: DeliveryKind = Field(sa_type=_one_of(DeliveryKind, "kind", check=False))
    issue_id: int | None = None
    edition_id: int
    message_id: int | None = None  #: None: rendered from its kind's template
    subscription_id: int | None = Field(default=None, foreign_key="subscription.id", ondelete="SET NULL")
    consent_id: int | None = Field(default=None, foreign_key="consent.id", ondelete="SET NULL")
    recipient: str | None = None  #: only where there is no subscription: test mail, and what goes to the editors
    destination: str  #: the receiving domain; "" once the reader was erased
    status: DeliveryStatus = Field(sa_type=_one_of(DeliveryStatus, "status", check=False))
    due_at: datetime | None  #: not before; None once it no longer waits
    attempts: int = 0
    queued_at: datetime  #: the Date of the mail
    changed_at: datetime


class PastDeliveries(SQLModel, table=True):
    """How many deliveries of an issue ended how, of those whose rows were kept long enough and are gone."""

    __tablename__ = "past_deliveries"

    issue_id: int = Field(primary_key=True)
    edition_id: int = Field(primary_key=True)
    status: DeliveryStatus = Field(primary_key=True, sa_type=_one_of(DeliveryStatus, "status"))
    count: int


class Attempt(SQLModel, table=True):
    """One try at one delivery, on disk before its first byte is on the wire. Open while `outcome` is NULL.

    Without foreign keys: a claim writes attempts from deliveries that it has locked, for a worker that it has locked.
    """

    __table_args__ = (
        UniqueConstraint("delivery_id", "number"),
        _quick_check(AttemptOutcome, "outcome"),
        {"postgresql_with": {"fillfactor": 50}},  # the answer finds room beside the row, and no index is written again
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    delivery_id: int = Field(sa_type=_BIG)
    number: int  #: 1, 2, 3 …
    worker_id: int
    relay: str
    started_at: datetime
    finished_at: datetime | None = None
    outcome: AttemptOutcome | None = Field(default=None, sa_type=_one_of(AttemptOutcome, "outcome", check=False))
    stage: str | None = Field(default=None, max_length=8)  #: connect, mail, rcpt, data, dot
    code: int | None = None  #: RFC 5321 §4.2
    enhanced: str | None = Field(default=None, max_length=16)  #: RFC 3463
    reply: str | None = None  #: the server's words, or what happened instead of an answer


class Worker(SQLModel, table=True):
    """A process that sends. Its open attempts become uncertain when its lease lapses."""

    id: int | None = Field(default=None, primary_key=True)
    name: str  #: host and process id
    started_at: datetime
    lease_until: datetime
    ended_at: datetime | None = None


class Departures(SQLModel, table=True):
    """How many mails a relay was given in five minutes, where it may not be given as many as it takes."""

    relay: str = Field(primary_key=True)
    began_at: datetime = Field(primary_key=True)
    messages: int


class Arrival(SQLModel, table=True):
    """One mail or event of a provider that came in, what it meant and what it did. The same again has no effect: its
    digest is here."""

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True, max_length=64)  #: SHA-256, see inbound.letter.digest
    arrived_at: datetime
    listed_at: datetime | None = None  #: when the mailbox, where it waits for a person, was last seen to hold it
    road: str = Field(max_length=16)  #: "receiver", "mailbox", or the provider that told of it
    recipient: str | None  #: which of our addresses was written to; None where the mail does not say
    kind: Kind = Field(sa_type=_one_of(Kind, "kind"))
    effect: Effect = Field(sa_type=_one_of(Effect, "effect"))
    reason: str  #: why it had this effect, a sentence
    delivery_id: int | None = Field(default=None, sa_type=_BIG, index=True)  #: what its token names
    category: Category | None = Field(default=None, sa_type=_one_of(Category, "category", length=32))
    status: str | None = Field(default=None, max_length=16)  #: RFC 3463
    diagnostic: str | None = None  #: the words of the server that refused
    reporter: str | None = None  #: who reports


class Quarantine(SQLModel, table=True):
    """Mail that did nothing, for the operator to read."""

    arrival_id: int = Field(foreign_key="arrival.id", primary_key=True, ondelete="CASCADE")
    sender: str | None = None  #: of the envelope, "" for the null sender; None where it is not known
    size: int  #: octets of the mail
    kept: int  #: how many of them, the first, are in `octets`
    octets: bytes = Field(sa_type=LargeBinary)
    flaw: str = Field(default="", sa_column_kwargs={"server_default": ""})  #: why no program may act on it


class Forward(SQLModel, table=True):
    """Mail from a person on its way to the editors: what is said above it."""

    delivery_id: int = Field(foreign_key="delivery.id", primary_key=True, sa_type=_BIG, ondelete="CASCADE")
    arrival_id: int = Field(foreign_key="arrival.id", unique=True, ondelete="CASCADE")
    subject: str
    reply_to: str | None  #: the person's address, for the wire
    text: str
    whole: bool  #: the mail is attached


class Counted(SQLModel, table=True):
    """How often something was done in a window of time: the form's limits. What it is stands in the key, as a hash."""

    key: str = Field(primary_key=True, max_length=32)  #: keyed hash of what is counted and of the window
    number: int
    until: datetime  #: when the window ends and the row may go


class Retention(SQLModel, table=True):
    """When a kind of data was last gone through, and how much of it has gone."""

    kind: str = Field(primary_key=True, max_length=32)
    done_at: datetime
    gone: int  #: the last time
    ever: int


class UserRole(enum.StrEnum):
    EDITOR = "editor"
    OPERATOR = "operator"


class User(SQLModel, table=True):
    """A member of staff."""

    __tablename__ = "staff"  # "user" is a reserved word in PostgreSQL

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=64)
    role: UserRole = Field(sa_type=_one_of(UserRole, "role"))
    password_hash: str
    created_at: datetime
    disabled_at: datetime | None = None


class UserSession(SQLModel, table=True):
    """A signed-in browser; the cookie holds what hashes to `id`."""

    __tablename__ = "staff_session"

    id: str = Field(primary_key=True, max_length=64)  #: SHA-256 of the cookie's value
    user_id: int = Field(foreign_key="staff.id", ondelete="CASCADE")
    created_at: datetime
    expires_at: datetime


class ApiToken(SQLModel, table=True):
    """A program's way in; shown once, kept as a hash."""

    __tablename__ = "api_token"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="staff.id", ondelete="CASCADE")
    label: str
    token_hash: str = Field(unique=True, max_length=64)
    created_at: datetime
    revoked_at: datetime | None = None
