"""Events of Amazon SES that come by mail."""

import json
from typing import Any

import pytest

from mailer.inbound.incoming import Category, Incoming, Kind
from mailer.inbound.reading import read
from tests.inbound.letters import READER, letter

BOUNCE = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "reportingMTA": "dns; a1.smtp-out.example",
        "bouncedRecipients": [
            {
                "emailAddress": READER,
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 unknown",
            },
            {"emailAddress": "full@far.example", "status": "5.2.2", "diagnosticCode": "smtp; 552 5.2.2 full"},
        ],
    },
}
COMPLAINT = {
    "notificationType": "Complaint",
    "complaint": {"complainedRecipients": [{"emailAddress": READER}], "complaintFeedbackType": "abuse"},
}


def mailed(event: dict[str, Any], *, wrapped: bool) -> Incoming:
    body = {"Type": "Notification", "Message": json.dumps(event)} if wrapped else event
    return read(letter(json.dumps(body), sender="AWS <no-reply@sns.example>", subject="AWS Notification Message"))


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_bounce_names_each_recipient(wrapped: bool) -> None:
    incoming = mailed(BOUNCE, wrapped=wrapped)
    assert (incoming.kind, incoming.reporter) == (Kind.BOUNCE, "a1.smtp-out.example")
    assert [(each.address, each.permanent, each.category) for each in incoming.recipients] == [
        (READER, True, Category.UNKNOWN_USER),
        ("full@far.example", False, Category.MAILBOX_FULL),
    ]


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_complaint_names_who_complained(wrapped: bool) -> None:
    incoming = mailed(COMPLAINT, wrapped=wrapped)
    assert (incoming.kind, incoming.feedback) == (Kind.COMPLAINT, "abuse")
    assert [each.address for each in incoming.recipients] == [READER]


@pytest.mark.parametrize(
    "body",
    [
        '{"notificationType": "Bounce"',
        '{"notificationType": "Bounce"}',
        '{"notificationType": "Bounce", "bounce": []}',
        '{"notificationType": "Bounce", "bounce": {"bouncedRecipients": [1, {"emailAddress": 2}], "reportingMTA": 3}}',
        '{"notificationType": ["Bounce"]}',
        '{"Type": "Notification", "Message": "["}',
        '{"Type": "Notification", "Message": "[]"}',
        '{"notificationType": ' + "[" * 30_000,
    ],
)
def test_a_broken_event_names_nobody(body: str) -> None:
    assert read(letter(body, sender="x@sns.example", subject="x")).recipients == ()
