"""A mail as bytes with slots: composed once an edition, spliced for each reader.

Composing does everything that is the same for all readers: MIME structure, headers, transfer encoding, line ends.
What differs (address, date, tokens) is a slot. Slots in the head are gaps between segments and may be of any
length. Slots in the body are tokens of one fixed width, so splicing overwrites bytes at known places and moves none:

- quoted-printable: token characters stand for themselves, a soft line break may fall between them;
- base64: the token is widened to the 3-byte borders around it and only those groups are encoded again.

No line of the result begins with a dot, none is longer than 998 octets and all end in CRLF, so the bytes are also
what goes over the wire (RFC 5321 §4.5.2 transparency needs no second pass). The body is its own relaxed canonical form
(RFC 6376 §3.4.4), for every reader, so it is signed as it is. Why: docs/decisions/0002-slots.md and 0006-dkim.md.
"""

import base64
import email
import email.policy
import enum
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from typing import Any

from mailer.errors import MailerError
from mailer.rendering.body import Body, Inline
from mailer.tokens import ALPHABET, WIDTH


class Slot(enum.StrEnum):
    """What differs from reader to reader."""

    TO = "to"  #: an address; head only
    DATE = "date"  #: RFC 5322 date; head only
    MESSAGE_ID = "message-id"  #: a token
    CONFIRM = "confirm"  #: a token: of what the mail asks for
    UNSUBSCRIBE = "unsubscribe"  #: a token
    PREFERENCES = "preferences"  #: a token


_FREE = {Slot.TO, Slot.DATE}
_TOKEN = re.compile(rf"[{ALPHABET}]{{{WIDTH}}}")
_LINE = 76  # RFC 2045 §6.7 and §6.8


class MessageError(MailerError):
    """The mail cannot be composed or spliced; the message names the header or slot."""


@functools.cache
def marker(slot: Slot) -> str:
    """What stands for `slot` in templates until the message is composed: as wide as a token, of the same letters."""
    return hashlib.sha256(b"mailer slot: " + slot.encode()).hexdigest()[:WIDTH]


