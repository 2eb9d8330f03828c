"""What a claim looks like on the wire: the edition's message, this reader's tokens, the signed return path.

Messages of issues come from their table, where they were rendered once; automatic mail is rendered once for each
kind, edition and language and kept in memory, with its signatures prepared. For the next reader only the splicing and
the signing are done again.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlmodel import Session

from mailer import links, tables
from mailer.delivery.ledger import Claim
from mailer.delivery.letterhead import head_of, letterhead_of
from mailer.delivery.session import Envelope
from mailer.errors import MailerError
from mailer.rendering.apart import Work, apart
from mailer.rendering.body import Body
from mailer.rendering.dkim import DkimKey, Prepared, Signer
from mailer.rendering.message import Message, Slot, compose, date, marker
from mailer.settings import Settings
from mailer.subscribers import address
from mailer.tables import DeliveryKind, Edition, Publication
from mailer.tokens import Purpose, Tokens

Made = tuple[Message, Prepared]
"""A message and its prepared signatures: what all its readers share."""

Ready = tuple[Claim, Made | MailerError]
"""A claim and what its mail is made from, or why it cannot be made."""

KEPT = 64
"""Messages kept in memory; more than that are read again when they are needed."""


class Composer:
    """Turns claims into envelopes: `load` inside the transaction that claimed them, `envelopes` outside."""

    def __init__(self, settings: Settings, tokens: Tokens, keys: Sequence[DkimKey] = ()) -> None:
        self._settings = settings
        self._tokens = tokens
        self._signer = Signer(keys)
        self._made = OrderedDict[object, Made]()

    @property
    def signs(self) -> bool:
        """Whether an envelope costs signatures, which are best made in threads."""
        return self._signer.signs

    def load(self, session: Session, claims: list[Claim]) -> list[Ready]:
        """Each claim with its message, or with why it cannot be made."""
        return [(claim, self._load(session, claim)) for claim in claims]

    def _load(self, session: Session, claim: Claim) -> Made | MailerError:
        key = claim.message_id or (claim.kind, claim.edition_id, claim.language)
        if key not in self._made:
            try:
                message = self._message(session, claim)
            except MailerError as error:
                return error
            self._made[key] = message, self._signer.prepare(message)
        self._made.move_to_end(key)
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        return self._made[key]

    def _message(self, session: Session, claim: Claim) -> Message:
        if claim.message_id is None:
            return self._render(session, claim)
        return Message.load(session.get_one(tables.Message, claim.message_id).content)

    def envelopes(self, ready: Sequence[Ready]) -> list[tuple[Claim, Envelope | MailerError]]:
        """The mails of these claims, signed, or why one cannot be made. May be called in several threads at once."""
        claims = [claim for claim, _ in ready]
        slots = frozenset[Slot]().union(*(made[0].slots for _, made in ready if not isinstance(made, MailerError)))
        columns: dict[Slot, list[str]] = {slot: self._column(slot, claims) for slot in slots if slot is not Slot.TO}
        senders = self._tokens.make_many(Purpose.RETURN_PATH, [claim.delivery_id for claim in claims])
        return [
            (claim, self._envelope(claim, made, senders[row], columns, row)) for row, (claim, made) in enumerate(ready)
        ]

    def _envelope(
        self, claim: Claim, made: Made | MailerError, sender: str, columns: Mapping[Slot, list[str]], row: int
    ) -> Envelope | MailerError:
        if isinstance(made, MailerError):
            return made
        message, prepared = made
        values = {slot: column[row] for slot, column in columns.items()}
        try:
            recipient = values[Slot.TO] = _wire(claim.address)
            content = message.strips(values)
        except MailerError as error:
            return error
        if self.signs:
            octets = b"".join(content)
            content = [prepared.sign(values, octets), octets]
        return Envelope(f"bounce+{sender}@{self._settings.mail_domain}", recipient, content)

    def _column(self, slot: Slot, claims: Sequence[Claim]) -> list[str]:
        """What this slot holds in each claim's mail: made for many at once, which is what makes tokens cheap."""
        if slot is Slot.DATE:
            return [date(claim.queued_at) for claim in claims]
        if slot is Slot.MESSAGE_ID:
            return self._tokens.make_many(Purpose.MESSAGE_ID, [claim.delivery_id for claim in claims])
        if slot is Slot.UNSUBSCRIBE:
            named = [claim.subscription_id for claim in claims if claim.subscription_id]
            tokens = iter(self._tokens.make_many(Purpose.UNSUBSCRIBE, named))
            # A test mail has no subscription to leave: its link says that it is not complete.
            return [next(tokens) if claim.subscription_id else marker(slot) for claim in claims]
        return [self._confirm_token(claim) for claim in claims]

    def _confirm_token(self, claim: Claim) -> str:
        if claim.consent_id is None:
            return marker(Slot.CONFIRM)
        expires = claim.queued_at + timedelta(hours=self._settings.confirmation_hours)
        return self._tokens.make(Purpose.CONFIRM, claim.consent_id, expires=expires)

    def _render(self, session: Session, claim: Claim) -> Message:
        edition = session.get_one(Edition, claim.edition_id)
        publication = session.get_one(Publication, edition.publication_id)
        language = claim.language or edition.languages[0]
        body = self._automatic_body(claim.kind, publication, edition, language)
        head = head_of(
            publication,
            [language],
            host=self._settings.link_hosts[0],
            mail_domain=self._settings.mail_domain,
            with_unsubscribe=claim.kind is not DeliveryKind.CONFIRMATION,
            with_confirm=claim.kind is DeliveryKind.CONFIRMATION and self._settings.takes_mail,
            automatic=True,
        )
        return compose(body, head)

    def _automatic_body(self, kind: DeliveryKind, publication: Publication, edition: Edition, language: str) -> Body:
        host, letterhead = self._settings.link_hosts[0], letterhead_of(publication)
        if kind is DeliveryKind.CONFIRMATION:
            body = apart(
                Work.CONFIRMATION,
                language,
                letterhead,
                edition_label=edition.label,
                confirm_url=links.confirm(host, marker(Slot.CONFIRM)),
                valid_hours=self._settings.confirmation_hours,
                by_reply=self._settings.takes_mail,
            )
        else:
            body = apart(
                Work.WELCOME,
                language,
                letterhead,
                edition_label=edition.label,
                unsubscribe_url=links.unsubscribe(host, marker(Slot.UNSUBSCRIBE)),
                archive_url=links.archive(host, publication.slug, language),
            )
        assert isinstance(body, Body)
        return body


def _wire(stored: str) -> str:
    """The address as servers know it: the domain as A-labels; other letters stay only where SMTPUTF8 is needed."""
    return stored if stored.isascii() else address.parse(stored).ascii or stored
