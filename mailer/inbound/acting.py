"""What a letter calls for: who is it from, which of our tokens does it bear, and may a program act on it?"""

import contextlib
from datetime import datetime, timedelta

from sqlmodel import Session, select

from mailer.clock import Clock
from mailer.delivery.ledger import returning
from mailer.inbound import commands, complaints, moving, mydata, people, preferences, reports
from mailer.inbound.addresses import PURPOSES, Ours, Use
from mailer.inbound.agreement import declines
from mailer.inbound.done import Done, Unclear
from mailer.inbound.event import Event, tokens_of
from mailer.inbound.incoming import Effect, Incoming, Kind
from mailer.inbound.letter import ReadLetter
from mailer.links import Command
from mailer.settings import Settings
from mailer.subscribers import address, limits
from mailer.subscribers.address import Address
from mailer.subscribers.limits import Measure
from mailer.subscribers.policy import policy_of
from mailer.tables import Arrival, Delivery, DeliveryKind, Publication
from mailer.tokens import Purpose, TokenError, TokenExpired, TokenInvalid, Tokens

TOKENS = 10
"""Tokens of one complaint that are looked at: an honest one has a few."""


class Acting:
    """Does what a letter calls for, in the caller's transaction. Raises Unclear where that is not for a program."""

    def __init__(self, settings: Settings, tokens: Tokens, clock: Clock) -> None:
        self._settings, self._tokens, self._clock = settings, tokens, clock

    def act(self, session: Session, found: ReadLetter, arrival: Arrival) -> Done:
        to, incoming, now = found.to, found.incoming, self._clock()
        if found.letter.flaw:
            raise Unclear(found.letter.flaw)
        if found.event:
            return self._told(session, found.event, incoming, arrival)
        leaves = to is not None and to.command is Command.LEAVE and incoming.feedback == "opt-out"
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
        if to.command is Command.LEAVE:
            return self._leave(session, found, to)
        if incoming.kind is Kind.AUTO_REPLY:
            return Done(effect=Effect.NOTHING, reason="an automatic reply")
        if to.use is Use.RETURN_PATH and incoming.recipients:
            return reports.act(session, self._returned(session, to.token), incoming, arrival, now)
        if to.use not in (Use.RETURN_PATH, Use.OTHER):
            return self._ask(session, found, to)
        raise Unclear("mail from a person")

    def _leave(self, session: Session, found: ReadLetter, to: Ours) -> Done:
        subscription_id = self._named(Purpose.UNSUBSCRIBE, to.token)
        why_not = self.why_not_a_person(session, found)
        if why_not:
            raise Unclear(f"it asks to unsubscribe, but {why_not}")
        if "in-reply-to" in found.message.fields and declines(found.message):
            raise Unclear("it replies to be unsubscribed, but says no")
        return commands.leave(session, subscription_id, self._clock())

    def _ask(self, session: Session, found: ReadLetter, to: Ours) -> Done:
        """What only a person may ask for."""
        why_not = self.why_not_a_person(session, found)
        if why_not:
            return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
        if to.command is None:
            return self._without_token(session, found, to)
        return self._command(session, found, to.command, to)

    def _command(self, session: Session, found: ReadLetter, command: Command, to: Ours) -> Done:
        now, window, reply = self._clock(), self._window, found.message
        if command in (Command.DATA, Command.ERASE):
            return self._my_data(session, command, to)
        named = self._named(PURPOSES[command], to.token)
        if command is Command.CONFIRM:
            return commands.confirm(session, named, reply, found.author, now)
        if command is Command.MOVE:
            return moving.confirm(session, named, reply, found.author, now)
        if command is Command.MOVE_BACK:
            return moving.take_back(session, named, now)
        if command is Command.MY_DATA:
            return mydata.ask(session, named, DeliveryKind.MY_DATA, window, now)
        if command is Command.NEW_ADDRESS:
            author = self._author(found)
            if why_not := self._not_taken(session, author, now):
                return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
            return moving.ask(session, named, author, self._key, window, now)
        return preferences.act(session, command, to.what, named, now)

    def _my_data(self, session: Session, command: Command, to: Ours) -> Done:
        """Where the token is too old, the reader gets a new one, as by the page."""
        now, window = self._clock(), self._window
        try:
            named = self._tokens.read(Purpose.MY_DATA, to.token, now=now)
        except TokenExpired as late:
            return mydata.ask(session, late.named, DeliveryKind.MY_DATA, window, now)
        except TokenInvalid:
            raise Unclear(f"its address has no valid token ({Purpose.MY_DATA})") from None
        if command is Command.ERASE:
            return mydata.erase(session, named, now)
        return mydata.ask(session, named, DeliveryKind.MY_DATA_FILE, window, now)

    def _without_token(self, session: Session, found: ReadLetter, to: Ours) -> Done:
        """Everybody may, for themselves."""
        now, author = self._clock(), self._author(found)
        if to.use is Use.SUBSCRIBE and (why_not := self._not_taken(session, author, now)):
            return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
        return _WITHOUT_TOKEN[to.use](session, to, author, self._hash(author), self._window, now)

    def _author(self, found: ReadLetter) -> Address:
        """Who wrote, for their own address. Raises Unclear."""
        if found.author is None:
            raise Unclear("it asks for something, but is not from one address")
        if not people.sent_it(found.author, found.sender):
            raise Unclear("it asks for something, but for another address than its sender's")
        return found.author

    @property
    def _key(self) -> str:
        return self._settings.address_key.get_secret_value()

    def _hash(self, author: Address) -> str:
        return address.hash(author, self._key)

    @property
    def _window(self) -> timedelta:
        return timedelta(minutes=self._settings.confirmation_window_minutes)

    def _not_taken(self, session: Session, author: Address, now: datetime) -> str | None:
        """Why the form would not take an address at which somebody wants to read, or not now."""
        if refusal := policy_of(self._settings).refusal(author):
            return f"it is not an address that we take ({refusal})"
        measured = {Measure.AUTHOR: address.mailbox(author), Measure.MAILED: author.domain}
        counted = limits.count(session, measured, self._key, now)
        if counted[Measure.MAILED] > self._settings.requests_per_domain:
            return "too many requests for addresses of its domain"
        if counted[Measure.AUTHOR] > self._settings.requests_per_address:
            return "too many requests for its address"
        return None

    def why_not_a_person(self, session: Session, found: ReadLetter) -> str | None:
        """In words; None where a person may have written it, for themselves."""
        own = session.exec(select(Publication.sender_address, Publication.contact_address)).all()
        return people.why_not_a_person(
            found.message.fields,
            found.sender,
            found.author,
            own={each for pair in own for each in pair},
            own_domain=self._settings.mail_domain,
        )

    def _complaint(self, session: Session, found: ReadLetter) -> Done:
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


_WITHOUT_TOKEN = {
    Use.SUBSCRIBE: commands.subscribe,
    Use.GOODBYE: commands.ask_to_leave,
    Use.PREFERENCES: commands.ask_for_ways,
}
