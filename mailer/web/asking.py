"""What stands between a request to subscribe and its effect, by whatever road it comes: the form, a snippet, a program.

Nothing here looks at whether an address is known before everything is decided that a stranger can see. A request gets
through with a form of ours that is a moment old; under pressure with a proof of work as well. A program, which has no
form, brings the proof alone. How often it is tried is counted in the database (subscribers/limits.py).
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import Response
from sqlmodel import Session

from mailer.app import App
from mailer.delivery import automatic
from mailer.subscribers import address, limits, optin
from mailer.subscribers.address import Address
from mailer.subscribers.limits import Measure
from mailer.tables import Edition
from mailer.tokens import Purpose, TokenError
from mailer.web.altcha import WAITED, Challenge, Challenges

SOONEST = timedelta(seconds=2)
"""The age of a form before which no person can have filled it in."""

LATEST = timedelta(hours=12)
"""How long a form that was left open is good for."""

PRESSED_FROM = 4
"""A network or a domain is pressed from this part of its limit on: a quarter."""

EVEN_SECONDS = 0.05
"""Answers leave at whole multiples of this after the question came: how long the work took says who is known."""


class Outcome(enum.StrEnum):
    """What a stranger is told."""

    RECEIVED = "received"  #: if we may write there, a mail is on its way
    UNPROVEN = "unproven"  #: nothing says that a person asks: a button to press, or a proof of work
    PRESSED = "pressed"  #: too much comes in for a button: a proof of work
    TOO_SOON = "too soon"  #: the form is not old enough yet
    WAIT = "wait"  #: the wait in place of a proof is not over yet
    TOO_MANY = "too many"  #: later


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A request in which every field is right."""

    edition: Edition
    address: Address
    language: str
    wording: str
    source: str
    network: str  #: truncated; "" where none is known
    stamp: str = ""  #: of a form of ours
    proof: str = ""  #: an altcha payload; for a form also one without solution, which counts after a wait
    by_program: bool = False  #: neither a stamp nor a wait counts


@dataclass(frozen=True, kw_only=True)
class Answer:
    outcome: Outcome
    again: datetime | None = None  #: when to try again, with TOO_SOON, WAIT and TOO_MANY


def ask(app: App, challenges: Challenges, asking: Asking) -> Answer:
    """Acts on a request, or says what it lacks. The mail that it calls for is queued in the same transaction."""
    now, key = app.clock(), _key(app)
    measured = _measured(asking)
    with app.database.read() as session:
        before = limits.seen(session, measured, key, now)
    if (full := _full(app, before, spare=1)) is not None:
        return _later(full, now)
    proof = challenges.read(asking.proof, now) if asking.proof else None
    lacking = _lacking(app, asking, before, proof, now)

    def act(session: Session) -> Answer:
        if lacking:
            limits.count(session, _only(measured, Measure.NETWORK), key, now)
            return lacking
        mailbox = address.mailbox(asking.address)
        counted = limits.count(session, measured | {Measure.ADDRESS: mailbox}, key, now)
        if (full := _full(app, counted)) is not None:
            return _later(full, now)
        if proof:
            same = {Measure.PROOF_FOR: f"{proof.nonce} {mailbox} {asking.edition.id}"}
            if limits.count(session, {Measure.PROOF: proof.nonce}, key, now)[Measure.PROOF] > 1:
                was_told = limits.seen(session, same, key, now)[Measure.PROOF_FOR]
                return Answer(outcome=Outcome.RECEIVED if was_told else Outcome.PRESSED)
            limits.count(session, same, key, now)
        if counted[Measure.ADDRESS] <= app.settings.requests_per_address:
            _request(session, app, asking, now)
        return Answer(outcome=Outcome.RECEIVED)

    return app.database.together(act)


def ask_again(session: Session, app: App, reader: Address, network: str, act: Callable[[], None]) -> Answer:
    """A mail in place of one that is too old: counted as a request is. `act` queues it, unless the mailbox was written
    to as often as it may be."""
    now = app.clock()
    measured = _shared(reader, network) | {Measure.ADDRESS: address.mailbox(reader)}
    counted = limits.count(session, measured, _key(app), now)
    if (full := _full(app, counted)) is not None:
        return _later(full, now)
    if counted[Measure.ADDRESS] <= app.settings.requests_per_address:
        act()
    return Answer(outcome=Outcome.RECEIVED)


