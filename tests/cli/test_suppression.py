"""mailer suppression: who gets no mail, and why."""

import getpass
import json
from pathlib import Path

from tests.cli.conftest import Type


def test_an_address_is_added_found_and_lifted(installed: Type) -> None:
    assert installed("suppression", "list").out == "Nobody is on the list.\n"
    assert (
        installed("suppression", "add", "One@far.example", "--note", "asked by phone").out
        == "Added 1; 0 stood there.\n"
    )
    assert installed("suppression", "add", "one@FAR.example", "two@far.example").out == "Added 1; 1 stood there.\n"
    (found,) = map(json.loads, installed("suppression", "list", "--address", "ONE@", "--json").lines)
    assert (found["address"], found["reason"], found["note"]) == ("One@far.example", "operator", "asked by phone")
    assert found["added_by"] == getpass.getuser()
    assert installed("suppression", "lift", "one@far.example", "nobody@far.example").out == "Lifted 1 of 2.\n"
    assert len(installed("suppression", "list").lines) == 1
    rows = [json.loads(line) for line in installed("suppression", "list", "--all", "--json").lines]
    assert [row["lifted_by"] for row in rows] == [getpass.getuser(), None]


def test_a_list_is_imported_whole_or_not_at_all(installed: Type, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('a@far.example,bounced\n\n"b@far.example"\nnobody\n')
    typed = installed("suppression", "import", "list.csv")
    assert typed.status == 1
    assert typed.err.startswith("mailer: list.csv, line 4: 'nobody': This is not an e-mail address")
    assert installed("suppression", "list").out == "Nobody is on the list.\n"
    (tmp_path / "list.csv").write_text('a@far.example,bounced\n\n"b@far.example"\n')
    assert installed("suppression", "import", "list.csv").out == "Added 2; 0 stood there.\n"
    assert {json.loads(line)["note"] for line in installed("suppression", "list", "--json").lines} == {
        "imported from list.csv"
    }
    assert installed("suppression", "import", "absent.csv").err == "mailer: absent.csv: No such file or directory.\n"
