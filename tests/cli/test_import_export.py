"""mailer subscribers import, export: what is shown, asked, reported and written."""

import csv
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from bench.processes import ROOT
from mailer.cli.shared import hashed, installation, parsed
from mailer.database import Database
from mailer.subscribers import suppression
from mailer.tables import Suppression, SuppressionReason
from tests.cli.conftest import Type

FILE = (
    "Email,Status\nanna@far.example.org,active\nleft@far.example.org,unsubscribed\n+x@far.example.org,active\nnobody,\n"
)
EVIDENCE = ("--evidence", "=the form on old.example.org, 2019")


@pytest.fixture
def ready(installed: Type, tmp_path: Path) -> Type:
    """With a file of readers."""
    (tmp_path / "list.csv").write_text(FILE)
    return installed


def rows(of: str) -> list[dict[str, str]]:
    return list(csv.DictReader(of.splitlines()))


def test_a_file_is_shown_and_nothing_is_done_before_a_yes(
    ready: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("subscribers", "import", "list.csv", "--as", "confirmed", "--edition", "en", *EVIDENCE)
    typed = ready(*command)
    assert typed.status == 1
    for words in ("utf-8, comma", "Email", "address", "Status", "status", "anna@far.example.org", "edition en"):
        assert words in typed.err
    assert typed.err.endswith(
        "mailer: Nothing was done. Look with --dry-run, then say --yes: there is nobody to ask here.\n"
    )
    foreseen = ready(*command, "--dry-run")
    assert [(row["line"], row["address"], row["fate"]) for row in rows(foreseen.out)] == [
        ("2", "anna@far.example.org", "added"),
        ("3", "left@far.example.org", "left"),
        ("4", "'+x@far.example.org", "added"),
        ("5", "nobody", "invalid"),
    ]
    assert ready("subscribers", "export", "-").lines[1:] == []
    done = ready(*command, "--yes", "--report", "-")
    assert done.out == foreseen.out
    assert "2  added      read it from now on" in done.err
    summary = json.loads(ready(*command, "--yes", "--json", "--report", "fates.jsonl").out)
    assert (summary["rows"], summary["present"], summary["invalid"]) == (4, 3, 1)
    fates = [json.loads(line) for line in (tmp_path / "fates.jsonl").read_text().splitlines()]
    assert fates[0] == {"line": 2, "address": "anna@far.example.org", "fate": "present", "reason": "is confirmed here"}
    assert stat.S_IMODE((tmp_path / "fates.jsonl").stat().st_mode) == 0o600


def test_on_a_terminal_the_operator_is_asked(ready: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.cli.importing._is_asked", lambda: True)
    command = ("subscribers", "import", "list.csv", "--as", "pending", "--edition", "en")
    assert ready(*command, stdin="n\n").err.endswith("Say what a column holds with --column ROLE=COLUMN.\n")
    assert "The last confirmation mail is due" in ready(*command, stdin="y\n").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list.csv", "--as", "confirmed", "--edition", "en"], "Readers are confirmed only with evidence"),
        (
            ["list.csv", "--as", "pending"],
            "Which edition? Say --edition CODE or --column edition=NAME. Editions: en, ru",
        ),
        (["list.csv", "--as", "pending", "--edition", "fr"], "There is no edition 'fr'. Editions: en, ru"),
        (["absent.csv", "--as", "pending"], "absent.csv: No such file."),
        (["list.csv", "--as", "pending", "--encoding", "x"], "There is no encoding 'x'"),
        (["list.csv", "--as", "pending", "--delimiter", "x"], "There is no delimiter 'x'. Delimiters: comma"),
        (["list.csv", "--as", "pending", "--column", "address=Mail"], "list.csv: there is no column 'Mail'"),
        (["list.csv", "--as", "pending", "--edition-name", "English"], "There is no edition 'English'"),
    ],
)
def test_what_is_missing_is_a_sentence(ready: Type, words: list[str], said: str) -> None:
    typed = ready("subscribers", "import", *words, "--yes")
    assert (typed.status, typed.err.startswith(f"mailer: {said}")) == (1, True), typed.err


