"""Which column holds what: guessed by the header's words and by what stands below, shown, corrected by the operator."""

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailer.subscribers.address import AddressError, parse
from mailer.subscribers.formulas import undone
from mailer.subscribers.importing.table import Row, Table, TableError


class Role(enum.StrEnum):
    """What a column can hold. Everything else is passed over."""

    ADDRESS = "address"
    PUBLICATION = "publication"  #: of our own export
    EDITION = "edition"
    LANGUAGE = "language"
    STATUS = "status"  #: words
    RECEIVES = "receives"  #: yes or no
    PAUSED = "paused"  #: until when no issue is wanted; of our own export
    LEFT = "left"  #: when the reader left, or yes
    DEAD = "dead"  #: when its mail came back, or yes
    SINCE = "since"  #: when consent was given
    NETWORK = "network"  #: from where
    EVIDENCE = "evidence"  #: of consent, in words
    REASON = "reason"  #: of a suppression
    NOTE = "note"  #: of a suppression
    HASH = "hash"  #: of an erased address, keyed


# Headers without anything but letters and digits. The first that is found is taken, for these roles more than one.
_NAMES: Mapping[Role, Sequence[str]] = {
    Role.ADDRESS: (
        *(
            "email",
            "emailaddress",
            "address",
            "mail",
            "emailaddresses",
            "subscriberemail",
            "contactemail",
            "primaryemail",
        ),
        *("subscriber", "member", "user", "электроннаяпочта", "адресэлектроннойпочты", "почта", "адрес", "emailадрес"),
        *("электронныйадрес", "электроннаяпошта", "пошта", "адрас", "эл почта", "элпочта"),
    ),
    Role.PUBLICATION: ("publication",),
    Role.EDITION: ("edition", "editions", "выпуск", "рассылка", "издание", "выданне"),
    Role.LANGUAGE: ("language", "lang", "locale", "preferredlanguage", "язык", "мова"),
    Role.STATUS: ("status", "subscriptionstatus", "memberstatus", "deliverystatus", "state", "статус", "состояние"),
    Role.RECEIVES: ("subscribedtoemails", "subscribed", "receivesemail", "emailoptin", "optedin", "подписан"),
    Role.LEFT: ("unsubtime", "unsubscribedat", "deletedat", "unsubscribetime", "optedoutat", "optouttime"),
    Role.DEAD: ("cleantime", "cleanedat", "bouncedat"),
    Role.SINCE: (
        *("confirmtime", "confirmedat", "optintime", "subscribedat", "since", "createdat", "insertedat", "signupdate"),
        *("dateadded", "created", "joined", "датаподписки", "датападпіскі"),
    ),
    Role.PAUSED: ("pauseduntil",),
    Role.NETWORK: ("network", "confirmip", "optinip", "ip", "ipaddress", "signupip"),
    Role.EVIDENCE: ("evidence", "consent", "согласие", "згода"),
    Role.REASON: ("suppressionreason", "reason"),
    Role.NOTE: ("suppressionnote",),
    Role.HASH: ("addresshash",),
}
SEVERAL = frozenset({Role.STATUS, Role.RECEIVES, Role.LEFT, Role.DEAD})

Columns = Mapping[Role, Sequence[int]]


@dataclass(frozen=True)
class Said:
    """--column ROLE=HEADER; without a header the role has no column."""

    role: Role
    column: str

    @classmethod
    def parse(cls, text: str) -> "Said":
        role, is_given, column = text.partition("=")
        if not is_given or role.strip() not in list(Role):
            raise TableError(f"--column {text}: write ROLE=COLUMN. Roles: {', '.join(Role)}.")
        return cls(Role(role.strip()), column.strip())


def columns_of(table: Table, said: Sequence[Said] = ()) -> Columns:
    """Raises TableError where no column holds addresses, or one that was said is not there."""
    found = dict[Role, list[int]]()
    for role in _NAMES:
        places = _named(table, role) if table.has_header else []
        if role is Role.ADDRESS:
            places = _of_addresses(table, places)
        if places:
            found[role] = places if role in SEVERAL else places[:1]
    for role in {each.role for each in said}:
        found.pop(role, None)
    for each in said:
        if each.column:
            found.setdefault(each.role, []).append(_place(table, each.column))
    if Role.ADDRESS not in found and Role.HASH not in found:
        names = ", ".join(table.header[:20])
        raise TableError(
            f"{table.path}: no column holds addresses. Say which: --column address=NAME. Columns: {names}."
        )
    return found


def _named(table: Table, role: Role) -> list[int]:
    headers = [_bare(name) for name in table.header]
    return [place for name in _NAMES[role] for place, header in enumerate(headers) if header == name]


def _of_addresses(table: Table, named: Sequence[int]) -> list[int]:
    """By content, and by name only where several fit or there is no content."""
    counts = [sum(is_address(cell(row, place)) for row in table.sample) for place in range(len(table.header))]
    filled = [sum(bool(cell(row, place)) for row in table.sample) for place in range(len(table.header))]
    fitting = [place for place, count in enumerate(counts) if count and count * 2 >= filled[place]]
    by_name = [place for place in named if counts[place]]
    by_content = sorted(fitting, key=lambda place: -counts[place])
    return by_name or by_content or (list(named) if not any(filled[place] for place in named) else [])


def _place(table: Table, column: str) -> int:
    for place, name in enumerate(table.header):
        if name.casefold() == column.casefold():
            return place
    if column.isdecimal() and 1 <= int(column) <= len(table.header):
        return int(column) - 1
    raise TableError(f"{table.path}: there is no column {column!r}. Columns: {', '.join(table.header[:20])}.")


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


# Cells


def cell(row: Row, place: int) -> str:
    """What stands there, without what made it harmless; "" in a row that is too short. PostgreSQL holds no NUL."""
    return undone(row.cells[place].strip()).replace("\0", "\N{REPLACEMENT CHARACTER}") if place < len(row.cells) else ""


def mailbox(text: str) -> str:
    """The address in a cell that also holds a name: Anna <anna@example.org>."""
    bare = text.strip()
    found = _ANGLE.search(bare) if bare.endswith(">") else None
    return (found[1] if found else bare).removeprefix("mailto:")


_ANGLE = re.compile(r"<([^<>]*)>$")


def is_address(text: str) -> bool:
    if "@" not in text:
        return False
    try:
        parse(mailbox(text))
    except AddressError:
        return False
    return True
