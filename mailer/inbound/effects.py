"""From the octets of a mail to its effect, in one transaction. All ways in end here: receiver, mailbox, and what
providers tell by HTTP.

A report acts on what our token names. A mail without a valid token changes nothing, whatever it claims; it is kept for
the operator. The same mail again has no effect.
"""

import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from mailer.clock import Clock
from mailer.database import Database, DatabaseError
from mailer.delivery import launch
from mailer.delivery.ledger import returning
from mailer.delivery.ledger.returning import StillSending
from mailer.inbound import breaker, commands, complaints, forwarding, mime, people, quarantine, reports
from mailer.inbound.addresses import Ours, Use, ours, written_to
from mailer.inbound.agreement import declines
from mailer.inbound.done import Done, Unclear
from mailer.inbound.event import Event, tokens_of
from mailer.inbound.incoming import Effect, Incoming, Kind
from mailer.inbound.quarantine import QuarantineFull
from mailer.inbound.reading import read
from mailer.issues.issue import IssueError
from mailer.issues.states import IssueStatus
from mailer.printable import printable, where
from mailer.settings import Settings
from mailer.subscribers import address, limits
from mailer.subscribers.address import Address
from mailer.subscribers.limits import Measure
from mailer.subscribers.policy import policy_of
from mailer.tables import Arrival, Delivery, Issue, Publication, Quarantine
from mailer.tokens import Purpose, TokenError, Tokens

log = logging.getLogger(__name__)

DIAGNOSTIC = 1000  #: characters

NOTED_EVERY = timedelta(days=1)
NOTED_TOGETHER = 500  #: arrivals, in one statement

