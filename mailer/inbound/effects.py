"""From the octets of a mail to its effect, in one transaction. All ways in end here: receiver, mailbox, and what
providers tell by HTTP.

A report acts on what our token names. A mail without a valid token changes nothing, whatever it claims; it is kept for
the operator. The same mail again has no effect.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from mailer.clock import Clock
from mailer.database import Database, DatabaseError
from mailer.delivery import launch, ledger
from mailer.delivery.ledger.returning import StillSending
from mailer.inbound import breaker, forwarding, mime, people, quarantine
from mailer.inbound.acting import Acting
from mailer.inbound.addresses import ours, written_to
from mailer.inbound.done import Done, Unclear
from mailer.inbound.event import Event
from mailer.inbound.incoming import Effect, Incoming, Kind
from mailer.inbound.letter import Letter, ReadLetter, storable, text
from mailer.inbound.quarantine import QuarantineFull
from mailer.inbound.reading import read
from mailer.issues.issue import IssueError
from mailer.issues.states import IssueStatus
from mailer.printable import printable, where
from mailer.settings import Settings
from mailer.tables import Arrival, Delivery, Issue, Quarantine
from mailer.tokens import Tokens

log = logging.getLogger(__name__)

NOTED_EVERY = timedelta(days=1)
NOTED_TOGETHER = 500  #: arrivals, in one statement


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a letter."""

    effect: Effect
    reason: str
    arrival_id: int | None  #: None where the same mail came before
    queued: bool = False  #: a mail is due for it
    delivery_id: int | None = None  #: what it is about
    waits: bool = False  #: for a person to read it: it is in the quarantine, now or still since the same came before
    number: int | None = None  #: of the arrival, also where the same mail came before
    erased: Sequence[str] = ()  #: addresses of a reader who is gone


