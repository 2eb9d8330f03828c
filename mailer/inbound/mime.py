"""MIME for octets that strangers made (RFC 2045, 2046): bounded in size, depth and parts, and never an exception.

The standard library's parser is exact, recursive and unbounded. Reports need less: the human text, the fields of a
report, and the certainty that a returned message stays closed. Where a message breaks the rules the reading stops; it
does not guess.
"""

import base64
import binascii
import codecs
import html
import quopri
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.errors import MessageError
from email.header import decode_header

READ_OCTETS = 1 << 20  #: of a message; a report's verdict stands at its beginning
HEADER_OCTETS = 1 << 16
FIELDS = 500
FIELD_OCTETS = 4000
DEPTH = 6
PARTS = 100
TEXT_OCTETS = 1 << 16  #: of one part
LINE = 2000  #: characters of a line that are looked at

RETURNED = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/partial",
        "message/external-body",
        "text/rfc822-headers",
        "text/rfc822-header",
        "message/rfc822-headers",
        "message/global-headers",
        "message/news",
    }
)

_TRACE = frozenset({"received", "return-path", "message-id", "dkim-signature", "x-received"})


@dataclass(frozen=True)
class Part:
    """A leaf of the message."""

    type: str  #: such as text/plain, lower case
    fields: Mapping[str, str]  #: the first of each name, unfolded, names in lower case
    octets: bytes = field(repr=False)
    line: int  #: where its body begins in the message, from 0

    def text(self, line: int = LINE) -> str:
        """The body as text with LF line ends, `line` characters of each; what cannot be decoded becomes U+FFFD.

        HTML is reduced to its words.
        """
        text = "\n".join(each[:line] for each in self.markup().split("\n"))
        return words_of_html(text) if self.type == "text/html" else text

    def markup(self) -> str:
        """The body as text with LF line ends; HTML with its tags."""
        octets = _decoded(self.octets[: 2 * TEXT_OCTETS], self.fields.get("content-transfer-encoding", ""))
        text = _to_text(octets[:TEXT_OCTETS], _parameter(self.fields.get("content-type", ""), "charset"))
        return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass(frozen=True)
class Message:
    """A message that was taken apart as far as the returned message."""

    fields: Mapping[str, str]  #: the first of each name, unfolded and decoded, names in lower case
    type: str
    parts: tuple[Part, ...]  #: leaves, in order, without returned messages
    returned: Part | None  #: the first returned message, unread
    truncated: bool

    def of_type(self, *types: str) -> Iterator[Part]:
        return (part for part in self.parts if part.type in types)


def take_apart(octets: bytes) -> Message:
    """The message in `octets`. Whatever they are."""
    truncated = len(octets) > READ_OCTETS
    octets = octets[:READ_OCTETS].replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n")
    if octets.startswith(b"From "):  # a mailbox's separator line
        octets = octets.partition(b"\n")[2]
    fields, body = _split(octets)
    walk = _Walk(octets)
    walk.enter(fields, body, 0, outermost=True)
    kind = _type(fields.get("content-type", ""), "text/plain")
    decoded = {name: decoded_words(value) for name, value in fields.items()}
    return Message(decoded, kind, tuple(walk.parts), walk.returned, truncated or walk.truncated)


