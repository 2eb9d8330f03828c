"""Whoever writes to us can return a message about anybody: the returned message stays closed."""

import pytest

from mailer.inbound.incoming import Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, RETURNED, complaint, failed, letter, report

VICTIM = "victim@innocent.example"
GONE = failed("550 5.1.1 user unknown")
NESTED = report(failed("550 5.1.1 user unknown", address=VICTIM)).decode()


def test_a_report_inside_a_report_is_not_read() -> None:
    inner = NESTED.replace("--b", "--inner").replace('"b"', '"inner"')
    incoming = read(report(GONE, returned=inner))
    assert [each.address for each in incoming.recipients] == [READER]


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers", "message/global", "message/partial; id=x"])
def test_a_mail_that_only_forwards_a_report_says_nothing_about_anybody(kind: str) -> None:
    body = f"--f\n\nLook at this.\n--f\nContent-Type: {kind}\n\n{NESTED}\n--f--\n"
    incoming = read(letter(body, sender="A <a@far.example>", subject="Fwd", content_type="multipart/mixed; boundary=f"))
    assert (incoming.kind, incoming.recipients) == (Kind.OTHER, ())


@pytest.mark.parametrize(
    "marker",
    [
        "--- Below this line is a copy of the message.",
        "------ This is a copy of the message, including all the headers. ------",
        "   ----- Original message follows -----",
        "Original message follows.",
        "   ----- Unsent message follows -----",
        "Message headers follow.",
        "",  # the header itself begins
    ],
)
def test_prose_ends_where_the_returned_message_begins(marker: str) -> None:
    text = f"The following address failed:\n\n  {READER}\n    550 5.1.1 no such user\n\n{marker}\n\n{RETURNED}"
    incoming = read(letter(text))
    assert [each.address for each in incoming.recipients] == [READER]
    assert incoming.returned_id == "issue-7.reader@mail.example"
    lines = text.split("\n")
    assert incoming.returned_at is not None
    assert lines[incoming.returned_at - 4].strip() in (marker.strip(), "Return-Path: <news+token@mail.example>")


def test_a_part_that_is_a_mail_without_saying_so_is_a_returned_message() -> None:
    body = f"--b\n\nThe following address failed: <{READER}>\n550 5.1.1 no such user\n--b\n{RETURNED}\n--b--\n"
    incoming = read(letter(body, content_type="multipart/mixed; boundary=b"))
    assert [each.address for each in incoming.recipients] == [READER]


def test_where_the_returned_message_begins_and_its_name_are_kept() -> None:
    octets = report(GONE)
    incoming = read(octets)
    assert incoming.returned_at is not None
    assert octets.decode().split("\n")[incoming.returned_at].startswith("Return-Path: <news+token")
    assert incoming.returned_id == "issue-7.reader@mail.example"


def test_a_complaint_names_who_its_own_fields_name() -> None:
    incoming = read(complaint("Feedback-Type: abuse", returned=f"Original-Rcpt-To: {VICTIM}\n{RETURNED}"))
    assert (incoming.kind, incoming.recipients) == (Kind.COMPLAINT, ())


def test_a_report_without_any_address_names_nobody() -> None:
    incoming = read(report())
    assert (incoming.kind, incoming.recipients) == (Kind.BOUNCE, ())