_MARKERS = re.compile("|".join(marker(slot) for slot in Slot))
_SLOT_OF = {marker(slot): slot for slot in Slot}


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the header fields are made of. URLs and addresses may contain slot markers."""

    sender_name: str
    sender_address: str
    message_domain: str  #: right side of the Message-ID
    languages: Sequence[str]
    list_id: str
    list_name: str
    owner_address: str
    archive_url: str | None
    unsubscribe_url: str | None = None
    unsubscribe_address: str | None = None
    feedback_id: str | None = None
    reply_to: str | None = None  #: where replies go, where not to the sender
    token_field: str | None = None  #: one more, "Name: value", in which {token} is the Message-ID's
    automatic: bool = False  #: a program's own act, or its answer to the reader's (RFC 3834 §5)
    listed: bool = True  #: with the fields of a list (RFC 2369, 2919)


@dataclass(frozen=True, kw_only=True)
class Enclosed:
    """A file that goes along."""

    name: str  #: plain ASCII
    content: bytes


@dataclass(frozen=True)
class Patch:
    """Bytes of the body that depend on slots: `parts` joined, encoded, and written piece by piece.

    `pieces`: (offset in the body, start, end) of each run of the encoded text.
    """

    parts: tuple[bytes | Slot, ...]
    encoded: bool  #: in base64
    pieces: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Message:
    """What every reader of an edition gets, with slots."""

    head: tuple[bytes | Slot, ...]
    body: bytes
    patches: tuple[Patch, ...]

    @functools.cached_property
    def slots(self) -> frozenset[Slot]:
        """The slots that splice() wants values for."""
        everything = [*self.head, *(part for patch in self.patches for part in patch.parts)]
        return frozenset(part for part in everything if isinstance(part, Slot))

    def splice(self, values: Mapping[Slot, str]) -> bytes:
        """The mail for one reader, in CRLF. Raises MessageError for a slot without a value or with an unfit one."""
        return b"".join(self.strips(values))

    def strips(self, values: Mapping[Slot, str]) -> list[bytes]:
        """The same as pieces, most of which all readers' mails share: nothing is copied until it leaves."""
        same, gaps = self._strips
        octets = {slot: _fit(slot, values) for slot in self.slots}
        strips = same.copy()
        for parts, encoded, places in gaps:
            text = octets[parts[0]] if len(parts) == 1 else b"".join([octets.get(part, part) for part in parts])
            if encoded:
                text = base64.b64encode(text)
            for index, start, end in places:
                strips[index] = text[start:end]
        return [b"".join(strips[: len(self.head)]), *strips[len(self.head) :]]

    @functools.cached_property
    def _strips(self) -> tuple[list[bytes], list[tuple[Any, bool, list[tuple[int, int, int | None]]]]]:
        """The mail cut where readers' mails differ: the strips with gaps left empty, and what goes into the gaps.

        Of each gap: its parts, whether they are encoded, and (index of the strip, start, end) of what goes where.
        """
        strips = list[bytes]()
        gaps = list[tuple[Any, bool, list[tuple[int, int, int | None]]]]()
        for part in self.head:
            if isinstance(part, Slot):
                gaps.append(((part,), False, [(len(strips), 0, None)]))
            strips.append(b"" if isinstance(part, Slot) else part)
        places = dict[int, list[tuple[int, int, int | None]]]()
        at = 0
        pieces = [(*piece, number) for number, patch in enumerate(self.patches) for piece in patch.pieces]
        for offset, start, end, number in sorted(pieces):
            strips += (self.body[at:offset], b"")
            places.setdefault(number, []).append((len(strips) - 1, start, end))
            at = offset + end - start
        strips.append(self.body[at:])
        gaps += [(self.patches[number].parts, self.patches[number].encoded, where) for number, where in places.items()]
        return strips, gaps

    def dump(self) -> bytes:
        """As it is kept in the Message table: one line of JSON, then the body."""
        shape = {
            "head": _plain(self.head),
            "patches": [[_plain(patch.parts), patch.encoded, patch.pieces] for patch in self.patches],
        }
        return json.dumps(shape).encode() + b"\n" + self.body

    @classmethod
    def load(cls, kept: bytes) -> "Message":
        """Reads what dump() wrote."""
        line, _, body = kept.partition(b"\n")
        shape = json.loads(line)
        patches = (
            Patch(_parts(parts), encoded, tuple((a, b, c) for a, b, c in pieces))
            for parts, encoded, pieces in shape["patches"]
        )
        return cls(_parts(shape["head"]), body, tuple(patches))


def compose(body: Body, head: Head) -> Message:
    """Builds the message once. Raises MessageError for a name, subject or address that is not fit for a header."""
    content = _alternative(_text_part("plain", body.text), _html_part(body.html, body.inlines))
    lines = [*_fields(body.subject, head), ("MIME-Version", "1.0")]
    top = "".join(f"{name}: {value}\r\n" for name, value in lines).encode() + content.fields + b"\r\n"
    return Message(tuple(cut(top)), content.octets, content.patches)


def compose_enclosing(subject: str, text: str, enclosed: Enclosed | None, head: Head) -> Message:
    """Builds a mail of plain text, with a file that arrives octet for octet: in base64 no server on the way rewrites
    it. What a stranger wrote may stand in `subject` and `text`: nothing in it is taken for a slot, and a subject that
    no header can carry is left out. Raises MessageError for the head."""
    parts = [_text_part("plain", _MARKERS.sub("\N{HORIZONTAL ELLIPSIS}", text))]
    if enclosed:
        fields = (
            f'Content-Type: application/octet-stream; name="{_bare("Content-Type", enclosed.name)}"\r\n'
            "Content-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="{enclosed.name}"\r\n'
        )
        parts.append(_Part(fields.encode(), _lines_of(base64.b64encode(enclosed.content))))
    content = _multipart("mixed", parts)
    subject = _MARKERS.sub("\N{HORIZONTAL ELLIPSIS}", subject)
    try:
        fields_of_head = list(_fields(subject, head))
    except MessageError:
        fields_of_head = list(_fields("Fwd:", head))
    lines = [*fields_of_head, ("MIME-Version", "1.0")]
    top = "".join(f"{name}: {value}\r\n" for name, value in lines).encode() + content.fields + b"\r\n"
    return Message(tuple(cut(top)), content.octets, content.patches)