def ask_elsewhere(session: Session, app: App, new: Address, network: str, act: Callable[[], None] | None) -> None:
    """A mail to an address that a reader wants to move to. `act` queues it, within the limits; None where none is owed
    (`moving.would_owe`): then only who asks is counted.

    Its mailbox counts it together with requests, its domain apart from them; nothing that strangers share is used up.
    """
    measured = {Measure.NETWORK: network} if network else dict[Measure, str]()
    if act:
        measured |= {Measure.MOVED: new.domain, Measure.ADDRESS: address.mailbox(new)}
    counted = limits.count(session, measured, _key(app), app.clock())
    if act and _full(app, counted) is None and counted[Measure.ADDRESS] <= app.settings.requests_per_address:
        act()


def stamp(app: App, now: datetime) -> str:
    """What a form of ours carries: when it was made."""
    return app.tokens.make(Purpose.FORM, int(now.timestamp()), expires=now + LATEST)


def is_stamped(app: App, stamp: str, now: datetime) -> bool:
    """Whether a form was ours, so that its reader saw our words."""
    return _made(app, stamp, now) is not None


def is_pressed(app: App, network: str = "", domain: str = "") -> bool:
    """Whether more comes in than is ordinary: altogether, from this network, or for this receiving domain."""
    measured = {Measure.EVERYBODY: "", Measure.NETWORK: network, Measure.DOMAIN: domain}
    with app.database.read() as session:
        return _pressed(app, limits.seen(session, measured, _key(app), app.clock()))


async def evenly(answer: Awaitable[Response]) -> Response:
    """The answer at the next whole multiple of EVEN_SECONDS."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    made = await answer
    await asyncio.sleep(even_after(loop.time() - began))
    return made


def even_after(took: float) -> float:
    """Seconds to wait after work that took so long."""
    return -took % EVEN_SECONDS


def _measured(asking: Asking) -> dict[Measure, str]:
    return _shared(asking.address, asking.network)


def _shared(reader: Address, network: str) -> dict[Measure, str]:
    shared = {Measure.EVERYBODY: "", Measure.DOMAIN: reader.domain}
    return shared | {Measure.NETWORK: network} if network else shared


def _only(measured: Mapping[Measure, str], measure: Measure) -> dict[Measure, str]:
    return {each: value for each, value in measured.items() if each is measure}


def _most(app: App) -> dict[Measure, int]:
    settings = app.settings
    by_domain = settings.requests_per_domain
    return {Measure.NETWORK: settings.requests_per_network, Measure.DOMAIN: by_domain, Measure.MOVED: by_domain}


def _full(app: App, counted: Mapping[Measure, int], *, spare: int = 0) -> Measure | None:
    """What has reached its limit, were `spare` more to come."""
    return next((each for each, most in _most(app).items() if counted.get(each, 0) + spare > most), None)


def _later(full: Measure, now: datetime) -> Answer:
    return Answer(outcome=Outcome.TOO_MANY, again=limits.window_end(full, now))


def _pressed(app: App, counted: Mapping[Measure, int]) -> bool:
    near = (counted.get(each, 0) >= max(most // PRESSED_FROM, 1) for each, most in _most(app).items())
    return counted[Measure.EVERYBODY] >= app.settings.requests_expected or any(near)


def _lacking(
    app: App, asking: Asking, before: Mapping[Measure, int], proof: Challenge | None, now: datetime
) -> Answer | None:
    """What a request lacks; None where it gets through."""
    if asking.by_program:
        return None if proof and proof.is_solved else Answer(outcome=Outcome.UNPROVEN)
    if proof is None and _pressed(app, before):
        return Answer(outcome=Outcome.PRESSED)
    if proof and not proof.is_solved and now < proof.at + WAITED:
        return Answer(outcome=Outcome.WAIT, again=proof.at + WAITED)
    made = _made(app, asking.stamp, now)
    if made is None:
        return Answer(outcome=Outcome.UNPROVEN)
    return Answer(outcome=Outcome.TOO_SOON, again=made + SOONEST) if now < made + SOONEST else None


def _made(app: App, stamp: str, now: datetime) -> datetime | None:
    """When the form was made; None where the stamp is not ours, or not good any more."""
    try:
        return datetime.fromtimestamp(app.tokens.read(Purpose.FORM, stamp, now=now), UTC)
    except (TokenError, OverflowError, OSError, ValueError):
        return None


def _request(session: Session, app: App, asking: Asking, now: datetime) -> None:
    requested = optin.request(
        session,
        edition=asking.edition,
        address=asking.address,
        address_hash=address.hash(asking.address, _key(app)),
        language=asking.language,
        wording=asking.wording,
        source=asking.source,
        network=asking.network,
        window=timedelta(minutes=app.settings.confirmation_window_minutes),
        now=now,
    )
    automatic.queue(session, requested.owed, now)


def _key(app: App) -> str:
    return app.settings.address_key.get_secret_value()
