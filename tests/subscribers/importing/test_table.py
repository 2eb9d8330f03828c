"""Files as they come: encodings, delimiters, broken quotes, and octets that are no table at all."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailer.subscribers.importing import table
from mailer.subscribers.importing.encoding import encoding_of
from mailer.subscribers.importing.table import Row, Table, TableError, open_table

RUSSIAN = "Адрес;Имя\r\nivan@example.org;Иван Петров\r\nanna@example.org;Анна, Ёлкина\r\n"


def read(folder: Path, octets: bytes, **said: str) -> tuple[Table, list[Row]]:
    path = folder / "list.csv"
    path.write_bytes(octets)
    found = open_table(path, **said)
    with found.rows() as rows:
        return found, list(rows)


@pytest.mark.parametrize(
    ("encoding", "name", "guessed"),
    [
        ("utf-8", "utf-8", False),
        ("utf-8-sig", "utf-8-sig", False),
        ("utf-16", "utf-16", False),
        ("utf-16-le", "utf-16-le", True),
        ("cp1251", "cp1251", True),
        ("koi8-r", "koi8-r", True),
        ("cp866", "cp866", True),
    ],
)
def test_an_encoding_is_known_or_guessed_and_says_which(
    tmp_path: Path, encoding: str, name: str, guessed: bool
) -> None:
    found, rows = read(tmp_path, RUSSIAN.encode(encoding))
    assert (found.encoding.name, found.encoding.guessed) == (name, guessed)
    assert (found.delimiter, list(found.header)) == (";", ["Адрес", "Имя"])
    assert [list(row.cells) for row in rows] == [
        ["ivan@example.org", "Иван Петров"],
        ["anna@example.org", "Анна, Ёлкина"],
    ]


def test_a_western_file_is_not_taken_for_russian(tmp_path: Path) -> None:
    found, rows = read(tmp_path, "email,name\nrene@example.org,René Müller\n".encode("cp1252"))
    assert (found.encoding.name, rows[0].cells[1]) == ("cp1252", "René Müller")


def test_letters_that_come_late_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    for name in ("utf-8", "cp1251"):
        path.write_bytes(b"email,name\n" + b"a@example.org,A\n" * 100_000 + "b@example.org,Яна".encode(name))
        assert encoding_of(path).name == name


def test_one_damaged_octet_does_not_make_a_file_windows_1251(tmp_path: Path) -> None:
    found, _ = read(tmp_path, RUSSIAN.encode() + b"x@example.org;\xff\r\n")
    assert (found.encoding.name, found.encoding.guessed) == ("utf-8", True)


@pytest.mark.parametrize(
    ("text", "delimiter", "cells"),
    [
        ("email,name\na@x.org,A\n", ",", ["a@x.org", "A"]),
        ("email\tname\na@x.org\tA, B\n", "\t", ["a@x.org", "A, B"]),
        ("sep=;\nemail;name\na@x.org;A\n", ";", ["a@x.org", "A"]),
        ("a@x.org\nb@x.org\n", None, ["a@x.org"]),
        ('"Anna K" <a@x.org>\nB <b@x.org>\n', None, ['"Anna K" <a@x.org>']),
        ("a@x.org\rb@x.org\r", None, ["a@x.org"]),
        ("email,name\na@x.org,A\n,,\n\nb@x.org,B\n", ",", ["a@x.org", "A"]),
    ],
)
def test_a_delimiter_is_found(tmp_path: Path, text: str, delimiter: str | None, cells: list[str]) -> None:
    found, rows = read(tmp_path, text.encode())
    assert (found.delimiter, list(rows[0].cells)) == (delimiter, cells)
    assert len(rows) == len([line for line in text.split() if "@" in line])


def test_a_quote_that_is_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    lines = ["email,name", 'a@x.org,"A', *(f"r{number}@x.org,R" for number in range(500))]
    _, rows = read(tmp_path, "\n".join(lines).encode())
    assert [row.line for row in rows] == list(range(2, 503))
    assert rows[0].cells[0] == "a@x.org"
    assert [row.cells[0] for row in rows[1:]] == [f"r{number}@x.org" for number in range(500)]


def test_a_quoted_cell_may_have_lines(tmp_path: Path) -> None:
    _, rows = read(tmp_path, b'email,note\na@x.org,"one\ntwo"\nb@x.org,B\n')
    assert [(row.line, list(row.cells)) for row in rows] == [(2, ["a@x.org", "one\ntwo"]), (4, ["b@x.org", "B"])]


def test_a_line_without_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LONGEST", 1000)
    _, rows = read(tmp_path, b"a@x.org," + b"x" * 50_000 + b"\nb@x.org,B\n")
    assert [(row.line, bool(row.problem)) for row in rows] == [(1, True), (2, False)]


@pytest.mark.parametrize("octets", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b",,,\n"])
def test_an_empty_file_is_a_sentence(tmp_path: Path, octets: bytes) -> None:
    with pytest.raises(TableError, match=r"list.csv: is empty\."):
        read(tmp_path, octets)


def test_what_is_said_is_checked(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="There is no encoding 'hex'"):
        read(tmp_path, b"a@x.org\n", encoding="hex")
    with pytest.raises(TableError, match="No such file"):
        open_table(tmp_path / "absent.csv")
    with pytest.raises(TableError, match="is not a file"):
        open_table(tmp_path)


ANY = st.binary(max_size=300)
MARKED = st.lists(
    st.sampled_from(
        [b'"', b",", b";", b"\t", b"\n", b"\r", b"\0", b"a@x.org", b"\xff\xfe", "Я".encode(), b"'=1", b"\x85"]
    ),
    max_size=40,
).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=ANY | MARKED)
def test_any_octets_are_rows_or_a_sentence(tmp_path: Path, octets: bytes) -> None:
    try:
        _, rows = read(tmp_path, octets)
    except TableError:
        return
    assert all(row.problem or any(cell.strip() for cell in row.cells) for row in rows)
    assert [row.line for row in rows] == sorted({row.line for row in rows})


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), max_size=20))
def test_what_a_csv_writer_wrote_is_read_as_it_was(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("email", "name"), ("a@x.org", "A"), *cells])
    _, rows = read(tmp_path, file.getvalue().encode(), encoding="utf-8", delimiter=",")
    assert [tuple(row.cells) for row in rows[1:]] == [each for each in cells if any(map(str.strip, each))]
