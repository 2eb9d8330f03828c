"""What a claim looks like on the wire: the edition's message, this reader's tokens, the signed return path.

Messages of issues come from their table, where they were rendered once; automatic mail is rendered once for each kind,
edition and language, outside the transaction, and kept in memory, with its signatures prepared. For the next reader
only the splicing and the signing are done again.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from sqlmodel import Session

from mailer import links, tables
from mailer.delivery.ledger import Claim
from mailer.delivery.letterhead import head_of, letterhead_of
from mailer.delivery.session import Envelope
from mailer.errors import MailerError
from mailer.rendering.apart import Work, apart
from mailer.rendering.body import About, Body
from mailer.rendering.dkim import DkimKey, Prepared, Signer
from mailer.rendering.message import Enclosed, Message, Slot, compose, compose_enclosing, date, marker
from mailer.settings import Settings
from mailer.subscribers import address
from mailer.subscribers.subscription import UNDO
from mailer.tables import DeliveryKind, Edition, Forward, Publication, Quarantine
from mailer.tokens import Purpose, Tokens

Made = tuple[Message, Prepared]
"""A message and its prepared signatures: what all its readers share."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an automatic mail is rendered from, outside the transaction that claimed it: rendering takes a while."""

    kind: DeliveryKind
    language: str
    edition: str  #: its label
    publication: Publication  #: as it was read, of no session any more

    @cached_property
    def key(self) -> str:
        """The same for mails that come out the same: who changes the publication gets new ones."""
        return repr((self.kind, self.language, self.edition, self.publication.model_dump()))


@dataclass(frozen=True, kw_only=True)
class Forwarding:
    """What a mail to the editors is made from. It is made once, for them alone, and not kept in memory."""

    publication: Publication
    language: str
    subject: str
    reply_to: str | None
    text: str
    enclosed: Enclosed | None


Ready = tuple[Claim, Made | Recipe | Forwarding | MailerError]
"""A claim and what its mail is made from, or why it cannot be made."""

KEPT = 64
"""Messages kept in memory; more than that are read or rendered again when they are needed."""

_NOTHING_TO_LEAVE = {
    DeliveryKind.CONFIRMATION,
    DeliveryKind.NEW_ADDRESS,
    DeliveryKind.OLD_ADDRESS,
    DeliveryKind.MY_DATA,
}
"""Mail about no subscription that could be left."""

_OF_SUBSCRIPTION = {Slot.UNSUBSCRIBE: Purpose.UNSUBSCRIBE, Slot.PREFERENCES: Purpose.PREFERENCES}
_OF_ACT = {
    DeliveryKind.NEW_ADDRESS: Purpose.MOVE,
    DeliveryKind.OLD_ADDRESS: Purpose.MOVE_BACK,
    DeliveryKind.MY_DATA: Purpose.MY_DATA,
}
"""What the link of a mail is for that asks for something else than a confirmation."""

_BUTTONS = {
    DeliveryKind.NEW_ADDRESS: links.move,
    DeliveryKind.OLD_ADDRESS: links.move_back,
    DeliveryKind.MY_DATA: links.my_data,
}

_ASKS = {DeliveryKind.CONFIRMATION, DeliveryKind.WARNING}
"""Mail with a question that its button, or a reply, answers."""

VALID_HOURS = {
    DeliveryKind.WARNING: 60 * 24,  # a mailbox that was full is not looked into every day
    DeliveryKind.OLD_ADDRESS: UNDO // timedelta(hours=1),
    DeliveryKind.MY_DATA: 24,
}
"""How long the link of a mail can be used, where it is not as long as a confirmation's."""


