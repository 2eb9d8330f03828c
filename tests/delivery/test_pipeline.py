"""Whatever a relay says, and in whatever pieces, each mail meets its own verdict, once."""

import asyncio
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.delivery import pipeline
from mailer.delivery.pipeline import Envelope
from mailer.delivery.reply import Meaning, Reply, Stage, meaning
from mailer.delivery.session import Relay, Session
from mailer.settings import Pipelining, TlsPolicy
from tests.delivery.literal import CLOSE, HANG, LiteralRelay

WINDOW = 8
MODES = list(Pipelining)
every_mode = pytest.mark.parametrize("mode", MODES)


def octets_for(recipient: str) -> bytes:
    return f"To: {recipient}\r\nSubject: S\r\n\r\nFirst line\r\nlast line\r\n".encode()


class Verdicts(dict[str, list[Reply]]):
    """Recipient -> every reply its mail was settled with."""

    def note(self, recipient: str, reply: Reply) -> None:
        self.setdefault(recipient, []).append(reply)

    def of(self, recipient: str) -> Reply:
        (reply,) = self[recipient]
        return reply


async def send_all(relay: LiteralRelay, mode: Pipelining, recipients: list[str], *, seconds: float = 5) -> Verdicts:
    """Through one connection, as far as it goes; a sender would open another."""
    verdicts, moved = Verdicts(), asyncio.Event()
    session = await Session.open(
        Relay(
            name="relay",
            host="127.0.0.1",
            port=relay.port,
            tls=TlsPolicy.OFF,
            timeout_seconds=seconds,
            pipelining=mode,
            window=WINDOW,
        ),
        moved.set,
    )
    waiting = list(recipients)
    async with asyncio.timeout(20):
        while sum(map(len, verdicts.values())) < len(recipients):
            moved.clear()
            portion = [waiting.pop(0) for _ in range(min(session.free, len(waiting)))]
            if not portion and not session.usable:
                portion = [waiting.pop(0) for _ in range(len(waiting))]
            session.submit([(mail_to(each), partial(verdicts.note, each)) for each in portion])
            assert session.busy <= WINDOW
            if sum(map(len, verdicts.values())) < len(recipients) and session.busy:
                await moved.wait()
    await session.close()
    return verdicts


def mail_to(recipient: str) -> Envelope:
    return Envelope("bounce+x@bounces.example.org", recipient, [octets_for(recipient)[:9], octets_for(recipient)[9:]])


def readers(number: int) -> list[str]:
    return [f"r{each}@example.org" for each in range(number)]


@every_mode
async def test_what_is_accepted_arrived_byte_for_byte_and_once(mode: Pipelining) -> None:
    async with LiteralRelay() as relay:
        verdicts = await send_all(relay, mode, readers(50))
    assert relay.taken == [(each, octets_for(each)) for each in readers(50)]
    assert {verdicts.of(each)[:2] for each in readers(50)} == {(Stage.DOT, 250)}
    assert relay.connections == 1


@pytest.mark.parametrize(
    ("offers", "mode", "verbs"),
    [
        (["PIPELINING", "CHUNKING"], Pipelining.CHUNKING, {"BDAT"}),
        (["PIPELINING"], Pipelining.CHUNKING, {"DATA", "DOT"}),
        (["CHUNKING"], Pipelining.CHUNKING, {"DATA", "DOT"}),  # BDAT without pipelining would only add words
        (["PIPELINING", "CHUNKING"], Pipelining.PIPELINING, {"DATA", "DOT"}),
        (["PIPELINING", "CHUNKING"], Pipelining.OFF, {"DATA", "DOT"}),
    ],
)
async def test_no_more_is_used_than_is_offered_and_allowed(
    offers: list[str], mode: Pipelining, verbs: set[str]
) -> None:
    async with LiteralRelay(offers=offers) as relay:
        await send_all(relay, mode, readers(5))
    assert {verb for verb, _ in relay.words} & {"BDAT", "DATA", "DOT"} == verbs
    assert len(relay.taken) == 5


async def test_without_pipelining_every_word_waits_for_its_answer() -> None:
    async with LiteralRelay(offers=[]) as relay:
        said = list[str]()

        def note(verb: str, _: str) -> None:
            said.append(verb)

        relay.says = note
        await send_all(relay, Pipelining.CHUNKING, readers(2))
    assert said == ["EHLO", "MAIL", "RCPT", "DATA", "DOT", "MAIL", "RCPT", "DATA", "DOT", "QUIT"]


