"""The decoded mail is exactly the intended text, for every edition and every token."""

import email
import email.policy
import json
import re
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.rendering.body import Body, Inline
from mailer.rendering.message import Head, Message, MessageError, Slot, compose, date, marker
from mailer.tokens import ALPHABET, WIDTH

tokens = st.text(ALPHABET, min_size=WIDTH, max_size=WIDTH)
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=300)
slots_of_the_body = st.sampled_from([Slot.CONFIRM, Slot.UNSUBSCRIBE, Slot.MESSAGE_ID])
contents = st.lists(st.one_of(texts, slots_of_the_body), max_size=8)
printable = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=120).filter(
    lambda text: "=?" not in text
)


def head(**changes: object) -> Head:
    fields: dict[str, object] = {
        "sender_name": "Ситуация в Беларуси",
        "sender_address": "editors@example.org",
        "message_domain": "bounces.example.org",
        "languages": ["be", "ru"],
        "list_id": "belarus.news.example.org",
        "list_name": "Situation in Belarus",
        "owner_address": "editors@example.org",
        "archive_url": "https://news.example.org/belarus/ru/issues",
        "unsubscribe_url": f"https://news.example.org/u/{marker(Slot.UNSUBSCRIBE)}",
        "unsubscribe_address": f"leave+{marker(Slot.UNSUBSCRIBE)}@bounces.example.org",
        "feedback_id": "2017-04-03:be-ru:belarus:mailer",
    }
    return Head(**(fields | changes))  # type: ignore[arg-type]


def values(unsubscribe: str = "a" * WIDTH, confirm: str = "c" * WIDTH) -> dict[Slot, str]:
    return {
        Slot.TO: "reader@example.net",
        Slot.DATE: date(datetime(2017, 4, 10, 9, tzinfo=UTC)),
        Slot.MESSAGE_ID: "b" * WIDTH,
        Slot.CONFIRM: confirm,
        Slot.UNSUBSCRIBE: unsubscribe,
        Slot.PREFERENCES: "d" * WIDTH,
    }