class Composer:
    """Turns claims into envelopes: `load` inside the transaction that claimed them, `envelopes` outside."""

    def __init__(self, settings: Settings, tokens: Tokens, keys: Sequence[DkimKey] = ()) -> None:
        self._settings = settings
        self._tokens = tokens
        self._signer = Signer(keys)
        self._made = OrderedDict[object, Made]()
        self._rendering = threading.Lock()

    def takes_long(self, ready: Sequence[Ready]) -> bool:
        """Whether envelopes are best made in threads: they cost signatures, or a mail has not been rendered yet."""
        return self._signer.signs or any(
            isinstance(made, Forwarding) or (isinstance(made, Recipe) and made.key not in self._made)
            for _, made in ready
        )

    def load(self, session: Session, claims: list[Claim]) -> list[Ready]:
        """Each claim with what its mail is made from, or with why it cannot be made."""
        recipes = dict[tuple[DeliveryKind, str | None, int], Recipe]()
        return [(claim, self._load(session, claim, recipes)) for claim in claims]

    def _load(
        self, session: Session, claim: Claim, recipes: dict[tuple[DeliveryKind, str | None, int], Recipe]
    ) -> Made | Recipe | Forwarding | MailerError:
        if claim.kind is DeliveryKind.FORWARD:
            return _forwarding(session, claim)
        if claim.message_id is None:
            named = claim.kind, claim.language, claim.edition_id
            if named not in recipes:
                recipes[named] = _recipe(session, claim)
            return recipes[named]
        made = self._made.get(claim.message_id)
        try:
            return made or self._keep(
                claim.message_id, Message.load(session.get_one(tables.Message, claim.message_id).content)
            )
        except MailerError as error:
            return error

    def _keep(self, key: object, message: Message) -> Made:
        made = self._made[key] = message, self._signer.prepare(message)
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        return made

    def _finished(self, made: Made | Recipe | Forwarding | MailerError) -> Made | MailerError:
        if isinstance(made, Recipe):
            return self._rendered(made)
        return self._forwarded(made) if isinstance(made, Forwarding) else made

    def _forwarded(self, mail: Forwarding) -> Made | MailerError:
        settings = self._settings
        head = head_of(
            mail.publication,
            [mail.language],
            host=settings.link_hosts[0],
            mail_domain=settings.mail_domain,
            with_unsubscribe=False,
            automatic=True,
        )
        try:
            head = replace(head, listed=False, reply_to=mail.reply_to)
            message = compose_enclosing(mail.subject, mail.text, mail.enclosed, head)
            return message, self._signer.prepare(message)
        except MailerError as error:
            return error

    def _rendered(self, recipe: Recipe) -> Made | MailerError:
        """The mail of a recipe. One is rendered at a time, the same one once."""
        with self._rendering:
            try:
                return self._made.get(recipe.key) or self._keep(recipe.key, self._render(recipe))
            except MailerError as error:
                return error

    def envelopes(self, ready: Sequence[Ready]) -> list[tuple[Claim, Envelope | MailerError]]:
        """The mails of these claims, signed, or why one cannot be made. May be called in several threads at once."""
        claims = [claim for claim, _ in ready]
        every = [self._finished(made) for _, made in ready]
        slots = frozenset[Slot]().union(*(made[0].slots for made in every if not isinstance(made, MailerError)))
        columns: dict[Slot, list[str]] = {slot: self._column(slot, claims) for slot in slots if slot is not Slot.TO}
        senders = self._tokens.make_many(Purpose.RETURN_PATH, [claim.delivery_id for claim in claims])
        return [
            (claim, self._envelope(claim, made, senders[row], columns, row))
            for row, (claim, made) in enumerate(zip(claims, every, strict=True))
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
        if self._signer.signs:
            octets = b"".join(content)
            content = [prepared.sign(values, octets), octets]
        return Envelope(f"bounce+{sender}@{self._settings.mail_domain}", recipient, content)

    def _column(self, slot: Slot, claims: Sequence[Claim]) -> list[str]:
        """What this slot holds in each claim's mail: made for many at once, which is what makes tokens cheap."""
        if slot is Slot.DATE:
            return [date(claim.queued_at) for claim in claims]
        if slot is Slot.MESSAGE_ID:
            return self._tokens.make_many(Purpose.MESSAGE_ID, [claim.delivery_id for claim in claims])
        if slot in _OF_SUBSCRIPTION:
            named = [claim.subscription_id for claim in claims if claim.subscription_id]
            tokens = iter(self._tokens.make_many(_OF_SUBSCRIPTION[slot], named))
            # A test mail has no subscription to leave: its link says that it is not complete.
            return [next(tokens) if claim.subscription_id else marker(slot) for claim in claims]
        return [self._act_token(claim) for claim in claims]

    def _act_token(self, claim: Claim) -> str:
        named = claim.subscription_id if claim.kind is DeliveryKind.MY_DATA else claim.consent_id
        if named is None:
            return marker(Slot.CONFIRM)
        purpose = _OF_ACT.get(claim.kind, Purpose.CONFIRM)
        expires = claim.queued_at + timedelta(hours=self._valid_hours(claim.kind))
        return self._tokens.make(purpose, named, expires=expires)

    def _valid_hours(self, kind: DeliveryKind) -> int:
        return VALID_HOURS.get(kind, self._settings.confirmation_hours)

    def _render(self, recipe: Recipe) -> Message:
        settings, publication, language = self._settings, recipe.publication, recipe.language
        host, letterhead = settings.link_hosts[0], letterhead_of(publication)
        about = About(
            names=publication.names,
            edition=recipe.edition,
            act=_BUTTONS.get(recipe.kind, links.confirm)(host, marker(Slot.CONFIRM)),
            preferences=links.preferences(host, marker(Slot.PREFERENCES)),
            unsubscribe=links.unsubscribe(host, marker(Slot.UNSUBSCRIBE)),
            front=links.front(host, publication.slug, language),
            archive=links.archive(host, publication.slug, language) if publication.archive else None,
            valid_hours=self._valid_hours(recipe.kind),
            by_reply=settings.takes_mail,
            leave_address=links.leave_by_mail(marker(Slot.UNSUBSCRIBE), settings.mail_domain)
            if settings.takes_mail
            else None,
        )
        head = head_of(
            publication,
            [language],
            host=host,
            mail_domain=settings.mail_domain,
            with_unsubscribe=recipe.kind not in _NOTHING_TO_LEAVE,
            with_confirm=recipe.kind in _ASKS and settings.takes_mail,
            automatic=True,
            token_field=settings.events_header,
        )
        if recipe.kind is DeliveryKind.GOODBYE and settings.takes_mail:  # a reply is a mail to leave
            head = replace(head, reply_to=head.unsubscribe_address)
        body = apart(Work.AUTOMATIC, str(recipe.kind), language, letterhead, about)
        assert isinstance(body, Body)
        return compose(body, head)


def _recipe(session: Session, claim: Claim) -> Recipe:
    edition = session.get_one(Edition, claim.edition_id)
    publication = session.get_one(Publication, edition.publication_id)
    return Recipe(
        kind=claim.kind,
        language=claim.language or edition.languages[0],
        edition=edition.label,
        publication=Publication(**publication.model_dump()),
    )


def _forwarding(session: Session, claim: Claim) -> Forwarding | MailerError:
    forward = session.get(Forward, claim.delivery_id)
    kept = session.get(Quarantine, forward.arrival_id) if forward else None
    if forward is None or kept is None:
        return MailerError("the mail that it forwards was discarded")
    edition = session.get_one(Edition, claim.edition_id)
    publication = session.get_one(Publication, edition.publication_id)
    return Forwarding(
        publication=Publication(**publication.model_dump()),
        language=edition.languages[0],
        subject=f"Fwd: {forward.subject}".strip(),
        reply_to=forward.reply_to,
        text=forward.text,
        enclosed=Enclosed(name=f"mail-{forward.arrival_id}.eml", content=kept.octets) if forward.whole else None,
    )


def _wire(stored: str) -> str:
    """The address as servers know it: the domain as A-labels; other letters stay only where SMTPUTF8 is needed."""
    return stored if stored.isascii() else address.parse(stored).ascii or stored