TOKENS = 10
"""Tokens of one complaint that are looked at: an honest one has a few."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A mail as it came in."""

    octets: bytes
    road: str  #: "receiver", "mailbox", or the provider that told of it
    recipient: str | None  #: of the envelope; None where it is gone and the header must say
    sender: str | None  #: of the envelope, "" for the null sender; None where it is gone
    size: int = 0  #: octets of the whole mail, where there are more than `octets`
    flaw: str = ""  #: why no program may act on it, such as line ends that smuggle


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a letter."""

    effect: Effect
    reason: str
    arrival_id: int | None  #: None where the same mail came before
    queued: bool = False  #: a mail is due for it
    delivery_id: int | None = None  #: what it is about
    waits: bool = False  #: for a person to read it: it is in the quarantine, now or since the same mail came before
    number: int | None = None  #: of the arrival, also where the same mail came before


@dataclass(frozen=True)
class _Read:
    """A letter and what it means."""

    letter: Letter
    to: Ours | None
    message: mime.Message
    incoming: Incoming
    sender: str | None = None  #: of the envelope, as far as it is known
    author: Address | None = None  #: the one address that it is from
    event: Event | None = None  #: what a provider told instead of a mail

    @property
    def digest(self) -> str:
        return self.event.digest if self.event else digest(self.letter.octets, self.to)


class Effects:
    """Acts on what comes in."""

    def __init__(self, *, settings: Settings, database: Database, tokens: Tokens, clock: Clock) -> None:
        self._settings, self._database, self._tokens, self._clock = settings, database, tokens, clock
        self._warned = set[int]()  # issues
        self._noted_at: datetime | None = None

    def take(self, letter: Letter) -> Taken:
        """Does what the mail calls for; when it returns, that is committed.

        Raises DatabaseError where it cannot be, StillSending where the mail came too early, and QuarantineFull: nothing
        was changed then, and the letter is to be brought again. A defect of ours puts it into the quarantine.
        """
        return self._take(letter)

    def retry(self, number: int) -> Taken:
        """Takes a mail out of the quarantine along the same road again: after a mend, or with another setting.

        One that no program may act on stays there. Raises what take() raises, and NotThere or Cut where the mail is not
        here, or not whole.
        """
        with self._database.read() as session:
            arrival, kept = quarantine.whole(session, number)
        if arrival.road not in ("receiver", "mailbox"):
            raise quarantine.NotThere(f"{number} was told by a provider: let the provider send it again.")
        letter = Letter(
            octets=kept.octets, road=arrival.road, recipient=arrival.recipient, sender=kept.sender, flaw=kept.flaw
        )
        return self._take(letter, number)

    def _take(self, letter: Letter, number: int | None = None) -> Taken:
        """`number`: of the mail, where it has one."""
        message = mime.take_apart(letter.octets)
        domain = self._settings.mail_domain
        to = written_to(message.fields, domain) if letter.recipient is None else ours(letter.recipient, domain)
        sender = people.envelope_sender(message.fields) if letter.sender is None else letter.sender
        author = people.author(mime.fields(letter.octets).get("from", ""))
        found = _Read(letter, to, message, Incoming(kind=Kind.OTHER), sender, author)
        return self._act_on(found, lambda: read(letter.octets), number)

    def tell(self, event: Event) -> Taken:
        """What take() does, for what a provider tells of one mail; its call is genuine."""
        letter = Letter(octets=event.octets, road=event.provider, recipient=event.return_path or None, sender=None)
        to = ours(event.return_path, self._settings.mail_domain)
        found = _Read(letter, to, mime.take_apart(b""), Incoming(kind=Kind.OTHER), event=event)
        return self._act_on(found, lambda: event.incoming, None)

    def set_aside(self, event: Event) -> Taken:
        """Puts an event that tell() stumbled over into the quarantine, as it came. Raises DatabaseError and
        QuarantineFull."""
        letter = Letter(octets=event.octets, road=event.provider, recipient=None, sender=None)
        found = _Read(letter, None, mime.take_apart(b""), Incoming(kind=Kind.OTHER), event=event)
        return self._transact(found, None, unclear="a defect of ours: see the log")

    def stay(self, numbers: Collection[int]) -> None:
        """These mails still lie in the mailbox, each waiting for a person: they stay known, so that none is a new one
        when it is read again. Written once a day. Raises DatabaseError."""
        now = self._clock()
        if not numbers or (self._noted_at and now - self._noted_at < NOTED_EVERY):
            return
        every = sorted(numbers)
        with self._database.write() as session:
            for first in range(0, len(every), NOTED_TOGETHER):
                rows = sa.update(Arrival).where(col(Arrival.id).in_(every[first : first + NOTED_TOGETHER]))
                session.connection().execute(rows.values(listed_at=now))
        self._noted_at = now

    def _act_on(self, found: _Read, meant: Callable[[], Incoming], number: int | None) -> Taken:
        try:
            found = replace(found, incoming=_storable(meant()))
            taken = self._transact(found, number)
        except (DatabaseError, StillSending, QuarantineFull, quarantine.NotThere):
            raise
        except Exception as error:
            log.error("a mail that came in could not be acted on: %s", where(error), extra={"action": "inbound-defect"})
            taken = self._transact(found, number, unclear="a defect of ours: see the log")
        if taken.arrival_id is not None:
            level = logging.WARNING if found.letter.flaw else logging.INFO
            what = "event" if found.event else "mail"
            log.log(level, "%s %d came in: %s, %s", what, taken.arrival_id, taken.effect, printable(taken.reason))
            self._warn_if_many(taken)
            self._stop_if_too_much(taken)
        return taken

    def _transact(self, found: _Read, number: int | None, unclear: str = "") -> Taken:
        with self._database.write() as session:
            if number is None:
                arrival = self._first_of_its_kind(session, found)
            else:
                arrival, _ = quarantine.whole(session, number, lock=True)
            if arrival is None:
                before = session.exec(select(Arrival).where(Arrival.digest == found.digest)).one()
                waits = before.effect is Effect.QUARANTINED
                if waits and found.letter.road == "mailbox":
                    before.listed_at = self._clock()
                reason = "the same mail came before"
                return Taken(effect=Effect.NOTHING, reason=reason, arrival_id=None, waits=waits, number=before.id)
            try:
                if unclear:
                    raise Unclear(unclear)
                done = self._act(session, found, arrival)
                if number is not None:
                    quarantine.discard(session, numbers=[number])
            except Unclear as problem:
                done = self._set_aside(session, found, arrival, str(problem), defect=bool(unclear))
            arrival.kind, arrival.reporter = found.incoming.kind, found.incoming.reporter
            arrival.effect, arrival.reason, arrival.delivery_id = done.effect, done.reason, done.delivery_id
            if done.verdict:
                arrival.category, arrival.status = done.verdict.category, done.verdict.status
                arrival.diagnostic = done.verdict.diagnostic
            session.add(arrival)
            session.flush()
            return Taken(
                effect=done.effect,
                reason=done.reason,
                arrival_id=arrival.id,
                number=arrival.id,
                delivery_id=done.delivery_id,
                queued=done.queued,
                waits=done.effect is Effect.QUARANTINED,
            )

    def _set_aside(self, session: Session, found: _Read, arrival: Arrival, reason: str, *, defect: bool) -> Done:
        """Into the quarantine, and on to the editors where a person wrote it."""
        letter = found.letter
        kept = session.get(Quarantine, arrival.id) or quarantine.keep(
            session, arrival, letter.octets, size=letter.size, sender=_text(found.sender), flaw=letter.flaw
        )
        if forwarding.is_forwarded(session, arrival):
            return Done(effect=Effect.QUARANTINED, reason=reason)
        if defect or found.event or found.incoming.kind is not Kind.OTHER or self._why_not(session, found):
            return Done(effect=Effect.QUARANTINED, reason=reason)
        now = self._clock()
        publication = forwarding.about(session, found.to, self._tokens, now)
        why_not = forwarding.forward(
            session,
            arrival,
            kept,
            found.message,
            found.author,
            publication,
            mail_domain=self._settings.mail_domain,
            per_hour=self._settings.forward_per_hour,
            now=now,
        )
        if why_not:
            log.warning("mail %s stays in the quarantine: %s", arrival.id, why_not, extra={"action": "not-forwarded"})
            reason = f"{reason}; not forwarded: {why_not}"
        return Done(effect=Effect.QUARANTINED, reason=reason, queued=why_not is None)

    def _stop_if_too_much(self, taken: Taken) -> None:
        """Pauses the issue about which too much comes back. Once: whoever resumes it has looked.

        In a transaction of its own, after the one that counts: where it fails, the mail has been taken all the same,
        and the next one looks again.
        """
        if taken.delivery_id is None or taken.effect not in (Effect.SUPPRESSED, Effect.COMPLAINED):
            return
        try:
            with self._database.read() as session:
                why, message_id, issue_id = self._too_much(session, taken.delivery_id)
            if why is None or message_id is None:
                return
            with self._database.write() as session:
                slug = launch.stop(session, message_id)
                if slug:
                    session.get_one(Issue, issue_id).halted_at = self._clock()
        except DatabaseError as problem:
            log.error("database: %s", problem, extra={"action": "issue-stopped"})
            return
        except IssueError:  # somebody else was at it in this moment; what came of it stands
            return
        if slug:
            log.error(
                "issue %s is paused: %s. See mailer inbound list --all; go on with: mailer issue resume %s",
                *(slug, why, slug),
                extra={"action": "issue-stopped"},
            )

    def _too_much(self, session: Session, delivery_id: int) -> tuple[str | None, int | None, int | None]:
        """Why the issue of this delivery has to stop, if it has to; with its message's and its own id."""
        delivery = session.get_one(Delivery, delivery_id)
        issue = session.get(Issue, delivery.issue_id) if delivery.issue_id else None
        if issue is None or issue.id is None or issue.status is not IssueStatus.SENDING or issue.halted_at:
            return None, None, None
        return breaker.too_much(session, issue.id), delivery.message_id, issue.id

    def _warn_if_many(self, taken: Taken) -> None:
        """One line an issue, long before it is paused: somebody should look at who is mailed."""
        if taken.delivery_id is None or taken.effect is not Effect.COMPLAINED:
            return
        try:
            with self._database.read() as session:
                issue_id = session.get_one(Delivery, taken.delivery_id).issue_id
                if issue_id is None or issue_id in self._warned or not (why := breaker.warning(session, issue_id)):
                    return
                slug = session.get_one(Issue, issue_id).slug
        except DatabaseError as problem:
            log.error("database: %s", problem, extra={"action": "complaints"})
            return
        self._warned.add(issue_id)
        log.warning("issue %s: %s", slug, why, extra={"action": "complaints"})

    def _first_of_its_kind(self, session: Session, found: _Read) -> Arrival | None:
        """The row of this mail; None where it came before."""
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        values = {
            "digest": found.digest,
            "arrived_at": self._clock(),
            "road": found.letter.road,
            "recipient": _text(found.to.text if found.to else found.letter.recipient),
            "kind": found.incoming.kind,
            "effect": Effect.NOTHING,
            "reason": "",
            "reporter": found.incoming.reporter,
        }
        written = insert(Arrival).values(values).on_conflict_do_nothing(index_elements=["digest"])
        if session.connection().execute(written.returning(Arrival.__table__.c.id)).first() is None:  # type: ignore[attr-defined]
            return None
        return session.exec(select(Arrival).where(Arrival.digest == values["digest"])).one()

    # What it calls for

    def _act(self, session: Session, found: _Read, arrival: Arrival) -> Done:
        to, incoming, now = found.to, found.incoming, self._clock()
        if found.letter.flaw:
            raise Unclear(found.letter.flaw)
        if found.event:
            return self._told(session, found.event, incoming, arrival)
        leaves = to is not None and to.use is Use.LEAVE and incoming.feedback == "opt-out"
        if incoming.kind is Kind.COMPLAINT and not leaves:
            return self._complaint(session, found)
        if to is None:
            raise Unclear("it was not written to an address of ours")
        if leaves and found.sender != "":  # a mail program's own words for leaving, in automatic dress
            return commands.leave(session, self._named(Purpose.UNSUBSCRIBE, to.token), now)
        if incoming.kind is Kind.BOUNCE:
            if to.use is not Use.RETURN_PATH:
                raise Unclear("a report that came to another address than a return path")
            return reports.act(session, self._returned(session, to.token), incoming, arrival, now)
        if to.use is Use.LEAVE:
            return self._leave(session, found, to)
        if incoming.kind is Kind.AUTO_REPLY:
            return Done(effect=Effect.NOTHING, reason="an automatic reply")
        if to.use is Use.RETURN_PATH and incoming.recipients:
            return reports.act(session, self._returned(session, to.token), incoming, arrival, now)
        if to.use in (Use.CONFIRM, Use.SUBSCRIBE, Use.GOODBYE):
            return self._ask(session, found, to)
        raise Unclear("mail from a person")

    def _leave(self, session: Session, found: _Read, to: Ours) -> Done:
        subscription_id = self._named(Purpose.UNSUBSCRIBE, to.token)
        why_not = self._why_not(session, found)
        if why_not:
            raise Unclear(f"it asks to unsubscribe, but {why_not}")
        if "in-reply-to" in found.message.fields and declines(found.message):
            raise Unclear("it replies to be unsubscribed, but says no")
        return commands.leave(session, subscription_id, self._clock())

    def _ask(self, session: Session, found: _Read, to: Ours) -> Done:
        """A confirmation, or a request to subscribe or to leave: only a person may, and only for themselves."""
        why_not = self._why_not(session, found)
        if why_not:
            return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
        now = self._clock()
        if to.use is Use.CONFIRM:
            consent_id = self._named(Purpose.CONFIRM, to.token)
            return commands.confirm(session, consent_id, found.message, found.author, now)
        if found.author is None:
            raise Unclear("it asks for something, but is not from one address")
        if not people.sent_it(found.author, found.sender):
            raise Unclear("it asks for something, but for another address than its sender's")
        key = self._settings.address_key.get_secret_value()
        window = timedelta(minutes=self._settings.confirmation_window_minutes)
        if to.use is Use.SUBSCRIBE and (why_not := self._not_taken(session, found.author, key, now)):
            return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
        act = commands.subscribe if to.use is Use.SUBSCRIBE else commands.ask_to_leave
        return act(session, to, found.author, address.hash(found.author, key), window, now)

    def _not_taken(self, session: Session, author: Address, key: str, now: datetime) -> str | None:
        """Why the form would not take the address, or not now."""
        if refusal := policy_of(self._settings).refusal(author):
            return f"it is not an address that we take ({refusal})"
        counted = limits.count(session, {Measure.MAILED: author.domain}, key, now)
        if counted[Measure.MAILED] > self._settings.requests_per_domain:
            return "too many requests for addresses of its domain"
        return None

    def _why_not(self, session: Session, found: _Read) -> str | None:
        own = session.exec(select(Publication.sender_address, Publication.contact_address)).all()
        return people.why_not_a_person(
            found.message.fields,
            found.sender,
            found.author,
            own={address.lower() for pair in own for address in pair},
            own_domain=self._settings.mail_domain,
        )

    def _complaint(self, session: Session, found: _Read) -> Done:
        """About the delivery or subscription that its tokens name: all the same one."""
        named = list(complaints.tokens(found.message, self._settings.mail_domain))
        if found.to and found.to.use is Use.RETURN_PATH:
            named.append((Purpose.RETURN_PATH, found.to.token))
        deliveries, subscriptions = dict[int, Delivery](), set[int]()
        by_return_path = False
        for purpose, token in list(dict.fromkeys(named))[:TOKENS]:
            try:
                if purpose is Purpose.UNSUBSCRIBE:
                    subscriptions.add(self._named(purpose, token))
                else:
                    delivery = self._returned(session, token, purpose)
                    assert delivery.id is not None
                    deliveries[delivery.id] = delivery
                    by_return_path |= purpose is Purpose.RETURN_PATH
            except Unclear:
                continue
        subscriptions |= {each.subscription_id for each in deliveries.values() if each.subscription_id is not None}
        if not deliveries and not subscriptions:
            raise Unclear("a complaint without a valid token of ours")
        if len(deliveries) > 1 or len(subscriptions) > 1:
            raise Unclear("a complaint that names several readers")
        delivery_id, subscription_id = next(iter(deliveries), None), next(iter(subscriptions), None)
        return complaints.act(
            session, delivery_id, subscription_id, found.incoming, self._clock(), by_return_path=by_return_path
        )

    def _told(self, session: Session, event: Event, incoming: Incoming, arrival: Arrival) -> Done:
        """About the delivery that the event's tokens name, all the same one, and its own reader."""
        if incoming.kind not in (Kind.BOUNCE, Kind.COMPLAINT):
            raise Unclear("an event that is not understood")
        deliveries = dict[int | None, Delivery]()
        for purpose, token in tokens_of(event, self._settings.mail_domain):
            with contextlib.suppress(Unclear):
                delivery = self._returned(session, token, purpose)
                deliveries[delivery.id] = delivery
        if len(deliveries) != 1:
            raise Unclear("an event that names several deliveries" if deliveries else "an event without a valid token")
        ((delivery_id, delivery),) = deliveries.items()
        assert delivery_id is not None
        if not reports.is_about_the_reader(session, delivery, incoming):
            raise Unclear("an event about another recipient than the reader of its delivery")
        if incoming.kind is Kind.BOUNCE:
            return reports.act(session, delivery, incoming, arrival, self._clock())
        certain = incoming.feedback != "opt-out"  # who follows a link of the provider's leaves, and no more
        return complaints.act(
            session, delivery_id, delivery.subscription_id, incoming, self._clock(), by_return_path=certain
        )

    # Tokens

    def _named(self, purpose: Purpose, token: str) -> int:
        """The id that a token names. Raises Unclear."""
        try:
            return self._tokens.read(purpose, token, now=self._clock())
        except TokenError:
            raise Unclear(f"its address has no valid token ({purpose})") from None

    def _returned(self, session: Session, token: str, purpose: Purpose = Purpose.RETURN_PATH) -> Delivery:
        """The delivery that a token names: ours, tried, and not too long ago. Raises Unclear."""
        delivery = session.get(Delivery, self._named(purpose, token))
        tried_at = returning.last_attempt(session, delivery.id) if delivery and delivery.id else None
        if delivery is None or tried_at is None:
            raise Unclear("its token names a delivery that was never sent")
        if tried_at < self._clock() - timedelta(days=self._settings.return_path_days):
            raise Unclear(f"its token is older than {self._settings.return_path_days} days")
        return delivery


