"""Stops an issue that receivers take for something it is not, before it has been refused by everyone.

    content    refused for what it says: 20 in a row, or 1 % of at least 500
    address    refused because there is nobody: more than 5 % of the first 200, the mark of a list that is not ours

The readers keep their subscriptions; the operator looks, mends and resumes. Counted in memory: a worker that starts
anew counts anew, and so does an issue that is resumed.
"""

from collections import defaultdict
from dataclasses import dataclass

from mailer.delivery.reply import Meaning, Reply, meaning

CONTENT_IN_A_ROW = 20
CONTENT_SHARE, CONTENT_AMONG = 0.01, 500
ADDRESS_SHARE, ADDRESS_AMONG = 0.05, 200


@dataclass
class _Count:
    answers: int = 0
    content: int = 0
    content_in_a_row: int = 0
    address: int = 0


class Breaker:
    """Counts the answers to each message."""

    def __init__(self) -> None:
        self._counts = defaultdict[int, _Count](_Count)

    def heard(self, message_id: int, reply: Reply) -> str | None:
        """Why the message's issue has to stop, if it has to. Then it is counted from the beginning."""
        meant = meaning(reply)
        if meant not in _COUNTED:
            return None
        count = self._counts[message_id]
        count.answers += 1
        count.content += meant is Meaning.CONTENT
        count.content_in_a_row = count.content_in_a_row + 1 if meant is Meaning.CONTENT else 0
        count.address += meant is Meaning.DEAD_ADDRESS
        why = _verdict(count)
        if why:
            del self._counts[message_id]
        return why


_COUNTED = {Meaning.ACCEPTED, Meaning.CONTENT, Meaning.DEAD_ADDRESS, Meaning.INACTIVE, Meaning.UNKNOWN}


def _verdict(count: _Count) -> str | None:
    if count.content_in_a_row >= CONTENT_IN_A_ROW:
        return f"refused for its content {count.content_in_a_row} times in a row"
    if count.answers >= CONTENT_AMONG and count.content > CONTENT_SHARE * count.answers:
        return f"refused for its content by {count.content} of {count.answers} readers' servers"
    if count.answers == ADDRESS_AMONG and count.address > ADDRESS_SHARE * count.answers:
        return f"{count.address} of the first {count.answers} addresses do not exist"
    return None