# Header fields


def _fields(subject: str, head: Head) -> Iterator[tuple[str, str]]:
    name = _mailbox("From", head.sender_name, head.sender_address)
    yield "From", name
    if head.reply_to:
        yield "Reply-To", f"<{_bare('Reply-To', head.reply_to)}>"
    yield "To", marker(Slot.TO)
    yield "Subject", _unstructured("Subject", subject)
    yield "Date", marker(Slot.DATE)
    yield "Message-ID", f"<{marker(Slot.MESSAGE_ID)}@{_bare('Message-ID', head.message_domain)}>"
    if head.listed:
        yield from _list_fields(head)
    if head.feedback_id:
        yield "Feedback-ID", _bare("Feedback-ID", head.feedback_id)
    if head.automatic:
        yield "Auto-Submitted", "auto-generated"
        yield "X-Auto-Response-Suppress", "All"
    if head.token_field:
        name, _, value = head.token_field.partition(":")
        yield _bare("field", name), check_header_text(name, value.strip()).replace("{token}", marker(Slot.MESSAGE_ID))
    yield "Content-Language", ", ".join(_bare("Content-Language", language) for language in head.languages)


def _list_fields(head: Head) -> Iterator[tuple[str, str]]:
    yield "List-Id", _mailbox("List-Id", head.list_name, head.list_id)
    if head.unsubscribe_url:
        ways = [head.unsubscribe_url] + [f"mailto:{address}" for address in [head.unsubscribe_address] if address]
        yield "List-Unsubscribe", ",\r\n ".join(f"<{_bare('List-Unsubscribe', way)}>" for way in ways)
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"
    if head.archive_url:
        yield "List-Archive", f"<{_bare('List-Archive', head.archive_url)}>"
    yield "List-Owner", f"<mailto:{_bare('List-Owner', head.owner_address)}>"


_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|=\?")


def check_header_text(field: str, text: str) -> str:
    """`text`, if a header can carry it. Raises MessageError for control characters and for encoded words.

    `=?` is refused because readers of mail decode it: `=?utf-8?q?Bob=0d=0aBcc=3a?=` once became a header
    (CVE-2024-6923).
    """
    if _UNFIT.search(text):
        raise MessageError(f"{field}: control characters and '=?' cannot stand in a header: {text!r}. Take them out.")
    return text


def _unstructured(field: str, text: str) -> str:
    check_header_text(field, text)
    try:
        value = Header(text, None if text.isascii() else "utf-8", _LINE, field).encode(linesep="\r\n")
    except UnicodeEncodeError:
        raise MessageError(f"{field}: {text!r} is not valid text. Write it again.") from None
    _check_reads_back(field, value, text)
    return value


def _mailbox(field: str, name: str, address: str) -> str:
    """`name <address>` with the name quoted or encoded as it needs (RFC 5322 §3.4)."""
    check_header_text(field, name)
    phrase = '"' + re.sub(r'([\\"])', r"\\\1", name) + '"' if name.isascii() else _unstructured(field, name)
    return f"{phrase}\r\n <{_bare(field, address)}>"


def _bare(field: str, value: str) -> str:
    """`value`, if it is visible ASCII without brackets: an address, a domain, a URL."""
    if not re.fullmatch(r"[!-;=?-~]+", value):
        raise MessageError(f"{field}: {value!r} is not plain ASCII without spaces. Correct it in the settings.")
    return value