def fields(octets: bytes) -> dict[str, str]:
    """The header as it is written: the first field of each name, unfolded, with its encoded words, names in lower
    case."""
    return _split(octets[:HEADER_OCTETS].replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n"))[0]


class _Walk:
    """Depth first, in order, with a budget."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.parts: list[Part] = []
        self.returned: Part | None = None
        self.truncated = False
        self.seen = 0

    def enter(self, fields: Mapping[str, str], span: tuple[int, int], depth: int, *, outermost: bool = False) -> None:
        self.seen += 1
        begin, end = span
        content_type = fields.get("content-type", "")
        kind = _type(content_type, "text/plain")
        body = self.octets[begin:end]
        part = Part(kind, fields, body, self.octets.count(b"\n", 0, begin))
        if not outermost and (kind in RETURNED or _headers_of_a_message(fields, kind)):
            self.returned = self.returned or part
        elif kind.startswith("multipart/") and (boundary := _parameter(content_type, "boundary")):
            if depth >= DEPTH:
                self.truncated = True
                return
            self._enter_each(boundary, span, depth)
        elif self.returned is None or kind.endswith("delivery-status"):  # the fields of a report may come last
            self.parts.append(replace(part, type="text/plain") if kind.startswith("multipart/") else part)

    def _enter_each(self, boundary: str, span: tuple[int, int], depth: int) -> None:
        fence = re.compile(rb"^--" + re.escape(boundary.encode("utf-8", "surrogateescape")) + rb"(--)?[ \t]*$", re.M)
        begin = None
        for found in fence.finditer(self.octets, *span):
            if begin is not None and not self._enter_one((begin, found.start()), depth):
                return
            begin = found.end() + 1
            if found.group(1):
                return
        if begin is None:  # the boundary that is announced never comes
            self.enter({}, span, depth + 1)
        else:
            self._enter_one((begin, span[1]), depth)

    def _enter_one(self, span: tuple[int, int], depth: int) -> bool:
        if self.seen >= PARTS:
            self.truncated = True
            return False
        begin, end = span
        fields, (inner, _) = _split(self.octets[begin : min(end, begin + HEADER_OCTETS)])
        self.enter(fields, (min(begin + inner, end), end), depth + 1)
        return True


def _headers_of_a_message(fields: Mapping[str, str], kind: str) -> bool:
    """Whether a part that does not say so is a returned message: its own header is that of a mail."""
    return not kind.endswith(("-status", "-report", "-notification")) and len(_TRACE & fields.keys()) > 0


def _split(octets: bytes) -> tuple[dict[str, str], tuple[int, int]]:
    """The header's fields, and from where to where the body is."""
    if octets.startswith(b"\n"):
        return {}, (1, len(octets))
    end = octets.find(b"\n\n")
    end, body = (len(octets), len(octets)) if end < 0 else (end, end + 2)
    header = octets[: min(end, HEADER_OCTETS)].decode("utf-8", "replace")
    fields: dict[str, str] = {}
    name, seen = "", 0
    for line in header.split("\n"):
        if name and (line[:1] in (" ", "\t") or (fields[name].endswith(";") and not _FIELD.match(line))):
            if len(fields[name]) < FIELD_OCTETS:
                fields[name] += " " + line.strip()
            continue
        found = _FIELD.match(line)
        if found is None:
            if seen == 0 and not line.startswith(("From ", ">From ")):
                return {}, (0, len(octets))  # no header at all: everything is body
            name = ""
            continue
        seen += 1
        if seen > FIELDS:
            break
        key = found.group(1).lower()
        if fields.get(key):
            name = ""
            continue
        name = key
        fields[name] = line[found.end() :].strip()[:FIELD_OCTETS]
    return fields, (body, len(octets))


_FIELD = re.compile(r"([!-9;-~]{1,80})[ \t]*:")


def _type(content_type: str, default: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    return kind if re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind) else default


def _parameter(value: str, name: str) -> str:
    """RFC 2045 §5.1; continuations (RFC 2231) are not used by what writes reports."""
    found = re.search(rf';\s*{name}\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]+)', value, re.IGNORECASE)
    if found is None:
        return ""
    text = found.group(1)
    return re.sub(r"\\(.)", r"\1", text[1:-1]).rstrip() if text.startswith('"') else text


def _decoded(octets: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "quoted-printable":
            return quopri.decodestring(octets)
        case "base64":
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
            try:
                return base64.b64decode(letters[: len(letters) // 4 * 4] + _padded(letters))
            except binascii.Error:
                return octets
    return octets


def _padded(letters: bytes) -> bytes:
    rest = letters[len(letters) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


_CHARSETS = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp\d+|koi8-[rut]|mac-\w+|big5\w*|gb\w+|euc_\w+|shift_jis\w*|iso2022_\w+|hz|johab|tis-620"
)


def _to_text(octets: bytes, charset: str) -> str:
    """Only character sets: Python's codecs also hold transformations that are slow or not text."""
    try:
        name = codecs.lookup(charset.strip().strip("'")).name if charset else "utf-8"
    except (LookupError, ValueError):
        name = "utf-8"
    try:
        return octets.decode(name if _CHARSETS.fullmatch(name) else "utf-8")
    except (UnicodeError, LookupError):
        pass
    if b"\x1b$" in octets:
        return octets.decode("iso2022_jp", "replace")
    return octets.decode(name if name.startswith(("iso", "cp", "koi")) else "utf-8", "replace")


def decoded_words(value: str) -> str:
    """A field's value with its encoded words decoded (RFC 2047)."""
    if "=?" not in value:
        return value
    try:
        found = decode_header(value[:FIELD_OCTETS])
        return "".join(
            word if isinstance(word, str) else _to_text(word, charset or "us-ascii") for word, charset in found
        )
    except (MessageError, UnicodeError, LookupError, ValueError):
        return value


def words_of_html(text: str) -> str:
    """Its text, a line a block."""
    for pattern, with_ in _TAGS:
        text = pattern.sub(with_, text)
    return re.sub(r"[ \t]+", " ", html.unescape(text))


_TAGS = (
    (re.compile(r"<(style|script|head)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL), " "),
    (re.compile(r"[ \t]*\n[ \t]*"), " "),
    (re.compile(r"<(br|/?p|/?div|/?tr|/?table|/?h\d|/?li|/?td)\b[^<>]{0,2000}>", re.IGNORECASE), "\n"),
    (re.compile(r"<[a-z/!][^<>]{0,2000}>", re.IGNORECASE), ""),
)
