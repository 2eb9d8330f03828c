"""Automatic replies (RFC 3834)."""

import pytest

from mailer.inbound.incoming import Category, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, letter

AWAY = "I am away until Monday. Nobody reads this mailbox; your mail was not delivered to anybody else."


@pytest.mark.parametrize(
    "fields",
    [
        {"auto_submitted": "auto-replied"},
        {"auto_submitted": "auto-generated; by=x"},
        {"x_autoreply": "yes"},
        {"x_autorespond": "News"},
        {"precedence": "auto_reply"},
        {"x_auto_response_suppress": "All"},
    ],
)
def test_a_header_field_marks_an_automatic_reply(fields: dict[str, str]) -> None:
    incoming = read(letter(AWAY, sender=f"Reader <{READER}>", subject="Re: News", **fields))
    assert incoming.kind is Kind.AUTO_REPLY
    assert [(each.address, each.category, each.permanent) for each in incoming.recipients] == [
        (READER, Category.AUTO_REPLY, False)
    ]


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: News",
        "Auto: Out of Office",
        "Out of the office until May",
        "Abwesenheitsnotiz: News",
        "Réponse automatique : News",
        "Respuesta automática: News",
        "Автоматический ответ: Новости",
        "Автоответ: я в отпуске",
        "Аўтаматычны адказ: Навіны",
        "Мяне няма ў офісе",
        "Autoodpowiedź: News",
        "自动回复: News",
        "不在通知",
        "=?utf-8?B?0JDRntGC0LDQvNCw0YLRi9GH0L3RiyDQsNC00LrQsNC3?=",
    ],
)
def test_a_subject_marks_an_automatic_reply_in_many_languages(subject: str) -> None:
    assert read(letter(AWAY, sender=READER, subject=subject)).kind is Kind.AUTO_REPLY


def test_a_read_receipt_is_automatic() -> None:
    body = (
        "--b\n\nIt was displayed.\n--b\nContent-Type: message/disposition-notification\n\n"
        f"Final-Recipient: rfc822; {READER}\nDisposition: manual-action/MDN-sent-manually; deleted\n--b--\n"
    )
    kind = "multipart/report; report-type=disposition-notification; boundary=b"
    assert read(letter(body, sender=READER, subject="Read: News", content_type=kind)).kind is Kind.AUTO_REPLY


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Re: News", "Thank you! I read it in the office."),
        ("Unsubscribe", "Please take me off the list."),
        ("Your last issue", "The link could not be opened: 550 5.1.1 user unknown, says a friend@far.example"),
        ("Re: Delivery failure", "What did you mean by that?"),
        ("", ""),
    ],
)
def test_mail_from_people_is_neither_bounce_nor_automatic(subject: str, text: str) -> None:
    incoming = read(letter(text, sender=f"Reader <{READER}>", subject=subject, auto_submitted="no"))
    assert (incoming.kind, incoming.recipients, incoming.sender) == (Kind.OTHER, (), READER)


def test_an_absence_that_speaks_of_a_dead_mailbox_is_no_bounce() -> None:
    text = f"I no longer work here. This mailbox is disabled, mail to {READER} is not delivered. User unknown."
    octets = letter(text, sender=f"Reader <{READER}>", subject="Automatic reply: undeliverable", return_path="<>")
    assert read(octets).kind is Kind.AUTO_REPLY