class Effects:
    """Acts on what comes in."""

    def __init__(self, *, settings: Settings, database: Database, tokens: Tokens, clock: Clock) -> None:
        self._settings, self._database, self._tokens, self._clock = settings, database, tokens, clock
        self._acting = Acting(settings, tokens, clock)
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
        return self._act_on(self._taken_apart(letter), lambda: read(letter.octets), number)

    def _taken_apart(self, letter: Letter) -> ReadLetter:
        message = mime.take_apart(letter.octets)
        domain = self._settings.mail_domain
        to = written_to(message.fields, domain) if letter.recipient is None else ours(letter.recipient, domain)
        sender = people.envelope_sender(message.fields) if letter.sender is None else letter.sender
        author = people.author(mime.fields(letter.octets).get("from", ""))
        return ReadLetter(letter, to, message, Incoming(kind=Kind.OTHER), sender, author)

    def tell(self, event: Event) -> Taken:
        """What take() does, for what a provider tells of one mail; its call is genuine."""
        letter = Letter(octets=event.octets, road=event.provider, recipient=event.return_path or None, sender=None)
        to = ours(event.return_path, self._settings.mail_domain)
        found = ReadLetter(letter, to, mime.take_apart(b""), Incoming(kind=Kind.OTHER), event=event)
        return self._act_on(found, lambda: event.incoming, None)

    def set_aside(self, event: Event) -> Taken:
        """Puts an event that tell() stumbled over into the quarantine, as it came. Raises DatabaseError and
        QuarantineFull."""
        letter = Letter(octets=event.octets, road=event.provider, recipient=None, sender=None)
        found = ReadLetter(letter, None, mime.take_apart(b""), Incoming(kind=Kind.OTHER), event=event)
        return self._transact(found, None, unclear="a defect of ours: see the log")

    def number_of(self, letter: Letter) -> int | None:
        """The arrival of this mail, if it came before. Raises DatabaseError."""
        found = self._taken_apart(letter)
        with self._database.read() as session:
            arrival = session.exec(select(Arrival).where(Arrival.digest == found.digest)).one_or_none()
            return arrival.id if arrival else None

    def thrown_away(self, numbers: Collection[int]) -> set[int]:
        """Those of these mails that are in the quarantine no more. Raises DatabaseError."""
        if not numbers:
            return set()
        with self._database.read() as session:
            kept = session.exec(select(Quarantine.arrival_id)).all()
        return set(numbers).difference(kept)

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

    def _act_on(self, found: ReadLetter, meant: Callable[[], Incoming], number: int | None) -> Taken:
        try:
            found = replace(found, incoming=storable(meant()))
            taken = self._transact(found, number)
        except (DatabaseError, StillSending, QuarantineFull, quarantine.NotThere):
            raise
        except Exception as error:
            log.error("a mail that came in could not be acted on: %s", where(error), extra={"action": "inbound-defect"})
            taken = self._transact(found, number, unclear="a defect of ours: see the log")
        if taken.erased:
            quarantine.discard_mail(self._database, taken.erased)
        if taken.arrival_id is not None:
            level = logging.WARNING if found.letter.flaw else logging.INFO
            what = "event" if found.event else "mail"
            log.log(level, "%s %d came in: %s, %s", what, taken.arrival_id, taken.effect, printable(taken.reason))
            self._warn_if_many(taken)
            self._stop_if_too_much(taken)
        return taken

    def _transact(self, found: ReadLetter, number: int | None, unclear: str = "") -> Taken:
        with self._database.write() as session:
            if number is None:
                arrival = self._first_of_its_kind(session, found)
            else:
                arrival, _ = quarantine.whole(session, number, lock=True)
            if arrival is None:
                before = session.exec(select(Arrival).where(Arrival.digest == found.digest)).one()
                waits = before.effect is Effect.QUARANTINED and session.get(Quarantine, before.id) is not None
                if waits and found.letter.road == "mailbox":
                    before.listed_at = self._clock()
                reason = "the same mail came before"
                return Taken(effect=Effect.NOTHING, reason=reason, arrival_id=None, waits=waits, number=before.id)
            try:
                if unclear:
                    raise Unclear(unclear)
                done = self._acting.act(session, found, arrival)
                if number is not None:
                    quarantine.discard(session, numbers=[number])
            except Unclear as problem:
                done = self._set_aside(session, found, arrival, str(problem), defect=bool(unclear))
            arrival.kind, arrival.reporter = found.incoming.kind, found.incoming.reporter
            arrival.effect, arrival.reason, arrival.delivery_id = done.effect, done.reason, done.delivery_id
            if done.verdict:
                arrival.category, arrival.status = done.verdict.category, done.verdict.status
                arrival.diagnostic = done.verdict.diagnostic
            if done.delivery_id is not None and not ledger.has_reader(session, done.delivery_id):
                arrival.diagnostic = arrival.reporter = None  # they may name whom we have erased
            session.add(arrival)
            session.flush()
            return Taken(
                effect=done.effect,
                reason=done.reason,
                arrival_id=arrival.id,
                number=arrival.id,
                delivery_id=done.delivery_id,
                queued=done.queued,
                erased=done.erased,
                waits=done.effect is Effect.QUARANTINED,
            )

    def _set_aside(self, session: Session, found: ReadLetter, arrival: Arrival, reason: str, *, defect: bool) -> Done:
        """Into the quarantine, and on to the editors where a person wrote it."""
        letter = found.letter
        kept = session.get(Quarantine, arrival.id) or quarantine.keep(
            session, arrival, letter.octets, size=letter.size, sender=text(found.sender), flaw=letter.flaw
        )
        if forwarding.is_forwarded(session, arrival):
            return Done(effect=Effect.QUARANTINED, reason=reason)
        if (
            defect
            or found.event
            or found.incoming.kind is not Kind.OTHER
            or self._acting.why_not_a_person(session, found)
        ):
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

    def _first_of_its_kind(self, session: Session, found: ReadLetter) -> Arrival | None:
        """The row of this mail; None where it came before."""
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        values = {
            "digest": found.digest,
            "arrived_at": self._clock(),
            "road": found.letter.road,
            "recipient": text(found.to.text if found.to else found.letter.recipient),
            "kind": found.incoming.kind,
            "effect": Effect.NOTHING,
            "reason": "",
            "reporter": found.incoming.reporter,
        }
        written = insert(Arrival).values(values).on_conflict_do_nothing(index_elements=["digest"])
        if session.connection().execute(written.returning(Arrival.__table__.c.id)).first() is None:  # type: ignore[attr-defined]
            return None
        return session.exec(select(Arrival).where(Arrival.digest == values["digest"])).one()