def test_what_was_exported_is_read_back_to_the_same_state(ready: Type, tmp_path: Path) -> None:
    assert (
        ready("subscribers", "import", "list.csv", "--as", "confirmed", "--edition", "en", *EVIDENCE, "--yes").status
        == 0
    )
    (tmp_path / "more.csv").write_text("email,edition\nanna@far.example.org,be-ru\nwaits@far.example.org,ru\n")
    assert ready("subscribers", "import", "more.csv", "--as", "pending", "--yes").status == 0
    assert ready("subscribers", "remove", "waits@far.example.org").status == 0
    (tmp_path / "more.csv").write_text("email,edition\nasked@far.example.org,ru\n")
    assert ready("subscribers", "import", "more.csv", "--as", "pending", "--yes").status == 0
    assert ready("suppression", "add", "+x@far.example.org", "stranger@far.example.org", "--note", "@phone").status == 0
    erased = parsed("erased@far.example.org")
    app = installation()
    with app.database.write() as session:
        suppression.list_address(
            session,
            erased,
            hashed(app, erased),
            SuppressionReason.ERASED,
            note="",
            by="reader",
            now=app.clock(),
        )
        session.flush()
        session.connection().execute(sa.text("UPDATE suppression SET address = NULL WHERE reason = 'erased'"))
        for_one = Suppression(
            address_hash=hashed(app, parsed("one@far.example.org")),
            address="one@far.example.org",
            publication_id=1,
            reason=SuppressionReason.COMPLAINT,
            added_at=app.clock(),
            added_by="mailer",
        )
        session.add(for_one)
        pause = sa.text(
            "UPDATE subscription SET paused_until = '2031-05-01 10:00:00.000000' WHERE status = 'confirmed'"
        )
        session.connection().execute(pause)
    app.database.engine.dispose()
    assert ready("subscribers", "export", "readers.csv").status == 0
    assert ready("subscribers", "export", "list-of-suppressed.csv", "--what", "suppressed").status == 0
    before = state(ready)
    assert {row["paused_until"] for row in before[0]} == {"", "2031-05-01T10:00:00Z"}
    assert {row["publication"] for row in before[1]} == {"", "belarus"}
    assert {row["status"] for row in before[0]} == {"confirmed", "pending", "unsubscribed", "suppressed"}

    (tmp_path / "mailer.db").rename(tmp_path / "before.db")
    assert ready("init").status == 0
    assert ready("subscribers", "import", "list-of-suppressed.csv", "--as", "suppressed", "--yes").status == 0
    typed = ready("subscribers", "import", "readers.csv", "--as", "own", "--yes")
    assert typed.status == 0, typed.err
    assert state(ready) == before
    assert ready("log", "--json").out == ""  # nobody is mailed for being brought back
    for address in ("erased@far.example.org", "stranger@far.example.org", "one@far.example.org"):
        (tmp_path / "more.csv").write_text(f"email\n{address}\n")
        again = ready(
            "subscribers", "import", "more.csv", "--as", "pending", "--edition", "en", "--yes", "--report", "-"
        )
        assert rows(again.out)[0]["fate"] == "kept-out"


def test_no_export_of_those_who_left_becomes_a_list_of_readers(ready: Type) -> None:
    ready("subscribers", "import", "list.csv", "--as", "confirmed", "--edition", "en", *EVIDENCE, "--yes")
    ready("suppression", "add", "stranger@far.example.org")
    for what, refused in (("consents", "confirmed pending suppressed own"), ("suppressed", "confirmed pending own")):
        assert ready("subscribers", "export", f"{what}.csv", "--what", what).status == 0
        for mode in refused.split():
            typed = ready("subscribers", "import", f"{what}.csv", "--as", mode, "--edition", "en", *EVIDENCE, "--yes")
            assert typed.status == 1
            assert f"mailer: {what}.csv is {'evidence' if what == 'consents' else 'a suppression list'}" in typed.err
    assert "--as own." in ready("subscribers", "import", "consents.csv", "--as", "confirmed", "--yes").err