def _check_reads_back(field: str, value: str, meant: str) -> None:
    """What a reader's program will show must be what was meant, and nothing but this one header."""
    parsed = email.message_from_bytes(f"{field}: {value}\r\n\r\n".encode(), policy=email.policy.default)
    shown = " ".join(str(email.header.make_header(email.header.decode_header(value.replace("\r\n", "")))).split())
    if len(parsed.keys()) != 1 or shown != " ".join(meant.split()):
        raise MessageError(f"{field}: {meant!r} does not survive a header. Write it more plainly.")


def cut(octets: bytes) -> Iterator[bytes | Slot]:
    """Splits at the markers."""
    text, at = octets.decode("ascii"), 0
    for found in _MARKERS.finditer(text):
        yield text[at : found.start()].encode()
        yield _SLOT_OF[found.group()]
        at = found.end()
    yield text[at:].encode()


# Body parts


@dataclass(frozen=True)
class _Part:
    fields: bytes
    octets: bytes
    patches: tuple[Patch, ...] = ()


def _text_part(subtype: str, text: str) -> _Part:
    content = re.sub(r"\r\n|\r|\n", "\r\n", text).encode()
    name, octets, patches = min(_quoted_printable(content), _base64(content), key=lambda made: len(made[1]))
    fields = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {name}\r\n'
    return _Part(fields.encode(), octets, patches)


def _html_part(html: str, inlines: Sequence[Inline]) -> _Part:
    page = _text_part("html", html)
    return _multipart("related", [page, *map(_inline, inlines)], 'type="text/html"') if inlines else page


def _alternative(*parts: _Part) -> _Part:
    return _multipart("alternative", parts)


def _inline(inline: Inline) -> _Part:
    fields = (
        f"Content-Type: {_bare('Content-Type', inline.media_type)}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{_bare('Content-ID', inline.cid)}>\r\n"
        f'Content-Disposition: inline; filename="{_file_name(inline)}"\r\n'
    )
    return _Part(fields.encode(), _lines_of(base64.b64encode(inline.content)))


def _file_name(inline: Inline) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", inline.filename)[:64] or "picture"


def _multipart(subtype: str, parts: Sequence[_Part], parameter: str = "") -> _Part:
    """Joins parts (RFC 2046 §5.1). The boundary comes from the content, so equal input gives equal bytes."""
    digest = hashlib.sha256(b"".join(part.fields + part.octets for part in parts)).hexdigest()[:32]
    boundary = f"=_{digest}"  # "=_" occurs in neither transfer encoding
    octets, patches = bytearray(), list[Patch]()
    for part in parts:
        octets += f"--{boundary}\r\n".encode() + part.fields + b"\r\n"
        patches += [_moved(patch, len(octets)) for patch in part.patches]
        octets += part.octets + b"\r\n"
    octets += f"--{boundary}--\r\n".encode()
    more = f";\r\n {parameter}" if parameter else ""
    fields = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{more}\r\n'
    return _Part(fields.encode(), bytes(octets), tuple(patches))


def _moved(patch: Patch, by: int) -> Patch:
    return Patch(patch.parts, patch.encoded, tuple((at + by, start, end) for at, start, end in patch.pieces))


# Transfer encodings: (name, octets, patches)


def _quoted_printable(content: bytes) -> tuple[str, bytes, tuple[Patch, ...]]:
    """RFC 2045 §6.7, with dots and "From " at the start of a line encoded too, and white space as DKIM leaves it."""
    octets, places = bytearray(), list[int]()
    for line in content.split(b"\r\n"):
        start = len(octets)
        for index, byte in enumerate(line):
            unit = _unit(byte, octets[-1:], last=index == len(line) - 1)
            if len(octets) - start + len(unit) > _LINE - 1:
                octets += b"=\r\n"
                start = len(octets)
                unit = _unit(byte, b"\n", last=index == len(line) - 1)
            places.append(len(octets))
            octets += unit
        places += (len(octets), len(octets) + 1)
        octets += b"\r\n"
    patches = (Patch((slot,), False, _runs(places[at : at + WIDTH])) for slot, at in _slots_in(content))
    return "quoted-printable", bytes(octets[:-2]), tuple(patches)