def digest(octets: bytes, to: Ours | None) -> str:
    """Hex SHA-256 that knows the same mail again, on whatever way and with whatever line ends it came."""
    octets = octets.replace(b"\r\n", b"\n").lstrip(b"\n")
    header, gap, body = octets.partition(b"\n\n")
    whole = _TRACE.sub(b"", header + b"\n") + gap + body.rstrip(b"\n")
    whole += b"\0" + (to.text.lower().encode("utf-8", "replace") if to else b"")
    return hashlib.sha256(whole).hexdigest()


#: What servers on the way add.
_TRACE = re.compile(
    rb"^(?:From |(?:Received|Return-Path|Delivered-To|Envelope-To|Delivery-date|Status"
    rb"|X-(?:Original-To|Envelope-\w+|Delivered-To|UIDL?|Status|Spam-[\w-]+|Virus-[\w-]+)|Authentication-Results"
    rb"|Received-SPF)[ \t]*:).*\n(?:[ \t].*\n)*",
    re.MULTILINE | re.IGNORECASE,
)


def _storable(incoming: Incoming) -> Incoming:
    """The same without what PostgreSQL refuses to store."""
    recipients = tuple(
        replace(each, diagnostic=_text(each.diagnostic), status=_text(each.status)) for each in incoming.recipients
    )
    return replace(
        incoming, recipients=recipients, feedback=_text(incoming.feedback), reporter=_text(incoming.reporter)
    )


def _text(value: str | None) -> str | None:
    return value.replace("\0", "").encode("utf-8", "replace").decode()[:DIAGNOSTIC] if value else value
