"""What a letter calls for: who is it from, which of our tokens does it bear, and may a program act on it?"""

import contextlib
from datetime import datetime, timedelta

from sqlmodel import Session, select

from mailer.clock import Clock
from mailer.delivery.ledger import returning
from mailer.inbound import commands, complaints, people, reports
from mailer.inbound.addresses import Ours, Use
from mailer.inbound.agreement import declines
from mailer.inbound.done import Done, Unclear
from mailer.inbound.event import Event, tokens_of
from mailer.inbound.incoming import Effect, Incoming, Kind
from mailer.inbound.letter import ReadLetter
from mailer.settings import Settings
from mailer.subscribers import address, limits
from mailer.subscribers.address import Address
from mailer.subscribers.limits import Measure
from mailer.subscribers.policy import policy_of
from mailer.tables import Arrival, Delivery, Publication
from mailer.tokens import Purpose, TokenError, Tokens

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

    def _leave(self, session: Session, found: ReadLetter, to: Ours) -> Done:
        subscription_id = self._named(Purpose.UNSUBSCRIBE, to.token)
        why_not = self.why_not_a_person(session, found)
        if why_not:
            raise Unclear(f"it asks to unsubscribe, but {why_not}")
        if "in-reply-to" in found.message.fields and declines(found.message):
            raise Unclear("it replies to be unsubscribed, but says no")
        return commands.leave(session, subscription_id, self._clock())

    def _ask(self, session: Session, found: ReadLetter, to: Ours) -> Done:
        """A confirmation, or a request to subscribe or to leave: only a person may, and only for themselves."""
        why_not = self.why_not_a_person(session, found)
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
        if why_not := self._not_taken(session, to.use, found.author, key, now):
            return Done(effect=Effect.NOTHING, reason=f"not acted on: {why_not}")
        act = commands.subscribe if to.use is Use.SUBSCRIBE else commands.ask_to_leave
        return act(session, to, found.author, address.hash(found.author, key), window, now)

    def _not_taken(self, session: Session, use: Use, author: Address, key: str, now: datetime) -> str | None:
        """Why the form would not take the address, or not now. Each causes a mail, so that the form and mail count
        together for one mailbox."""
        measured = {Measure.ADDRESS: address.mailbox(author)}
        if use is Use.SUBSCRIBE:
            if refusal := policy_of(self._settings).refusal(author):
                return f"it is not an address that we take ({refusal})"
            measured[Measure.MAILED] = author.domain
        counted = limits.count(session, measured, key, now)
        if counted.get(Measure.MAILED, 0) > self._settings.requests_per_domain:
            return "too many requests for addresses of its domain"
        if counted[Measure.ADDRESS] > self._settings.requests_per_address:
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
