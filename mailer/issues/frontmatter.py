"""The head of an issue file: YAML between two lines of `---`, read with the line of everything in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import yaml

from mailer.issues.problems import Problem

KNOWN = ("period", "title", "subject", "preheader", "private")
_YES_OR_NO = {"true": True, "false": False}
_FENCE = re.compile(r"---[ \t]*")
_PERIOD = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{4}-[0-9]{2}-[0-9]{2})")
_EXAMPLE = "period: 2017-04-03/2017-04-09"


@dataclass(frozen=True, kw_only=True)
class FrontMatter:
    first_day: date
    last_day: date
    title: str
    subject: str | None
    preheader: str | None
    private: bool


@dataclass(frozen=True)
class _Entry:
    text: str
    line: int


def split(source: str) -> tuple[str, str] | None:
    """The front matter and the rest, each padded so that line numbers stay those of the file. None without fences."""
    lines = source.split("\n")
    if not _FENCE.fullmatch(lines[0]):
        return None
    closing = next((index for index, line in enumerate(lines[1:], 1) if _FENCE.fullmatch(line)), None)
    if closing is None:
        return None
    return "\n".join(["", *lines[1:closing]]), "\n" * (closing + 1) + "\n".join(lines[closing + 1 :])


def read(yaml_text: str, file: str, problems: list[Problem]) -> FrontMatter | None:
    """Reads what split() cut off. Appends to `problems`; None where there are any."""
    before = len(problems)
    entries = _entries(yaml_text, file, problems)
    if entries is None:
        return None
    for name, mend in (("period", _EXAMPLE), ("title", "title: Situation in Belarus")):
        if name not in entries:
            problems.append(Problem(file, 1, f"the {name} is missing", f"Add a line such as {mend}"))
    for name, entry in entries.items():
        if entry is not None:
            problems.extend(_wrong_with(name, entry, file))
    if len(problems) > before:
        return None
    texts = {name: entry.text for name, entry in entries.items() if entry and entry.text}
    days = _days(texts["period"])
    assert days is not None
    return FrontMatter(
        first_day=days[0],
        last_day=days[1],
        title=texts["title"],
        subject=texts.get("subject"),
        preheader=texts.get("preheader"),
        private=_YES_OR_NO[texts.get("private", "false").lower()],
    )


def _entries(yaml_text: str, file: str, problems: list[Problem]) -> dict[str, _Entry | None] | None:
    """The known entries; None for one that was found wrong, and for all where nothing can be read.

    Composes without constructing: nothing is built from tags, and every node knows its line.
    """
    try:
        root = yaml.compose(yaml_text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        what = getattr(error, "problem", None) or "it is nested or written in a way that YAML does not know"
        mend = "Put the value in quotation marks, or correct the line"
        problems.append(Problem(file, _line_of(error), f"the front matter is not valid YAML: {what}", f"{mend}."))
        return None
    if root is not None and not isinstance(root, yaml.MappingNode):
        mend = f"Write lines such as {_EXAMPLE}"
        problems.append(Problem(file, 2, "the front matter is not a list of keys and values", mend))
        return None
    entries: dict[str, _Entry | None] = {}
    for key, value in root.value if root else ():
        problem = _add(entries, key, value)
        if problem:
            problems.append(Problem(file, key.start_mark.line + 1, *problem))
    return entries


def _add(entries: dict[str, _Entry | None], key: yaml.Node, value: yaml.Node) -> tuple[str, str] | None:
    """Takes one entry in, or says what is wrong with it and how to mend that."""
    if not isinstance(key, yaml.ScalarNode) or key.value not in KNOWN:
        shown = f"{key.value!r:.60}" if isinstance(key, yaml.ScalarNode) else "a list"
        return f"the key {shown} is not known", f"The known ones are {', '.join(KNOWN)}."
    if key.value in entries:
        return f"the key {key.value} stands here a second time", "Keep one."
    if not isinstance(value, yaml.ScalarNode):
        entries[key.value] = None
        return f"the {key.value} is not one line of text", "Put it in quotation marks."
    entries[key.value] = _Entry(" ".join(value.value.split()), value.start_mark.line + 1)
    return None


def _line_of(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark else 1


def _wrong_with(name: str, entry: _Entry, file: str) -> Iterator[Problem]:
    text, line = entry.text, entry.line
    if name == "period":
        days = _days(text)
        if days is None:
            what = f'the period "{text:.60}" is not a date range'
            yield Problem(file, line, what, f"Write it as {_EXAMPLE}")
        elif days[0] > days[1]:
            mend = f"Write it as period: {days[1]}/{days[0]}"
            yield Problem(file, line, f'the period "{text}" ends before it begins', mend)
    elif name == "private":
        if text.lower() not in _YES_OR_NO:
            yield Problem(file, line, f"private is {text!r:.60}, neither true nor false", "Write private: true")
    elif not text and name == "title":
        yield Problem(file, line, "the title is empty", "Write it after the colon.")
    elif "=?" in text or not text.isprintable():  # they become header fields; `=?` begins an encoded word, RFC 2047 §2
        yield Problem(file, line, f"the {name} holds '=?' or a control character", "Take it out.")


def _days(text: str) -> tuple[date, date] | None:
    found = _PERIOD.fullmatch(text)
    try:
        return (date.fromisoformat(found[1]), date.fromisoformat(found[2])) if found else None
    except ValueError:
        return None
