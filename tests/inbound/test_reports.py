"""Delivery reports with fields: RFC 3464, 6522, 6533."""

import pytest

from mailer.inbound.incoming import Action, Category, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, failed, letter, report


def test_an_unknown_user_is_permanent() -> None:
    incoming = read(report(failed("550 5.1.1 <reader@far.example>: no mailbox here", status="5.1.1")))
    (reader,) = incoming.recipients
    assert (incoming.kind, incoming.reporter) == (Kind.BOUNCE, "relay.example")
    assert (reader.address, reader.permanent, reader.category) == (READER, True, Category.UNKNOWN_USER)
    assert (reader.status, reader.action) == ("5.1.1", Action.FAILED)
    assert reader.diagnostic == "550 5.1.1 <reader@far.example>: no mailbox here"


def test_one_report_can_hold_several_verdicts() -> None:
    incoming = read(
        report(
            failed("550 5.1.1 unknown user", address="gone@far.example"),
            failed("552 5.2.2 mailbox full", address="full@far.example"),
            failed(address="late@far.example", action="delayed", status="4.4.1"),
            failed(address="fine@far.example", action="delivered", status="2.1.5"),
        )
    )
    assert [(each.address.split("@")[0], each.permanent, each.category) for each in incoming.recipients] == [
        ("gone", True, Category.UNKNOWN_USER),
        ("full", False, Category.MAILBOX_FULL),
        ("late", False, Category.TEMPORARY),
        ("fine", False, Category.DELIVERED),
    ]
    assert incoming.kind is Kind.BOUNCE


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_what_did_not_fail_is_no_bounce(action: str) -> None:
    incoming = read(report(failed("250 2.1.5 fine", action=action, status="2.0.0")))
    assert incoming.kind is Kind.OTHER
    assert [each.category for each in incoming.recipients] == [Category.DELIVERED]


def test_a_delay_is_never_permanent_whatever_words_it_uses() -> None:
    (reader,) = read(report(failed("550 5.1.1 user unknown", action="delayed", status="5.1.1"))).recipients
    assert not reader.permanent
    assert reader.action is Action.DELAYED


@pytest.mark.parametrize("field", ["Action: failed (for good)", "ACTION: Failed", "Action:failed"])
def test_an_action_is_known_in_any_case_and_with_a_comment(field: str) -> None:
    (reader,) = read(report(f"Final-Recipient: rfc822;{READER}\n{field}\nStatus: 5.1.1 (bad destination)")).recipients
    assert (reader.permanent, reader.action) == (True, Action.FAILED)


def test_a_report_whose_parts_have_lost_their_types_is_still_read() -> None:
    fields = failed("550 5.1.1 user unknown")
    assert read(report(fields, kind="text/plain")).recipients[0].permanent
    assert read(report(fields, outer="multipart/mixed; boundary=b")).recipients[0].permanent
    assert read(report(fields, outer="")).recipients[0].permanent
    assert read(letter(f"Sorry.\n\nReporting-MTA: dns; relay.example\n\n{fields}")).recipients[0].permanent


def test_fields_parted_by_an_empty_line_belong_together() -> None:
    (reader,) = read(report(f"Final-Recipient: rfc822; {READER}\n\nAction: failed\nStatus: 5.1.1")).recipients
    assert reader.permanent


def test_an_international_report_names_international_addresses() -> None:
    incoming = read(
        report(
            "Final-Recipient: utf-8; чытач@пошта.example\nAction: failed\nStatus: 5.1.1\n"
            "Diagnostic-Code: smtp; 550 5.1.1 карыстальнік невядомы",
            kind="message/global-delivery-status",
            returned_kind="message/global",
        )
    )
    (reader,) = incoming.recipients
    assert (reader.address, reader.permanent) == ("чытач@пошта.example", True)
    assert reader.diagnostic == "550 5.1.1 карыстальнік невядомы"


@pytest.mark.parametrize(
    ("fields", "address", "original"),
    [
        (f"Final-Recipient: rfc822;<{READER}>", READER, None),
        (f"Final-Recipient: RFC822 ; {READER}", READER, None),
        (f"Original-Recipient: {READER}", READER, None),
        (
            f"Final-Recipient: rfc822; box@inside.example\nOriginal-Recipient: rfc822;{READER}",
            "box@inside.example",
            READER,
        ),
        (f"Final-Recipient: rfc822;@relay.example:box@inside\nOriginal-Recipient: rfc822;{READER}", READER, None),
        (f"Final-Recipient: x-unix; |/usr/bin/filter\nOriginal-Recipient: rfc822;{READER}", READER, None),
        ('Final-Recipient: rfc822; "a b"@far.example', '"a b"@far.example', None),
    ],
)
def test_addresses_are_read_as_they_are_written(fields: str, address: str, original: str | None) -> None:
    (reader,) = read(report(f"{fields}\nAction: failed\nStatus: 5.1.1")).recipients
    assert (reader.address, reader.original) == (address, original)


def test_without_a_diagnostic_the_human_text_says_more() -> None:
    (reader,) = read(
        report(failed(), text=f"<{READER}>: 550 No such user here (in reply to RCPT TO command)")
    ).recipients
    assert (reader.permanent, reader.category) == (True, Category.UNKNOWN_USER)


def test_the_words_of_the_refusing_server_count_more_than_the_status_of_the_reporting_one() -> None:
    (reader,) = read(report(failed("550 5.7.1 Client host blocked using zen.example", status="5.1.1"))).recipients
    assert (reader.permanent, reader.category) == (False, Category.BLOCKED)


def test_a_diagnostic_over_several_lines_is_one_line() -> None:
    (reader,) = read(
        report(failed("550-5.1.1 The account\n 550-5.1.1 that you tried\n\t550 5.1.1 does not exist"))
    ).recipients
    assert reader.diagnostic == "550-5.1.1 The account 550-5.1.1 that you tried 550 5.1.1 does not exist"


def test_who_is_told_twice_of_has_one_verdict() -> None:
    late, gone = failed(action="delayed", status="4.4.1"), failed("550 5.1.1 unknown user")
    (reader,) = read(report(late, gone)).recipients
    assert (reader.action, reader.permanent) == (Action.FAILED, True)
