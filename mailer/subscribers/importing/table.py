"""A file as rows of cells, in constant memory, whatever its octets are.

What a quote that is never closed would swallow is read again, a line at a time: a broken row costs itself and no other.
"""

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mailer.errors import MailerError
from mailer.subscribers.importing.encoding import Encoding, encoding_of

LONGEST = 100_000  #: characters of one row
TALLEST = 100  #: lines of one row
SAMPLE_ROWS = 200
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


class TableError(MailerError):
    """The file cannot be read as a table; the message says why."""


@dataclass(frozen=True)
class Row:
    """`cells`, or why there are none."""

    line: int  #: where it begins in the file, from 1
    cells: Sequence[str]
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """How a file is read."""

    path: Path
    size: int  #: octets
    encoding: Encoding
    delimiter: str | None  #: None: one cell a line
    header: Sequence[str]  #: "1", "2" … where the file has none
    has_header: bool
    sample: Sequence[Row]  #: the first rows after the header

    def rows(self) -> "Rows":
        """Opens the file. To be closed."""
        return Rows(self)


def open_table(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Looks at a file: its encoding, its delimiter, its header. Raises TableError."""
    try:
        if not path.is_file():
            raise TableError(f"{path}: {'is not a file' if path.exists() else 'No such file'}.")
        size = path.stat().st_size
        found = Encoding(_known(encoding)) if encoding else encoding_of(path)
        with _text(path, found) as file:
            start = list(islice(iter(lambda: file.readline(LONGEST), ""), 2 * SAMPLE_ROWS))
    except OSError as error:
        raise TableError(f"{path}: {error.strerror}.") from None
    said = _SEPARATOR.match(start[0]) if start else None
    if delimiter is None:
        delimiter = said[1] if said else _delimiter(start)
    with Rows(_Raw(path, found, delimiter)) as rows:
        sample = [row for row in islice(rows, SAMPLE_ROWS + 1) if row.cells]
    if not sample:
        raise TableError(f"{path}: is empty.")
    has_header = not any("@" in cell for cell in sample[0].cells) and len(sample) > 1
    width = max(len(row.cells) for row in sample)
    names = [cell.strip() for cell in sample[0].cells] if has_header else []
    header = [name or str(number) for number, name in enumerate([*names, *[""] * (width - len(names))], 1)]
    return Table(
        path=path,
        size=size,
        encoding=found,
        delimiter=delimiter,
        header=header,
        has_header=has_header,
        sample=sample[has_header:],
    )


_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class _Raw:
    path: Path
    encoding: Encoding
    delimiter: str | None
    has_header: bool = False


class Rows:
    """The rows of a table, without the header and without empty ones."""

    def __init__(self, table: Table | _Raw) -> None:
        try:
            self._binary = table.path.open("rb")
        except OSError as error:
            raise TableError(f"{table.path}: {error.strerror}.") from None
        self._delimiter, self._skips = table.delimiter, table.has_header
        self._path = table.path
        self._lines = _Lines(io.TextIOWrapper(self._binary, table.encoding.name, errors="replace", newline=""))
        self._reader = csv.reader(self._lines, delimiter=self._delimiter or ",", strict=True)

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.text.close()

    @property
    def octets(self) -> int:
        """How much of the file has been read."""
        return self._binary.tell()

    def __iter__(self) -> Iterator[Row]:
        try:
            for row in self._every():
                if row.line == 1 and "".join(row.cells).lower().startswith("sep=") and len(row.cells) < 3:
                    continue
                if not row.problem and not any(map(str.strip, row.cells)):
                    continue
                if self._skips:
                    self._skips = False
                    continue
                yield row
        except OSError as error:
            raise TableError(f"{self._path}: {error.strerror}.") from None

    def _every(self) -> Iterator[Row]:
        while True:
            line = self._lines.begin()
            try:
                cells = [_unquoted(next(self._lines))] if self._delimiter is None else next(self._reader)
            except StopIteration:
                return
            except (csv.Error, _TooLong):
                yield self._mended(line)
            else:
                yield Row(line, cells)

    def _mended(self, line: int) -> Row:
        """The row's first line by itself. The others are read again."""
        first = self._lines.back()
        if len(first) >= LONGEST:
            return Row(line, (), f"the line is longer than {LONGEST:,} characters")
        try:
            return Row(line, next(csv.reader([first], delimiter=self._delimiter or ","), []))
        except csv.Error:
            return Row(line, (), "its quotes and delimiters cannot be understood")


class _TooLong(Exception):
    pass


class _Lines:
    """Lines for the reader of rows, which can be taken back."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text = text
        self._number = 0
        self._taken, self._waiting, self._length = list[str](), deque[str](), 0

    def begin(self) -> int:
        """A row begins. Returns its line number."""
        self._taken.clear()
        self._length = 0
        return self._number + 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._read()
        if not line:
            raise StopIteration
        self._number += 1
        self._taken.append(line)
        self._length += len(line)
        if len(self._taken) > TALLEST or self._length >= LONGEST:
            raise _TooLong
        return line

    def _read(self) -> str:
        line = self.text.readline(LONGEST)
        if len(line) == LONGEST and not line.endswith(("\n", "\r")):
            while (rest := self.text.readline(LONGEST)) and not rest.endswith(("\n", "\r")):
                pass
        return line

    def back(self) -> str:
        """Takes back all lines of the row but the first, which it returns."""
        first, *others = self._taken
        self._waiting.extendleft(reversed(others))
        self._number -= len(others)
        return first


def _text(path: Path, encoding: Encoding) -> io.TextIOWrapper:
    return path.open(encoding=encoding.name, errors="replace", newline="")


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        raise TableError(f"There is no encoding {encoding!r}. Write utf-8, windows-1251, utf-16 …") from None
    return encoding


def _delimiter(lines: Sequence[str]) -> str | None:
    """The one by which most rows have the same number of cells; of several, the one that makes more of them."""
    best: tuple[float, int] = (0.5, 1)
    found = None
    for each in DELIMITERS:
        widths = Counter(line.count(each) + 1 for line in map(_without_quoted, lines) if line.strip())
        if widths:
            width, rows = widths.most_common(1)[0]
            if width > 1 and (rows / widths.total(), width) > best:
                best, found = (rows / widths.total(), width), each
    return found


def _without_quoted(line: str) -> str:
    return re.sub(r'"[^"]*"', "", line)


def _unquoted(line: str) -> str:
    bare = line.strip()
    return bare[1:-1].replace('""', '"') if len(bare) > 1 and bare[0] == bare[-1] == '"' else bare