def _unit(byte: int, before: bytes | bytearray, *, last: bool) -> bytes:
    """One octet, encoded or as itself. A space as itself has no space beside it and ends no line; a tab is encoded."""
    literal = (33 <= byte <= 126 and byte != ord("=")) or (byte == ord(" ") and before != b" " and not last)
    if literal and not (before in (b"", b"\n") and byte in b".F"):
        return bytes((byte,))
    return b"=%02X" % byte


def _runs(places: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Consecutive places as pieces."""
    runs, start = list[tuple[int, int, int]](), 0
    for index in range(1, len(places) + 1):
        if index == len(places) or places[index] != places[index - 1] + 1:
            runs.append((places[start], start, index))
            start = index
    return tuple(runs)


def _base64(content: bytes) -> tuple[str, bytes, tuple[Patch, ...]]:
    """RFC 2045 §6.8; a patch covers whole groups of three octets."""
    patches = []
    for start, end, found in _widened(content):
        parts, at = list[bytes | Slot](), start
        for slot, where in found:
            parts += (content[at:where], slot)
            at = where + WIDTH
        parts.append(content[at:end])
        letters = range(start // 3 * 4, -(-end // 3) * 4)
        patches.append(Patch(tuple(parts), True, _runs([at + at // _LINE * 2 for at in letters])))
    return "base64", _lines_of(base64.b64encode(content)), tuple(patches)


def _widened(content: bytes) -> list[tuple[int, int, list[tuple[Slot, int]]]]:
    """The slots' places widened to 3-byte borders; those that then touch are one."""
    wide = list[tuple[int, int, list[tuple[Slot, int]]]]()
    for slot, at in _slots_in(content):
        start, end = at // 3 * 3, min(-(-(at + WIDTH) // 3) * 3, len(content))
        if wide and start < wide[-1][1]:
            first, _, found = wide.pop()
            wide.append((first, end, [*found, (slot, at)]))
        else:
            wide.append((start, end, [(slot, at)]))
    return wide


def _lines_of(letters: bytes) -> bytes:
    return b"\r\n".join(letters[at : at + _LINE] for at in range(0, len(letters), _LINE))


def _slots_in(content: bytes) -> list[tuple[Slot, int]]:
    found = [(_SLOT_OF[m.group().decode()], m.start()) for m in re.finditer(_MARKERS.pattern.encode(), content)]
    for slot, _ in found:
        if slot in _FREE:
            raise MessageError(f"the slot {slot} can stand in the head only")
    return found


# Values


def _fit(slot: Slot, values: Mapping[Slot, str]) -> bytes:
    value = values.get(slot)
    if value is None:
        raise MessageError(f"the slot {slot} has no value")
    fits = check_header_text(slot, value) if slot in _FREE else _TOKEN.fullmatch(value)
    if not fits:
        raise MessageError(f"the slot {slot} cannot hold {value!r}")
    return value.encode()


@functools.lru_cache(maxsize=1000)
def date(moment: datetime) -> str:
    """RFC 5322 §3.3 date-time, for Slot.DATE."""
    return format_datetime(moment)


def _plain(parts: Sequence[bytes | Slot]) -> list[str | list[str]]:
    return [[part.value] if isinstance(part, Slot) else part.decode("latin-1") for part in parts]


def _parts(plain: Sequence[str | list[str]]) -> tuple[bytes | Slot, ...]:
    return tuple(Slot(part[0]) if isinstance(part, list) else part.encode("latin-1") for part in plain)