def read(octets: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert [defect for part in parsed.walk() for defect in part.defects] == []
    return parsed


def text_of(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def with_markers(content: list[str | Slot]) -> str:
    return "".join(marker(part) if isinstance(part, Slot) else part for part in content)


def intended(content: list[str | Slot], given: dict[Slot, str]) -> str:
    text = "".join(given[part] if isinstance(part, Slot) else part for part in content)
    return re.sub(r"\r\n|\r|\n", "\r\n", text)


@given(html=contents, text=contents, unsubscribe=tokens, confirm=tokens, pictures=st.booleans())
def test_the_decoded_mail_is_the_intended_text(
    html: list[str | Slot], text: list[str | Slot], unsubscribe: str, confirm: str, pictures: bool
) -> None:
    inlines = (Inline(cid="p1@mailer", media_type="image/png", content=b"\x89PNG\r\n.\r\n", filename="ф.png"),)
    body = Body(subject="S", html=with_markers(html), text=with_markers(text), inlines=inlines if pictures else ())
    given = values(unsubscribe, confirm)
    octets = compose(body, head()).splice(given)
    parsed = read(octets)
    assert text_of(parsed, "html") == intended(html, given)
    assert text_of(parsed, "plain") == intended(text, given)


@given(html=contents, text=contents)
def test_the_bytes_can_go_on_the_wire_as_they_are(html: list[str | Slot], text: list[str | Slot]) -> None:
    octets = compose(Body(subject="S", html=with_markers(html), text=with_markers(text)), head()).splice(values())
    lines = octets.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines)
    assert not any(line.startswith((b".", b"From ")) for line in lines)
    assert max(map(len, lines)) <= 998
    assert octets.isascii()


@given(html=contents, text=contents)
def test_no_slot_survives_splicing(html: list[str | Slot], text: list[str | Slot]) -> None:
    octets = compose(Body(subject="S", html=with_markers(html), text=with_markers(text)), head()).splice(values())
    parsed = read(octets)
    seen = octets.decode() + text_of(parsed, "html") + text_of(parsed, "plain")
    assert not any(marker(slot) in seen for slot in Slot)


@given(html=contents)
def test_a_kept_message_splices_the_same(html: list[str | Slot]) -> None:
    message = compose(Body(subject="S", html=with_markers(html), text="T"), head())
    assert Message.load(message.dump()).splice(values()) == message.splice(values())


@given(subject=printable, sender=printable, listed=printable)
def test_headers_survive_hostile_names_and_subjects(subject: str, sender: str, listed: str) -> None:
    body = Body(subject=subject, html="H", text="T")
    try:
        octets = compose(body, head(sender_name=sender, list_name=listed)).splice(values())
    except MessageError:
        return
    parsed = read(octets)
    assert parsed["Subject"].split() == subject.split()
    assert [address.addr_spec for address in parsed["From"].addresses] == ["editors@example.org"]
    assert {name for name in parsed if parsed.get_all(name, [])[1:]} == set()
    assert "Bcc" not in parsed
    assert text_of(parsed, "html") == "H"


@pytest.mark.parametrize(
    "name", ["=?utf-8?q?Bob=0d=0aBcc=3a_x=40example.org?=", "a\r\nBcc: x@example.org", "a\0b", "a\x85b"]
)
def test_encoded_words_and_control_characters_are_refused_in_names(name: str) -> None:
    with pytest.raises(MessageError, match="From"):
        compose(Body(subject="S", html="", text=""), head(sender_name=name))
    with pytest.raises(MessageError, match="Subject"):
        compose(Body(subject=name, html="", text=""), head())


@pytest.mark.parametrize("value", ["short", "A" * WIDTH, "a" * (WIDTH + 1), "g" * WIDTH, "a" * (WIDTH - 1) + "\n"])
def test_a_value_that_is_no_token_is_refused(value: str) -> None:
    message = compose(Body(subject="S", html=marker(Slot.UNSUBSCRIBE), text=""), head())
    with pytest.raises(MessageError, match="unsubscribe"):
        message.splice(values(unsubscribe=value))


def test_an_address_with_a_line_break_is_refused() -> None:
    message = compose(Body(subject="S", html="", text=""), head())
    with pytest.raises(MessageError, match="to:"):
        message.splice(values() | {Slot.TO: "a@example.org\r\nBcc: b@example.org"})


def test_a_missing_value_is_refused() -> None:
    message = compose(Body(subject="S", html=marker(Slot.CONFIRM), text=""), head())
    with pytest.raises(MessageError, match="confirm has no value"):
        message.splice({slot: value for slot, value in values().items() if slot is not Slot.CONFIRM})


def test_the_headers_are_those_a_newsletter_must_have() -> None:
    parsed = read(compose(Body(subject="Ситуация", html="H", text="T"), head()).splice(values()))
    assert parsed["List-Id"] == '"Situation in Belarus" <belarus.news.example.org>'
    assert parsed["List-Unsubscribe"].split() == [
        f"<https://news.example.org/u/{'a' * WIDTH}>,",
        f"<mailto:leave+{'a' * WIDTH}@bounces.example.org>",
    ]
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed["Message-ID"] == f"<{'b' * WIDTH}@bounces.example.org>"
    assert parsed["Feedback-ID"] == "2017-04-03:be-ru:belarus:mailer"
    assert parsed["Subject"] == "Ситуация"
    assert "Auto-Submitted" not in parsed


def test_a_provider_is_handed_the_token_apart_where_it_needs_it() -> None:
    field = 'X-SMTPAPI: {"unique_args": {"delivery": "{token}"}}'
    parsed = read(compose(Body(subject="S", html="H", text="T"), head(token_field=field)).splice(values()))
    assert json.loads(parsed["X-SMTPAPI"]) == {"unique_args": {"delivery": "b" * WIDTH}}


def test_automatic_mail_says_so() -> None:
    parsed = read(compose(Body(subject="S", html="H", text="T"), head(automatic=True)).splice(values()))
    assert parsed["Auto-Submitted"] == "auto-generated"


def test_cyrillic_grows_by_half_and_not_threefold() -> None:
    text = "Минск продолжит торговлю безопасностью. " * 500
    octets = compose(Body(subject="S", html=text, text=text), head()).splice(values())
    assert len(octets) < 2 * len(text.encode()) * 1.42


def test_equal_input_gives_equal_bytes() -> None:
    body = Body(subject="S", html="H" + marker(Slot.UNSUBSCRIBE), text="T")
    assert compose(body, head()).dump() == compose(body, head()).dump()
