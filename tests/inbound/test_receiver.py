"""The receiver, spoken to over a real connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib
import pytest

from mailer.delivery.states import DeliveryStatus
from mailer.errors import MailerError
from mailer.inbound import receiver as rules
from mailer.inbound.incoming import Effect
from mailer.inbound.receiver import Receiver
from mailer.subscribers.states import SubscriptionStatus
from tests.delivery.readers import Subscribe
from tests.inbound.conftest import DOMAIN, Inbound, Sent
from tests.inbound.letters import READER, failed, letter, report

UNKNOWN = report(failed("550 5.1.1 no mailbox here", status="5.1.1"))


@pytest.fixture
async def receiver(inbound: Inbound) -> AsyncIterator[Receiver]:
    receiver = Receiver("127.0.0.1:0", inbound.effects, DOMAIN, queued=lambda: None)
    await receiver.start()
    yield receiver
    await receiver.stop()


class Speaker:
    """Says lines, hears answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def hear(self) -> str:
        """A whole answer: its last line."""
        async with asyncio.timeout(20):
            while True:
                line = (await self._reader.readline()).decode()
                if line[3:4] != "-":
                    return line.rstrip()

    async def say(self, words: str | bytes) -> str:
        self._writer.write(words if isinstance(words, bytes) else f"{words}\r\n".encode())
        await self._writer.drain()
        return await self.hear()

    async def write(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def hand_in(self, octets: bytes, to: str, sender: str = "") -> str:
        """What is answered after the dot."""
        assert (await self.say(f"MAIL FROM:<{sender}>")).startswith("250")
        assert (await self.say(f"RCPT TO:<{to}>")).startswith("250")
        assert (await self.say("DATA")).startswith("354")
        stuffed = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
        return await self.say(stuffed + b"\r\n.\r\n")


@asynccontextmanager
async def speaking(receiver: Receiver, hello: str = "LHLO relay.example") -> AsyncIterator[Speaker]:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    speaker = Speaker(reader, writer)
    await speaker.hear()
    if hello:
        assert (await speaker.say(hello)).startswith("250")
    yield speaker
    writer.close()


async def test_a_report_that_is_handed_in_by_smtp_has_its_effect(
    inbound: Inbound, sent: Sent, receiver: Receiver
) -> None:
    (delivery_id,) = sent(READER)
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=receiver.port, start_tls=False) as client:
        _, words = await client.sendmail("", [inbound.bounce_address(delivery_id)], UNKNOWN)
    assert words == "2.0.0 suppressed"
    assert inbound.delivery(delivery_id).status is DeliveryStatus.BOUNCED


@pytest.mark.parametrize("hello", ["LHLO relay.example", "EHLO relay.example", "HELO relay.example"])
async def test_lmtp_and_smtp_are_spoken_on_one_port(
    inbound: Inbound, sent: Sent, receiver: Receiver, hello: str
) -> None:
    (delivery_id,) = sent(READER)
    async with speaking(receiver, hello) as speaker:
        assert await speaker.hand_in(UNKNOWN, inbound.bounce_address(delivery_id)) == "250 2.0.0 suppressed"
        assert await speaker.hand_in(UNKNOWN, inbound.bounce_address(delivery_id)) == "250 2.0.0 nothing"


async def test_one_recipient_a_transaction(receiver: Receiver) -> None:
    async with speaking(receiver) as speaker:
        await speaker.say("MAIL FROM:<>")
        assert (await speaker.say(f"RCPT TO:<one@{DOMAIN}>")).startswith("250")
        assert (await speaker.say(f"RCPT TO:<two@{DOMAIN}>")).startswith("452 4.5.3")


@pytest.mark.parametrize("to", ["one@elsewhere.example", f"one@sub.{DOMAIN}", f"one@{DOMAIN}.example"])
async def test_nothing_is_relayed(receiver: Receiver, to: str) -> None:
    async with speaking(receiver) as speaker:
        await speaker.say("MAIL FROM:<>")
        assert (await speaker.say(f"RCPT TO:<{to}>")).startswith("550 5.7.1")


