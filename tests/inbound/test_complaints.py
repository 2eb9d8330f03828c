"""Complaints (RFC 5965)."""

import pytest

from mailer.inbound.incoming import Category, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, complaint, letter


@pytest.mark.parametrize("feedback", ["abuse", "opt-out", "not-spam", "fraud", "virus", "other", "auth-failure"])
def test_a_complaint_says_of_which_kind_it_is_and_about_whom(feedback: str) -> None:
    incoming = read(complaint(f"Feedback-Type: {feedback.title()}", f"Original-Rcpt-To: <{READER}>"))
    assert (incoming.kind, incoming.feedback) == (Kind.COMPLAINT, feedback)
    assert [(each.address, each.category, each.permanent) for each in incoming.recipients] == [
        (READER, Category.COMPLAINT, False)
    ]


def test_a_complaint_can_be_about_several() -> None:
    incoming = read(
        complaint(
            "Feedback-Type: abuse", "Original-Rcpt-To: a@far.example", "Original-Rcpt-To: b@far.example, c@far.example"
        )
    )
    assert [each.address for each in incoming.recipients] == ["a@far.example", "b@far.example", "c@far.example"]


def test_a_complaint_that_lost_its_types_is_still_one() -> None:
    text = f"A report.\n\nFeedback-Type: abuse\nUser-Agent: Loop/1.0\nOriginal-Rcpt-To: {READER}\n"
    incoming = read(letter(text, sender="loop@far.example", subject="complaint"))
    assert (incoming.kind, incoming.feedback, len(incoming.recipients)) == (Kind.COMPLAINT, "abuse", 1)


def test_a_complaint_is_no_bounce_even_from_a_daemon() -> None:
    octets = complaint("Feedback-Type: abuse", f"Original-Rcpt-To: {READER}", "Status: 5.1.1", "Action: failed")
    assert read(octets.replace(b"Loop <loop@", b"MAILER-DAEMON <mailer-daemon@")).kind is Kind.COMPLAINT


def test_a_complaint_that_only_returns_the_message_names_nobody() -> None:
    body = (
        f"--b\nContent-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: {READER}\nMessage-ID: <a@b.example>\n\n--b--\n"
    )
    octets = letter(
        body,
        sender="staff@hotmail.example",
        subject="complaint about message from 192.0.2.1",
        content_type="multipart/mixed; boundary=b",
    )
    incoming = read(octets)
    assert (incoming.kind, incoming.recipients, incoming.returned_id) == (Kind.COMPLAINT, (), "a@b.example")


def test_who_unsubscribes_with_apples_button_opts_out() -> None:
    octets = letter(
        "Apple Mail sent this email to unsubscribe from the message “News”.",
        sender=READER,
        subject="unsubscribe",
        auto_submitted="auto-replied",
    )
    incoming = read(octets)
    assert (incoming.kind, incoming.feedback) == (Kind.COMPLAINT, "opt-out")
    assert [each.address for each in incoming.recipients] == [READER]
