"""The receiver, spoken to over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiosmtplib
import pytest

from mailer.delivery.states import DeliveryStatus
from mailer.errors import MailerError
from mailer.inbound import receiver as rules
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
async def test_a_bare_cr_or_lf_is_refused(inbound: Inbound, receiver: Receiver, smuggled: bytes) -> None:
    async with speaking(receiver) as speaker:
        for words in ("MAIL FROM:<>", f"RCPT TO:<one@{DOMAIN}>", "DATA"):
            await speaker.say(words)
        assert (await speaker.say(smuggled + b".\r\n")).startswith("554 5.6.0")
        assert (await speaker.say("NOOP")).startswith("250")
    assert inbound.arrivals == []


async def test_dots_come_out_as_they_went_in(inbound: Inbound, receiver: Receiver) -> None:
    octets = letter(".\n..\n.a\n" + "x" * 5000 + "\n", sender=READER, subject="Hello")
    async with speaking(receiver) as speaker:
        assert await speaker.hand_in(octets, f"editors@{DOMAIN}", READER) == "250 2.0.0 quarantined"
    (arrival,) = inbound.arrivals
    assert arrival.id is not None
    assert inbound.kept(arrival.id).replace(b"\r\n", b"\n").rstrip() == octets.rstrip()


async def test_what_is_too_large_is_refused_and_read_to_its_end(
    inbound: Inbound, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "SIZE", 100_000)
    async with speaking(receiver) as speaker:
        octets = letter("0123456789\n" * 20_000, sender=READER)
        assert (await speaker.hand_in(octets, f"a@{DOMAIN}")).startswith("552 5.3.4")
        line = letter("x" * 70_000, sender=READER)
        assert (await speaker.hand_in(line, f"a@{DOMAIN}")).startswith("554 5.6.0 A line is too long")
        assert await speaker.hand_in(letter("Hello", sender=READER), f"a@{DOMAIN}", READER) == "250 2.0.0 quarantined"
    assert len(inbound.arrivals) == 1


async def test_what_announces_that_it_is_too_large_is_not_read(receiver: Receiver) -> None:
    async with speaking(receiver) as speaker:
        assert (await speaker.say("MAIL FROM:<> SIZE=52428800")).startswith("552")


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


async def test_a_reader_whose_site_is_blocked_leaves_by_mail(
    inbound: Inbound, subscribe: Subscribe, receiver: Receiver
) -> None:
    (reader,) = subscribe(READER)
    async with speaking(receiver) as speaker:
        answer = await speaker.hand_in(letter("", sender=READER, subject=""), inbound.leave_address(reader), READER)
    assert answer == "250 2.0.0 left"
    assert inbound.reader(reader).status is SubscriptionStatus.UNSUBSCRIBED
