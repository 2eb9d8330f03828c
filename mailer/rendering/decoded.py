"""A finished mail as a reader's program would show it: for previews and the demo's mailbox."""

import email
import email.policy
from email.message import EmailMessage
from typing import Literal


def parse(octets: bytes) -> EmailMessage:
    """The mail as the standard library reads it."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: Literal["html", "plain"]) -> str:
    """The decoded part, "" where there is none. Pictures that it shows become data URLs."""
    found = message.get_body((kind,))
    text = str(found.get_content()) if found else ""
    for picture in message.walk():
        if picture.get_content_maintype() == "image":
            cid = str(picture["Content-ID"]).strip("<>")
            letters = "".join(str(picture.get_payload()).split())
            text = text.replace(f"cid:{cid}", f"data:{picture.get_content_type()};base64,{letters}")
    return text