REFUSALS = {
    "MAIL": b"451 4.3.0 Later\r\n",
    "RCPT": b"550-5.1.1 User\r\n550 5.1.1 unknown\r\n",
    "DATA": b"451 4.3.1 Not now\r\n",
    "DOT": b"554 5.7.1 Spam\r\n",
    "BDAT": b"554 5.7.1 Spam\r\n",
}
STAGES = {"MAIL": Stage.MAIL, "RCPT": Stage.RCPT, "DATA": Stage.DATA, "DOT": Stage.DOT, "BDAT": Stage.DOT}


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(MODES),
    fates=st.lists(st.sampled_from([None, None, "RCPT", "DATA", "DOT", "BDAT"]), min_size=1, max_size=30),
    seed=st.integers(0, 2**32),
)
def test_refusals_meet_the_mail_they_are_about(mode: Pipelining, fates: list[str | None], seed: int) -> None:
    """In every mode, at every word, with the answers cut into pieces at any place."""
    fate_of = dict(zip(readers(len(fates)), fates, strict=True))
    chance = random.Random(seed)

    def says(verb: str, recipient: str) -> bytes | None:
        return REFUSALS[verb] if fate_of.get(recipient) == verb else None

    async def run() -> tuple[LiteralRelay, Verdicts]:
        async with LiteralRelay() as relay:
            relay.says, relay.cuts = says, partial(pieces, chance)
            return relay, await send_all(relay, mode, list(fate_of))

    relay, verdicts = asyncio.run(run())
    words = {"MAIL", "RCPT", "BDAT"} if mode is Pipelining.CHUNKING else {"MAIL", "RCPT", "DATA", "DOT"}
    for recipient, fate in fate_of.items():
        reply = verdicts.of(recipient)
        if fate in words:
            assert reply[:2] == (STAGES[fate], int(REFUSALS[fate][:3]))
        else:
            assert reply[:2] == (Stage.DOT, 250)
    assert relay.taken == [(each, octets_for(each)) for each, fate in fate_of.items() if fate not in words]
    assert relay.connections == 1


def pieces(chance: random.Random, octets: bytes) -> list[bytes]:
    places = sorted(chance.randrange(len(octets) + 1) for _ in range(chance.randrange(4)))
    return [octets[start:end] for start, end in zip([0, *places], [*places, len(octets)], strict=True) if end > start]


@every_mode
async def test_a_refused_mail_command_is_the_next_ones_clean_ground(mode: Pipelining) -> None:
    async with LiteralRelay() as relay:
        refusals = iter([b"451 4.3.0 Later\r\n"])
        relay.says = lambda verb, _: next(refusals, None) if verb == "MAIL" else None
        verdicts = await send_all(relay, mode, readers(5))
    first, *others = (verdicts.of(each)[:2] for each in readers(5))
    assert first == (Stage.MAIL, 451)
    assert others == [(Stage.DOT, 250)] * 4


LIES = {
    "too many replies": b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n" * 20,
    "a line without an end": b"250 " + b"a" * 1_000_000,
    "a reply without an end": b"250-a\r\n" * 50_000,
    "binary": bytes(range(256)) * 8,
    "no code": b"Hello there\r\n",
    "two codes in one reply": b"250-2.1.0\r\n550 5.1.1\r\n",
    "354 where none was asked": b"354 Go on\r\n",
    "221": b"221 2.0.0 Bye\r\n",
    "silence and the end": CLOSE,
}


TRUE = ("DATA", "354 where none was asked")


@every_mode
@pytest.mark.parametrize(
    ("verb", "lie"),
    [(verb, lie) for verb in ("MAIL", "RCPT", "DATA", "DOT", "BDAT") for lie in LIES if (verb, lie) != TRUE],
)
async def test_a_lying_relay_ends_the_session_and_no_verdict_is_false(mode: Pipelining, verb: str, lie: str) -> None:
    """What is said to be taken was taken, what is said not to be was not; the rest is not known."""
    told = 0

    def says(said: str, _: str) -> bytes | None:
        nonlocal told
        told += said == verb
        return LIES[lie] if said == verb and told == 4 else None

    async with LiteralRelay() as relay:
        relay.says = says
        verdicts = await send_all(relay, mode, readers(20))
    taken = {recipient for recipient, _ in relay.taken}
    was_told = told >= 4
    for recipient in readers(20):
        reply = verdicts.of(recipient)
        match meaning(reply):
            case Meaning.ACCEPTED:
                assert recipient in taken
            case Meaning.UNANSWERED:
                assert was_told
            case _:
                assert recipient not in taken, reply
    answered = [each for each in readers(20) if meaning(verdicts.of(each)) is Meaning.ACCEPTED]
    assert len(answered) == 20 if not was_told else len(answered) < 20
    uncertain = [each for each in readers(20) if meaning(verdicts.of(each)) is Meaning.UNANSWERED]
    assert len(uncertain) <= (WINDOW if mode is Pipelining.CHUNKING else 1)


