"""What a claim looks like on the wire: the edition's message, this reader's tokens, the signed return path.

Messages of issues come from their table, where they were rendered once; automatic mail is rendered once for each kind,
edition and language, outside the transaction, and kept in memory, with its signatures prepared. For the next reader
only the splicing and the signing are done again.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from sqlmodel import Session

from mailer import links, tables
from mailer.delivery.ledger import Claim
from mailer.delivery.letterhead import by_mail, head_of, letterhead_of
from mailer.delivery.recipes import OF_ONE, Forwarding, Recipe, forwarding_of, recipe_of, recipe_of_one
from mailer.delivery.session import Envelope
from mailer.errors import MailerError
from mailer.links import Command
from mailer.rendering.apart import Work, apart
from mailer.rendering.body import About, Body
from mailer.rendering.dkim import DkimKey, Prepared, Signer
from mailer.rendering.message import Message, Slot, compose, compose_enclosing, date, marker
from mailer.settings import Settings
from mailer.subscribers import address
from mailer.subscribers.subscription import UNDO
from mailer.tables import DeliveryKind
from mailer.tokens import Purpose, Tokens

Made = tuple[Message, Prepared]
"""A message and its prepared signatures: what all its readers share."""


Ready = tuple[Claim, Made | Recipe | Forwarding | MailerError]
"""A claim and what its mail is made from, or why it cannot be made."""

KEPT = 64
"""Messages kept in memory; more than that are read or rendered again when they are needed."""

_NOTHING_TO_LEAVE = {
    DeliveryKind.CONFIRMATION,
    DeliveryKind.NEW_ADDRESS,
    DeliveryKind.OLD_ADDRESS,
    DeliveryKind.MY_DATA,
    DeliveryKind.PREFERENCES,
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

_REPLIES = {
    DeliveryKind.CONFIRMATION: Command.CONFIRM,
    DeliveryKind.WARNING: Command.CONFIRM,
    DeliveryKind.NEW_ADDRESS: Command.MOVE,
}
"""Mail with a question that its button, or a reply, answers, and what the reply does."""

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
            return forwarding_of(session, claim)
        if claim.kind in OF_ONE:
            return recipe_of_one(session, claim)
        if claim.message_id is None:
            named = claim.kind, claim.language, claim.edition_id
            if named not in recipes:
                recipes[named] = recipe_of(session, claim)
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
        try:
            if isinstance(made, Forwarding):
                return self._enclosing(made, made.subject, made.text, made.reply_to)
            if isinstance(made, Recipe) and made.enclosed:
                body = self._body(made)
                return self._enclosing(made, body.subject, body.text)
        except MailerError as error:
            return error
        return self._rendered(made) if isinstance(made, Recipe) else made

    def _enclosing(self, made: Recipe | Forwarding, subject: str, text: str, reply_to: str | None = None) -> Made:
        settings = self._settings
        head = head_of(
            made.publication,
            [made.language],
            host=settings.link_hosts[0],
            mail_domain=settings.mail_domain,
            with_unsubscribe=False,
            automatic=True,
        )
        head = replace(head, listed=False, reply_to=reply_to)
        message = compose_enclosing(subject, text, made.enclosed, head)
        return message, self._signer.prepare(message)

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
        settings = self._settings
        head = head_of(
            recipe.publication,
            [recipe.language],
            host=settings.link_hosts[0],
            mail_domain=settings.mail_domain,
            with_unsubscribe=recipe.kind not in _NOTHING_TO_LEAVE,
            by_reply=_REPLIES.get(recipe.kind) if settings.takes_mail else None,
            automatic=True,
            token_field=settings.events_header,
        )
        if recipe.kind is DeliveryKind.GOODBYE and settings.takes_mail:  # a reply is a mail to leave
            head = replace(head, reply_to=head.unsubscribe_address)
        return compose(self._body(recipe), head)

    def _body(self, recipe: Recipe) -> Body:
        settings, publication, language = self._settings, recipe.publication, recipe.language
        host = settings.link_hosts[0]
        about = About(
            names=publication.names,
            edition=recipe.edition,
            act=_BUTTONS.get(recipe.kind, links.confirm)(host, marker(Slot.CONFIRM)),
            preferences=links.preferences(host, marker(Slot.PREFERENCES)),
            unsubscribe=links.unsubscribe(host, marker(Slot.UNSUBSCRIBE)),
            front=links.front(host, publication.slug, language),
            archive=links.archive(host, publication.slug, language) if publication.archive else None,
            valid_hours=self._valid_hours(recipe.kind),
            by_mail=by_mail(settings.mail_domain) if settings.takes_mail else None,
            choices=recipe.choices,
        )
        body = apart(Work.AUTOMATIC, str(recipe.kind), language, letterhead_of(publication), about)
        assert isinstance(body, Body)
        return body


def _wire(stored: str) -> str:
    """The address as servers know it: the domain as A-labels; other letters stay only where SMTPUTF8 is needed."""
    return stored if stored.isascii() else address.parse(stored).ascii or stored
