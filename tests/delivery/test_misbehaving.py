"""Whatever a relay does, at the end every reader has the issue, and every copy beyond the first is in the log."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import pipeline
from mailer.delivery.relays import Ways
from mailer.delivery.states import AttemptOutcome, DeliveryStatus
from mailer.settings import Pipelining
from mailer.tables import Attempt
from tests.conftest import HandedClock
from tests.delivery.literal import CLOSE, HANG, TAKEN_WITHOUT_A_WORD, LiteralRelay
from tests.delivery.readers import Subscribe
from tests.delivery.test_sender import GoingOut, count, relay_at, sending, until

READERS, CONNECTIONS, WINDOW = 120, 4, 8
Says = Callable[[str, str], bytes | None]
CONTENT = ("BDAT", "DOT")


def dies(chance: random.Random) -> Says:
    """In the middle of anything."""
    return lambda verb, recipient: CLOSE if chance.random() < 0.01 else None


def says_421(chance: random.Random) -> Says:
    return lambda verb, _: b"421 4.3.2 Shutting down\r\n" if verb != "EHLO" and chance.random() < 0.01 else None


def hangs_after_the_dot(chance: random.Random) -> Says:
    return lambda verb, _: HANG if verb in CONTENT and chance.random() < 0.02 else None


def accepts_and_drops(chance: random.Random) -> Says:
    """Takes the mail and closes without a word."""
    return lambda verb, _: TAKEN_WITHOUT_A_WORD if verb in CONTENT and chance.random() < 0.03 else None


def refuses_one_in_five(chance: random.Random) -> Says:
    return lambda verb, _: b"451 4.3.0 Later\r\n" if verb in ("RCPT", *CONTENT) and chance.random() < 0.2 else None


def answers_out_of_step(chance: random.Random) -> Says:
    return lambda verb, _: b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n" if verb == "MAIL" and chance.random() < 0.01 else None


@pytest.mark.parametrize("mode", list(Pipelining))
@pytest.mark.parametrize(
    "misbehaviour",
    [dies, says_421, hangs_after_the_dot, accepts_and_drops, refuses_one_in_five, answers_out_of_step],
)
async def test_everybody_gets_it_and_no_copy_is_unexplained(
    app: App,
    subscribe: Subscribe,
    going_out: GoingOut,
    clock: HandedClock,
    monkeypatch: pytest.MonkeyPatch,
    misbehaviour: Callable[[random.Random], Says],
    mode: Pipelining,
) -> None:
    monkeypatch.setattr(pipeline, "_DOT_SECONDS", 0.2)
    readers = [f"r{number}@d{number % 7}.example" for number in range(READERS)]
    subscribe(*readers)
    going_out()
    async with LiteralRelay() as relay:
        relay.says = misbehaviour(random.Random(7))
        changes = {"connections": CONNECTIONS, "window": WINDOW, "pipelining": mode, "timeout_seconds": 0.5}
        async with sending(app, Ways((relay_at(relay.port, **changes),))):
            done = 0

            def moves_on() -> bool:
                nonlocal done
                clock.pass_(minutes=2)
                done = count(app, DeliveryStatus.ACCEPTED) + held(app)
                return done == READERS

            await until(moves_on, 60)
    copies = Counter(recipient for recipient, _ in relay.taken)
    with app.database.read() as session:
        uncertain = len(session.exec(select(Attempt).where(Attempt.outcome == AttemptOutcome.UNCERTAIN)).all())
        false = session.exec(
            select(Attempt).where(Attempt.outcome == AttemptOutcome.ACCEPTED, col(Attempt.code) != 250)
        ).all()
    assert len(set(readers) - set(copies)) <= held(app)
    assert sum(copies.values()) - READERS <= uncertain
    assert not false
    if misbehaviour in (says_421, refuses_one_in_five, answers_out_of_step) and mode is not Pipelining.CHUNKING:
        assert uncertain == 0


def held(app: App) -> int:
    """Those whose fate was not known three times: the operator decides about them."""
    return count(app, DeliveryStatus.UNCERTAIN)
