"""Replies as they come over the wire (RFC 5321 §4.2), cut from a stream that may hold anything."""

import re
from collections.abc import Iterator

MAX_LINE = 4096
"""Octets of one line. RFC 5321 §4.5.3.1.5 allows 512; some servers write more."""

MAX_REPLY = 32 * 1024
"""Octets of one reply with all its lines."""


class Violation(Exception):
    """The server did not speak SMTP, so nothing it says next can be trusted. The text says what it did."""


Heard = tuple[int, bytes]
"""One whole reply: its code, and its text as octets, the lines joined by a line feed."""


def text_of(octets: bytes) -> str:
    """The words of a reply, whatever they are, as text."""
    return octets.decode("utf-8", "replace")


_SINGLE = {b"%d " % code: code for code in range(200, 600)}
_LINE = re.compile(rb"([2-5]\d\d)(?:([ -])(.*))?", re.DOTALL)


class ReplyReader:
    """Takes octets as they come, in pieces of any size, and gives whole replies."""

    def __init__(self) -> None:
        self._pending = b""
        self._lines = list[bytes]()
        self._code = b""
        self._size = 0

    def feed(self, octets: bytes) -> Iterator[Heard]:
        """The replies that these octets complete. Raises Violation where one would have come that is none."""
        *lines, self._pending = (self._pending + octets).split(b"\n")
        for line in lines:
            code = _SINGLE.get(line[:4])
            if code and not self._lines and len(line) <= MAX_LINE and b"\0" not in line:  # as nearly all of them are
                yield code, line[4:].strip()
            elif heard := self._take(line.removesuffix(b"\r")):
                yield heard
        if len(self._pending) > MAX_LINE:
            raise Violation("a reply line without an end")

    def _take(self, line: bytes) -> Heard | None:
        self._size += len(line)
        if len(line) > MAX_LINE or self._size > MAX_REPLY:
            raise Violation("a reply that is too long")
        matched = _LINE.fullmatch(line)
        if not matched or b"\0" in line:
            raise Violation("a line that is no SMTP reply")
        code, separator, text = matched.groups()
        if self._lines and code != self._code:
            raise Violation("a reply with two codes")
        self._code = code
        self._lines.append((text or b"").strip())
        if separator == b"-":
            return None
        heard = int(code), b"\n".join(self._lines)
        self._lines, self._size = [], 0
        return heard
