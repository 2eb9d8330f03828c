"""Every way a transaction can end is a reply with its stage, against a real server."""

import asyncio
import ssl
from pathlib import Path
from typing import cast

import pytest
from aiosmtpd.smtp import AuthResult

from mailer.delivery.reply import Meaning, Reply, Stage, meaning
from mailer.delivery.session import Envelope, Relay, RelayUnusable, Session
from mailer.settings import TlsPolicy
from tests.delivery.relay import ScriptedRelay

OCTETS = b"To: a@example.org\r\nSubject: S\r\n\r\nFirst line\r\nlast line\r\n"


def at(port: int, **changes: object) -> Relay:
    fields: dict[str, object] = {
        "name": "relay",
        "host": "127.0.0.1",
        "port": port,
        "tls": TlsPolicy.OFF,
        "timeout_seconds": 5,
    }
    return Relay(**(fields | changes))  # type: ignore[arg-type]


def envelope(recipient: str = "a@example.org") -> Envelope:
    return Envelope("bounce+x@bounces.example.org", recipient, [OCTETS])


async def ask(session: Session, mail: Envelope) -> Reply:
    """Sends one and waits for what came of it."""
    answered = asyncio.get_running_loop().create_future()
    session.submit([(mail, answered.set_result)])
    return cast(Reply, await answered)


async def test_what_is_accepted_arrived_byte_for_byte(scripted: ScriptedRelay) -> None:
    session = await Session.open(at(scripted.port))
    reply = await ask(session, envelope())
    assert (reply.stage, reply.code, reply.text) == (Stage.DOT, 250, "2.0.0 Taken")
    assert scripted.taken["a@example.org"] == [OCTETS]
    assert scripted.senders == ["bounce+x@bounces.example.org"]
    await session.close()


async def test_a_session_goes_on_after_a_refusal(scripted: ScriptedRelay) -> None:
    scripted.at_rcpt = lambda address: "550 5.1.1 User unknown" if address.startswith("gone") else None
    session = await Session.open(at(scripted.port))
    refused = await ask(session, envelope("gone@example.org"))
    accepted = await ask(session, envelope("a@example.org"))
    assert (refused.stage, refused.code, refused.enhanced) == (Stage.RCPT, 550, "5.1.1")
    assert accepted.code == 250
    assert scripted.connections == 1
    await session.close()


@pytest.mark.parametrize(
    ("where", "reply", "stage"),
    [("at_mail", "451 4.3.0 Later", Stage.MAIL), ("at_dot", "554 5.7.1 Spam", Stage.DOT)],
)
async def test_a_refusal_has_its_stage(scripted: ScriptedRelay, where: str, reply: str, stage: Stage) -> None:
    setattr(scripted, where, lambda _: reply)
    session = await Session.open(at(scripted.port))
    answer = await ask(session, envelope())
    assert (answer.stage, answer.code) == (stage, int(reply[:3]))
    await session.close()


async def test_a_421_closes_the_session(scripted: ScriptedRelay) -> None:
    scripted.at_rcpt = lambda _: "421 4.7.0 Go away"
    session = await Session.open(at(scripted.port))
    answer = await ask(session, envelope())
    assert answer.code == 421
    assert not session.usable


async def test_a_connection_lost_after_the_dot_is_silence_and_closes_the_session(scripted: ScriptedRelay) -> None:
    scripted.drops_after_dot.add("a@example.org")
    session = await Session.open(at(scripted.port))
    answer = await ask(session, envelope())
    assert meaning(answer) is Meaning.UNANSWERED
    assert not session.usable


async def test_a_server_that_is_gone_before_the_mail_began_has_not_got_it(scripted: ScriptedRelay) -> None:
    session = await Session.open(at(scripted.port))
    await scripted.stop()
    await asyncio.sleep(0)
    answer = await ask(session, envelope())
    assert answer.code is None
    assert meaning(answer) is Meaning.RELAY


async def test_nobody_there_is_said_so(scripted: ScriptedRelay) -> None:
    port = scripted.port
    await scripted.stop()
    with pytest.raises(RelayUnusable) as unusable:
        await Session.open(at(port))
    assert unusable.value.reply.stage is Stage.CONNECT


async def test_tls_is_not_given_up_for_a_relay_without_it(scripted: ScriptedRelay) -> None:
    with pytest.raises(RelayUnusable, match="STARTTLS"):
        await Session.open(at(scripted.port, tls=TlsPolicy.REQUIRED))
    assert not scripted.taken


async def test_required_encrypts_and_verified_wants_a_valid_certificate(
    scripted: ScriptedRelay, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    scripted.options = {"tls_context": context, "require_starttls": True}
    session = await Session.open(at(scripted.port, tls=TlsPolicy.REQUIRED))
    assert (await ask(session, envelope())).code == 250
    await session.close()
    with pytest.raises(RelayUnusable, match=r"(?i)certificate"):
        await Session.open(at(scripted.port, tls=TlsPolicy.VERIFIED))


async def test_a_wrong_password_is_a_matter_of_login(scripted: ScriptedRelay) -> None:
    scripted.options = {
        "authenticator": lambda *_: AuthResult(success=False, handled=False),
        "auth_require_tls": False,
        "auth_required": True,
    }
    with pytest.raises(RelayUnusable) as unusable:
        await Session.open(at(scripted.port, username="us", password="wrong"))
    assert meaning(unusable.value.reply) is Meaning.LOGIN


async def test_letters_beyond_ascii_need_smtputf8_and_are_refused_before_mail(scripted: ScriptedRelay) -> None:
    scripted.options = {"enable_SMTPUTF8": False}
    session = await Session.open(at(scripted.port))
    answer = await ask(session, envelope("аня@example.org"))
    assert meaning(answer) is Meaning.MESSAGE
    assert scripted.senders == []
    assert (await ask(session, envelope())).code == 250
    await session.close()


async def test_letters_beyond_ascii_go_where_smtputf8_is_offered(scripted: ScriptedRelay) -> None:
    session = await Session.open(at(scripted.port))
    assert (await ask(session, envelope("аня@example.org"))).code == 250
    assert "аня@example.org" in scripted.taken
    await session.close()