def state(ready: Type) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Subscriptions and the suppression list, without when and by whom they were written."""
    told = []
    for what in ("subscribers", "suppressed"):
        found = rows(ready("subscribers", "export", "-", "--what", what).out)
        for row in found:
            for name in ("created_at", "changed_at", "added_at", "added_by"):
                row.pop(name, None)
        told.append(sorted(found, key=str))
    return told[0], told[1]


def test_an_export_is_whole_for_the_operators_eyes_and_harmless(ready: Type, tmp_path: Path) -> None:
    ready("subscribers", "import", "list.csv", "--as", "confirmed", "--edition", "en", *EVIDENCE, "--yes")
    assert ready("subscribers", "export", "out.csv").status == 0
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    found = rows((tmp_path / "out.csv").read_text())
    assert [row["address"] for row in found] == ["anna@far.example.org", "left@far.example.org", "'+x@far.example.org"]
    assert found[0]["evidence"] == "'=the form on old.example.org, 2019"
    assert ready("subscribers", "export", "out.csv").err == (
        "mailer: out.csv is there already. Name another file, or say --force.\n"
    )
    assert ready("subscribers", "export", "out.csv", "--force", "--form", "mailchimp").status == 0
    assert [row["Email Address"] for row in rows((tmp_path / "out.csv").read_text())] == [
        "anna@far.example.org",
        "'+x@far.example.org",
    ]
    assert ready("subscribers", "export", "-", "--form", "listmonk").lines[0] == "email,name,attributes"
    assert ready("subscribers", "export", "no/where.csv").err.startswith("mailer: no/where.csv: cannot be written")
    assert ready("subscribers", "export", "-", "--form", "listmonk", "--what", "consents").status == 1
    events = [json.loads(line) for line in ready("subscribers", "export", "-", "--what", "consents", "--json").lines]
    assert [(each["address"], each["event"]) for each in events] == [
        ("anna@far.example.org", "imported"),
        ("left@far.example.org", "left"),
        ("+x@far.example.org", "imported"),
    ]
    assert not list(tmp_path.glob(".*.part"))


def test_an_export_that_fails_leaves_what_was_there(
    ready: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.csv").write_text("before")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    typed = ready("subscribers", "export", "out.csv", "--force")
    assert typed.err == "mailer: out.csv: cannot be written: No space left on device.\n"
    assert (tmp_path / "out.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*.part"))


def test_killed_in_the_middle_it_goes_on_and_does_nothing_twice(
    ready: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 2_500
    (tmp_path / "many.csv").write_text("email\n" + "".join(f"r{number}@far.example.org\n" for number in range(many)))
    words = ["subscribers", "import", "many.csv", "--as", "pending", "--edition", "en", "--yes"]
    database = Database(f"sqlite:///{tmp_path / 'mailer.db'}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mailer", *words],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
    )
    with process:
        while counted(database, "subscriber") < 500:
            assert process.poll() is None, process.communicate()
        with database.write():  # it cannot end meanwhile
            process.send_signal(signal.SIGKILL)
            process.wait()
            met = counted(database, "subscriber")
    assert process.returncode == -signal.SIGKILL
    assert 500 <= met < many
    assert [counted(database, table) for table in ("subscription", "consent", "delivery")] == [met] * 3
    summary = json.loads(ready(*words, "--json").out)
    assert (summary["present"], summary["asked"]) == (met, many - met)
    assert [counted(database, table) for table in ("subscriber", "subscription", "consent", "delivery")] == [many] * 4
    with database.read() as session:
        moments = session.connection().exec_driver_sql("SELECT count(DISTINCT due_at) FROM delivery").scalar_one()
    assert moments == many
    database.engine.dispose()


def counted(database: Database, table: str) -> int:
    with database.read() as session:
        return int(session.connection().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
