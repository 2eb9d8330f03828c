"""The fields of a delivery report (RFC 3464, RFC 6533) and of a complaint (RFC 5965)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailer.inbound import address
from mailer.inbound.diagnosis import diagnose
from mailer.inbound.incoming import Action, Recipient
from mailer.inbound.mime import decoded_words

GROUPS = 1000  #: recipients of one report
FIELD = 4000

_FIELD = re.compile(r"^([A-Za-z][\w-]{1,60})[ \t]*:[ \t]*(.*)$")
_NAMES_RECIPIENT = frozenset({"final-recipient", "original-recipient", "x-actual-recipient"})
_PER_RECIPIENT = frozenset({"action", "status", "diagnostic-code", "remote-mta"})


@dataclass
class Group:
    """Fields between two empty lines; the first of a name counts, except where all are wanted."""

    fields: dict[str, str] = field(default_factory=dict)
    every: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        self.every.append((name, value))
        self.fields.setdefault(name, value)

    @property
    def names_recipient(self) -> bool:
        return not _NAMES_RECIPIENT.isdisjoint(self.fields)


def groups(text: str) -> list[Group]:
    """The groups of fields in `text`; lines that are no field are passed over."""
    return _joined(list(_raw_groups(text)))


def _raw_groups(text: str) -> Iterator[Group]:
    group, name, value = Group(), "", ""
    count = 0
    for line in (*text.split("\n"), ""):
        if line[:1] in (" ", "\t") and line.strip() and name:
            value = (value + " " + line.strip())[:FIELD]
            continue
        if name:
            group.add(name, value)
            name = ""
        found = _FIELD.match(line)
        if found:
            name, value = found.group(1).lower(), found.group(2).strip()[:FIELD]
        if (not line.strip() or (name == "final-recipient" and name in group.fields)) and group.every:
            yield group
            group, count = Group(), count + 1
            if count > 4 * GROUPS:
                return
    if group.every:
        yield group


def _joined(found: list[Group]) -> list[Group]:
    """An empty line between the fields of one recipient does not part them."""
    joined: list[Group] = []
    for group in found:
        last = joined[-1] if joined else None
        lacks = last is not None and last.names_recipient and _PER_RECIPIENT.isdisjoint(last.fields)
        orphan = not group.names_recipient and not _PER_RECIPIENT.isdisjoint(group.fields)
        if last is not None and lacks and orphan:
            for name, value in group.every:
                last.add(name, value)
        else:
            joined.append(group)
    return joined


def reporter(found: list[Group]) -> str | None:
    """The host that reports."""
    return next((_host(group.fields["reporting-mta"]) for group in found if "reporting-mta" in group.fields), None)


def recipients(found: list[Group], around: str, *, lone: str | None = None) -> list[Recipient]:
    """The recipients of a report.

    `around`: its human text. `lone`: the address to take where a report's only recipient has none that can be read.
    """
    named = [group for group in found if group.names_recipient][:GROUPS]
    if not named and lone:
        named = [group for group in found if {"action", "status"} & group.fields.keys()][:1]
    return [
        recipient
        for group in named
        if (recipient := _recipient(group.fields, around if len(named) == 1 else "", lone if len(named) == 1 else None))
    ]


def _recipient(fields: dict[str, str], around: str, lone: str | None) -> Recipient | None:
    final = address.one(fields.get("final-recipient", ""))
    original = address.one(fields.get("original-recipient", ""))
    routed = re.search(r";\s*@", fields.get("final-recipient", "")) is not None
    inner = final is not None and "." not in final.rpartition("@")[2]  # a host inside; no mail of ours goes there
    actual = address.one(fields.get("x-actual-recipient", ""))
    named = (original if routed or inner else None) or final or actual or original or lone
    if named is None:
        return None
    action = _action(fields.get("action", ""))
    status = _status(fields.get("status", ""))
    if action is None:
        action = Action.DELIVERED if (status or "")[:1] == "2" else Action.FAILED
    code = fields.get("diagnostic-code") or fields.get("x-supplementary-info", "")
    words = decoded_words(re.sub(r"^\s*[\w-]{1,40}\s*;\s*", "", code)) or _comment(fields.get("status", ""))
    found = diagnose(words, status=status, action=action, around=around)
    return Recipient(
        address=named,
        original=original if original != named else None,
        permanent=found.permanent,
        category=found.category,
        action=action,
        status=found.status,
        diagnostic=found.diagnostic,
        server=_host(fields.get("remote-mta", "")),
    )


def _action(value: str) -> Action | None:
    word = re.match(r"\s*([a-z]+)", value.lower())
    words = {"failure": "failed", "fail": "failed", "delay": "delayed", "bounced": "failed"}
    try:
        return Action(words.get(word.group(1), word.group(1))) if word else None
    except ValueError:
        return None


def _status(value: str) -> str | None:
    found = re.search(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])", value)
    return ".".join(str(int(part)) for part in found.groups()) if found else None


def _comment(value: str) -> str:
    found = re.search(r"\((.{1,1000}?)\)\s*$", value)
    return found.group(1) if found else ""


def _host(value: str) -> str | None:
    bare = value.partition(";")[2] if ";" in value else value
    words = bare.split()
    return words[0].strip("()[]")[:255] or None if words else None