@every_mode
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT", "BDAT"])
async def test_after_421_nothing_is_uncertain(mode: Pipelining, verb: str) -> None:
    """RFC 5321 §3.8: the server closes and has taken nothing more."""
    told = 0

    def says(said: str, _: str) -> bytes | None:
        nonlocal told
        told += said == verb
        return b"421 4.7.0 Too many messages\r\n" if said == verb and told == 4 else None

    async with LiteralRelay() as relay:
        relay.says = says
        verdicts = await send_all(relay, mode, readers(20))
    taken = {recipient for recipient, _ in relay.taken}
    for recipient in readers(20):
        assert (meaning(verdicts.of(recipient)) is Meaning.ACCEPTED) == (recipient in taken)
        assert meaning(verdicts.of(recipient)) is not Meaning.UNANSWERED
    if told >= 4:
        assert [reply[0] for each in readers(20) if (reply := verdicts.of(each)).code == 421] == [STAGES[verb]]


@every_mode
async def test_a_relay_that_hangs_after_the_dot_is_waited_for_and_then_not_known(
    mode: Pipelining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_DOT_SECONDS", 0.1)
    async with LiteralRelay() as relay:
        relay.says = lambda verb, recipient: HANG if verb in ("DOT", "BDAT") and recipient[:2] == "r2" else None
        verdicts = await send_all(relay, mode, readers(3), seconds=0.1)
    assert [verdicts.of(each).code for each in readers(2)] == [250, 250]
    assert verdicts.of("r2@example.org") == Reply(Stage.DOT, None, "timed out")


@every_mode
async def test_a_relay_that_hangs_before_has_got_nothing(mode: Pipelining) -> None:
    async with LiteralRelay(offers=["PIPELINING"]) as relay:
        relay.says = lambda verb, recipient: HANG if verb == "RCPT" and recipient[:2] == "r1" else None
        verdicts = await send_all(relay, mode, readers(3), seconds=0.1)
    assert verdicts.of("r0@example.org").code == 250
    assert {meaning(verdicts.of(each)) for each in readers(3)[1:]} == {Meaning.RELAY}


@every_mode
async def test_what_was_taken_and_dropped_is_not_known(mode: Pipelining) -> None:
    async with LiteralRelay() as relay:
        relay.says = lambda verb, recipient: CLOSE if verb in ("DOT", "BDAT") and recipient[:2] == "r3" else None
        verdicts = await send_all(relay, mode, readers(6))
    assert [verdicts.of(each).code for each in readers(3)] == [250, 250, 250]
    assert meaning(verdicts.of("r3@example.org")) is Meaning.UNANSWERED


async def test_a_dot_where_there_is_no_recipient_ends_what_should_not_have_begun() -> None:
    """RFC 2920 §3.1: a server may say 354 although it refused every recipient."""
    async with LiteralRelay(offers=["PIPELINING"]) as relay:
        gone = "r1@example.org"
        answers = {("RCPT", gone): b"550 5.1.1 Gone\r\n", ("DATA", gone): b"354 Go on\r\n"}
        relay.says = lambda verb, recipient: answers.get((verb, recipient))
        verdicts = await send_all(relay, Pipelining.PIPELINING, readers(4))
    assert verdicts.of(gone)[:2] == (Stage.RCPT, 550)
    assert [recipient for recipient, _ in relay.taken] == [each for each in readers(4) if each != gone]


@every_mode
async def test_answers_out_of_step_are_noticed_by_what_they_speak_of(mode: Pipelining) -> None:
    """One answer too many shifts all that follow; the status codes of addresses give it away at the content."""
    early = iter([b"250 2.1.0 Ok\r\n250 2.1.0 Ok\r\n"])
    async with LiteralRelay() as relay:
        relay.says = lambda verb, recipient: next(early, None) if verb == "MAIL" and relay.taken else None
        verdicts = await send_all(relay, mode, readers(20))
    taken = {recipient for recipient, _ in relay.taken}
    accepted = {each for each in readers(20) if meaning(verdicts.of(each)) is Meaning.ACCEPTED}
    assert accepted <= taken
    assert len(accepted) < 20
