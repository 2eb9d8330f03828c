"""mailer bounce classify needs nothing but the files."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Type
from tests.inbound.letters import READER, complaint, failed, letter, report

GONE = report(failed("550 5.1.1 user unknown", status="5.1.1"))


def test_each_message_is_a_json_object_on_a_line(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "gone.eml").write_bytes(GONE)
    (tmp_path / "angry.eml").write_bytes(complaint("Feedback-Type: abuse", f"Original-Rcpt-To: {READER}"))
    (tmp_path / "person.eml").write_bytes(letter("Hello", sender=READER, subject="Hello"))
    typed = type_("bounce", "classify", "gone.eml", "angry.eml", "person.eml", "--json")
    assert typed.status == 0
    gone, angry, person = map(json.loads, typed.lines)
    assert gone == {
        "file": "gone.eml",
        "kind": "bounce",
        "recipients": [
            {
                "address": READER,
                "permanent": True,
                "category": "unknown user",
                "status": "5.1.1",
                "diagnostic": "550 5.1.1 user unknown",
            }
        ],
    }
    assert (angry["kind"], angry["recipients"][0]["feedback"]) == ("complaint", "abuse")
    assert person == {"file": "person.eml", "kind": "other", "recipients": []}


def test_for_people_it_is_told_in_lines(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "gone.eml").write_bytes(GONE.replace(b"user unknown", b"user unknown \x1b[31m"))
    typed = type_("bounce", "classify", "gone.eml")
    assert typed.lines == [
        "gone.eml: bounce",
        f"  {READER}  unknown user  permanent  5.1.1",
        "    550 5.1.1 user unknown \N{REPLACEMENT CHARACTER}[31m",
    ]


def test_a_message_can_be_piped_in(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("io.StringIO", lambda _: io.TextIOWrapper(io.BytesIO(GONE)))
    typed = type_("bounce", "classify", "-", "--json")
    assert json.loads(typed.out)["recipients"][0]["address"] == READER


def test_what_is_no_file_is_named_and_the_others_are_read(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "gone.eml").write_bytes(GONE)
    typed = type_("bounce", "classify", ".", "missing.eml", "gone.eml", "--json")
    assert typed.status == 1
    assert len(typed.lines) == 1
    assert ".: Is a directory" in typed.err
    assert "missing.eml: No such file" in typed.err
    assert "Traceback" not in typed.err


def test_only_the_typed_command_is_loaded_and_all_are_in_the_help(type_: Type) -> None:
    from mailer.cli.main import COMMANDS, application

    assert len(application("bounce").registered_groups) == 1
    help_ = type_("--help").out
    assert all(name in help_ for name in COMMANDS)
