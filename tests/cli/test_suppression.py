"""mailer suppression: who gets no mail, and why."""

import getpass
import json
from pathlib import Path

from sqlmodel import select

from mailer.clock import system_clock
from mailer.database import Database
from mailer.tables import Publication, Suppression, SuppressionReason
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


def test_a_list_is_imported_and_what_cannot_be_read_is_named(installed: Type, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('a@far.example,bounced\n\n"b@far.example"\nnobody\n')
    typed = installed("suppression", "import", "list.csv")
    assert typed.status == 0
    assert "2  suppressed get no mail from now on" in typed.err
    assert "line 4: nobody: This is not an e-mail address" in typed.err
    assert {json.loads(line)["note"] for line in installed("suppression", "list", "--json").lines} == {
        "import list.csv"
    }
    assert "2  present    were there already" in installed("suppression", "import", "list.csv").err
    assert installed("suppression", "import", "absent.csv").err == "mailer: absent.csv: No such file.\n"


def test_an_entry_that_counts_for_one_publication_names_it(installed: Type, tmp_path: Path) -> None:
    installed("suppression", "add", "everywhere@far.example")
    database = Database(f"sqlite:///{tmp_path / 'mailer.db'}")
    with database.write() as session:
        publication = session.exec(select(Publication)).one()
        here = Suppression(
            address_hash="hash",
            address="here@far.example",
            publication_id=publication.id,
            reason=SuppressionReason.COMPLAINT,
            added_at=system_clock(),
            added_by="report",
        )
        session.add(here)
    rows = [json.loads(line) for line in installed("suppression", "list", "--json").lines]
    assert [row["publication"] for row in rows] == [None, "belarus"]
    said = installed("suppression", "list").lines
    assert [" belarus " in line for line in said] == [False, True]
