"""Reports written for the tests, in the forms that mail systems use."""

READER = "reader@far.example"
US = "news+token@mail.example"

RETURNED = """\
Return-Path: <news+token@mail.example>
From: News <editors@mail.example>
To: victim@innocent.example
Subject: 550 5.1.1 <victim@innocent.example>: User unknown
Message-ID: <issue-7.reader@mail.example>

<victim@innocent.example>: 550 5.1.1 User unknown
"""


def letter(text: str, *, sender: str = "Mail Delivery System <MAILER-DAEMON@relay.example>", **fields: str) -> bytes:
    """A mail of one text; `fields` such as `subject`, `x_failed_recipients`."""
    head = {"from": sender, "to": US, "subject": "Undelivered Mail Returned to Sender", **fields}
    lines = "".join(f"{name.replace('_', '-').title()}: {value}\n" for name, value in head.items() if value)
    return (lines + "\n" + text).encode()


def report(
    *recipients: str,
    text: str = "It could not be delivered.",
    returned: str = RETURNED,
    kind: str = "message/delivery-status",
    returned_kind: str = "message/rfc822",
    outer: str = 'multipart/report; report-type=delivery-status; boundary="b"',
    **fields: str,
) -> bytes:
    """RFC 3464: each of `recipients` is its group of fields."""
    groups = "\n".join(group.strip() + "\n" for group in ("Reporting-MTA: dns; relay.example", *recipients))
    body = (
        f"--b\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
        f"--b\nContent-Type: {kind}\n\n{groups}\n"
        f"--b\nContent-Type: {returned_kind}\n\n{returned}\n--b--\n"
    )
    return letter(body, content_type=outer, **fields)


def failed(diagnostic: str = "", *, address: str = READER, action: str = "failed", status: str = "5.0.0") -> str:
    """The fields of one recipient."""
    told = f"Diagnostic-Code: smtp; {diagnostic}\n" if diagnostic else ""
    return f"Final-Recipient: rfc822; {address}\nAction: {action}\nStatus: {status}\n{told}"


def complaint(*fields: str, returned: str = RETURNED) -> bytes:
    """RFC 5965."""
    given = "\n".join(("User-Agent: Loop/1.0", "Version: 1", *fields))
    body = (
        "--b\nContent-Type: text/plain\n\nThis is an abuse report.\n"
        f"--b\nContent-Type: message/feedback-report\n\n{given}\n"
        f"--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    )
    return letter(
        body,
        sender="Loop <loop@far.example>",
        subject="FW: News",
        content_type="multipart/report; report-type=feedback-report; boundary=b",
    )