@pytest.mark.parametrize(
    "smuggled",
    [
        b"Subject: a\r\n\r\none\n.\r\nMAIL FROM:<>\r\n",
        b"Subject: a\r\n\r\none\r.\r\nMAIL FROM:<>\r\n",
        b"Subject: a\n\none\r\n",
        b"Subject: a\r\n\r\none\r\r\n",
    ],
)
async def test_a_bare_cr_or_lf_ends_nothing_and_the_mail_waits_for_a_person(
    inbound: Inbound, receiver: Receiver, smuggled: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with speaking(receiver) as speaker:
        for words in ("MAIL FROM:<>", f"RCPT TO:<one@{DOMAIN}>", "DATA"):
            await speaker.say(words)
        assert await speaker.say(smuggled + b".\r\n") == "250 2.0.0 quarantined"
        assert (await speaker.say("RSET")).startswith("250")
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert arrival.reason == "its lines do not all end in CRLF"
    assert inbound.kept(arrival.id) == smuggled
    assert "its lines do not all end in CRLF" in caplog.text
    assert inbound.effects.retry(arrival.id).effect is Effect.QUARANTINED
    assert [each.reason for each in inbound.arrivals] == ["its lines do not all end in CRLF"]


async def test_a_report_with_a_bare_lf_is_not_lost_and_does_nothing(
    inbound: Inbound, sent: Sent, receiver: Receiver
) -> None:
    (delivery_id,) = sent(READER)
    async with speaking(receiver) as speaker:
        for words in ("MAIL FROM:<>", f"RCPT TO:<{inbound.bounce_address(delivery_id)}>", "DATA"):
            await speaker.say(words)
        assert await speaker.say(UNKNOWN + b"\r\n.\r\n") == "250 2.0.0 quarantined"
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert inbound.effects.retry(arrival.id).effect is Effect.QUARANTINED, "a retry does not forget why"
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED


async def test_dots_come_out_as_they_went_in(inbound: Inbound, receiver: Receiver) -> None:
    octets = letter(".\n..\n.a\n" + "x" * 5000 + "\n", sender=READER, subject="Hello")
    async with speaking(receiver) as speaker:
        assert await speaker.hand_in(octets, f"editors@{DOMAIN}", READER) == "250 2.0.0 quarantined"
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert inbound.kept(arrival.id).replace(b"\r\n", b"\n").rstrip() == octets.rstrip()


async def test_the_beginning_of_what_is_too_large_is_kept(
    inbound: Inbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SIZE", 100_000)
    octets = letter("0123456789\n" * 20_000, sender=READER).replace(b"\n", b"\r\n")
    async with speaking(receiver) as speaker:
        assert await speaker.hand_in(octets, f"a@{DOMAIN}") == "250 2.0.0 quarantined"
        assert await speaker.hand_in(letter("Hello", sender=READER), f"a@{DOMAIN}", READER) == "250 2.0.0 quarantined"
    large, _ = inbound.arrivals
    assert large.id is not None
    assert large.reason == "it is too large; its beginning was kept"
    assert inbound.kept(large.id) == octets[:100_000]


async def test_a_line_that_is_too_long_keeps_its_dots(inbound: Inbound, receiver: Receiver) -> None:
    octets = letter("." * 300_000, sender=READER).replace(b"\n", b"\r\n")
    async with speaking(receiver) as speaker:
        assert await speaker.hand_in(octets, f"a@{DOMAIN}") == "250 2.0.0 quarantined"
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert inbound.kept(arrival.id) == octets + b"\r\n"


async def test_what_never_ends_is_cut_off(
    inbound: Inbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SIZE", 10_000)
    monkeypatch.setattr(rules, "READ", 100_000)
    heard = "nothing"
    async with speaking(receiver) as speaker:
        with contextlib.suppress(ConnectionError):  # hung up on while it speaks, it may not even hear why
            assert (await speaker.hand_in(b"0123456789\n" * 20_000, f"a@{DOMAIN}")).startswith("552 5.3.4")
            heard = await speaker.hear()
    assert heard in ("nothing", "")
    assert inbound.arrivals == []


async def test_all_connections_together_hold_so_much(
    inbound: Inbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "TOGETHER", 100_000)
    octets = letter("0123456789\r\n" * 5_000, sender=READER)
    async with speaking(receiver) as first, speaking(receiver) as second:
        for words in ("MAIL FROM:<>", f"RCPT TO:<a@{DOMAIN}>", "DATA"):
            await first.say(words)
        await first.write(octets + b"\r\n")
        for _ in range(100):  # until the first is read
            if receiver.held >= 60_000:
                break
            await asyncio.sleep(0.01)
        assert (await second.hand_in(octets, f"b@{DOMAIN}")).startswith("452 4.3.1")
        assert await first.say(b".\r\n") == "250 2.0.0 quarantined"
        assert await second.hand_in(octets, f"b@{DOMAIN}") == "250 2.0.0 quarantined"
    assert receiver.held == 0


async def test_a_mail_that_announces_that_it_is_too_large_is_taken_up_to_what_is_read(receiver: Receiver) -> None:
    async with speaking(receiver) as speaker:
        assert (await speaker.say("MAIL FROM:<> SIZE=52428800")).startswith("250")
        assert (await speaker.say("RSET")).startswith("250")
        assert (await speaker.say("MAIL FROM:<> SIZE=1048576000")).startswith("552")


async def test_a_report_that_outruns_the_answer_is_to_come_again(
    inbound: Inbound, receiver: Receiver, claimed: int
) -> None:
    async with speaking(receiver) as speaker:
        assert (await speaker.hand_in(UNKNOWN, inbound.bounce_address(claimed))).startswith("451 4.3.0")
    assert inbound.arrivals == []


@pytest.mark.sqlite
async def test_nothing_is_acknowledged_that_is_not_committed(inbound: Inbound, sent: Sent, receiver: Receiver) -> None:
    (delivery_id,) = sent(READER)
    with inbound.app.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE arrival RENAME TO gone")
        connection.commit()
    async with speaking(receiver) as speaker:
        assert (await speaker.hand_in(UNKNOWN, inbound.bounce_address(delivery_id))).startswith("451 4.3.0")
    assert inbound.delivery(delivery_id).status is DeliveryStatus.ACCEPTED
    with inbound.app.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO arrival")
        connection.commit()
    async with speaking(receiver) as speaker:
        assert await speaker.hand_in(UNKNOWN, inbound.bounce_address(delivery_id)) == "250 2.0.0 suppressed"


async def test_who_hangs_up_before_the_dot_has_handed_nothing_in(inbound: Inbound, receiver: Receiver) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
    speaker = Speaker(reader, writer)
    await speaker.hear()
    for words in ("LHLO a.example", "MAIL FROM:<>", f"RCPT TO:<one@{DOMAIN}>", "DATA"):
        await speaker.say(words)
    writer.write(b"Subject: half\r\n\r\nof it")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with speaking(receiver) as other:
        assert (await other.say("NOOP")).startswith("250")
    assert inbound.arrivals == []


async def test_one_connection_too_many_is_sent_away(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "CONNECTIONS", 1)
    async with speaking(receiver):
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        assert (await Speaker(reader, writer).hear()).startswith("421")
        writer.close()


async def test_a_taken_address_is_one_sentence(inbound: Inbound, receiver: Receiver) -> None:
    second = Receiver(f"127.0.0.1:{receiver.port}", inbound.effects, DOMAIN, queued=lambda: None)
    with pytest.raises(MailerError, match=r"MAILER_INBOUND_LISTEN: .* cannot be used"):
        await second.start()


@pytest.mark.parametrize("hello", ["LHLO relay.example", "HELO relay.example"])
async def test_the_null_sender_is_known_over_a_connection_too(
    inbound: Inbound, subscribe: Subscribe, receiver: Receiver, hello: str
) -> None:
    (reader,) = subscribe(READER)
    async with speaking(receiver, hello) as speaker:
        answer = await speaker.hand_in(letter("", sender=READER, subject=""), inbound.leave_address(reader))
    assert answer == "250 2.0.0 quarantined"
    assert inbound.arrivals[0].reason == "it asks to unsubscribe, but it has the null sender"


async def test_a_reader_whose_site_is_blocked_leaves_by_mail(
    inbound: Inbound, subscribe: Subscribe, receiver: Receiver
) -> None:
    (reader,) = subscribe(READER)
    async with speaking(receiver) as speaker:
        answer = await speaker.hand_in(letter("", sender=READER, subject=""), inbound.leave_address(reader), READER)
    assert answer == "250 2.0.0 left"
    assert inbound.reader(reader).status is SubscriptionStatus.UNSUBSCRIBED
