"""An editor's week at the command line."""

import json
from pathlib import Path

import pytest

from mailer.resources import resource
from tests.cli.conftest import Type

EXAMPLE = str(resource("templates") / "example" / "2026-11-16")
SLUG = "2026-11-16"


@pytest.fixture
def added(installed: Type) -> Type:
    assert installed("issue", "add", EXAMPLE).status == 0
    return installed


def test_an_issue_is_added_and_then_updated(installed: Type) -> None:
    assert installed("issue", "add", EXAMPLE).lines[0].startswith(f"Added {SLUG}: ")
    assert installed("issue", "add", EXAMPLE).lines[0].startswith(f"Updated {SLUG}: ")


def test_queue_takes_the_next_weekly_slot_and_the_one_after_for_the_next_issue(added: Type, tmp_path: Path) -> None:
    first = added("issue", "queue", SLUG)
    assert "Europe/Vilnius" in first.out
    assert " 09:00 " in first.out
    other = tmp_path / "other-issue"
    other.mkdir()
    for path in Path(EXAMPLE).iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert added("issue", "add", str(other)).status == 0
    second = added("issue", "queue", "other-issue")
    assert second.lines[0].split("at ")[1] > first.lines[0].split("at ")[1]


def test_an_issue_that_is_scheduled_is_not_changed_under_the_editors_feet(added: Type) -> None:
    added("issue", "queue", SLUG)
    typed = added("issue", "add", EXAMPLE)
    assert typed.status == 1
    assert "scheduled" in typed.err
    assert added("issue", "cancel", SLUG).status == 0
    assert added("issue", "add", EXAMPLE).status == 0


@pytest.mark.parametrize(
    ("at", "told"),
    [("tomorrow", "is not a time"), ("2020-01-01T09:00", "has passed"), ("2026-13-01", "is not a time")],
)
def test_a_senseless_time_is_refused(added: Type, at: str, told: str) -> None:
    typed = added("issue", "queue", SLUG, "--at", at)
    assert typed.status == 1
    assert told in typed.err


def test_a_missing_translation_is_named_before_anything_is_queued(installed: Type, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    for path in Path(EXAMPLE).iterdir():
        if path.name != "be.md":
            (folder / path.name).write_bytes(path.read_bytes())
    assert installed("issue", "add", str(folder)).status == 0
    typed = installed("issue", "queue", "half")
    assert typed.status == 1
    assert "lacks be.md" in typed.err
    assert "be-ru" in typed.err


def test_preview_writes_what_a_reader_would_get(added: Type, tmp_path: Path) -> None:
    typed = added("issue", "preview", SLUG, "--to", "out")
    assert typed.status == 0
    assert {Path(line).name for line in typed.lines} == {
        f"{code}.{suffix}" for code in ("en", "ru", "be-ru") for suffix in ("eml", "html", "txt")
    }
    assert "<html" in (tmp_path / "out" / "be-ru.html").read_text()
    assert "mailer.db" in {path.name for path in tmp_path.iterdir()}


def test_status_and_log_tell_the_same_as_objects(added: Type) -> None:
    added("issue", "test-send", SLUG, "me@example.org")
    status = json.loads(added("issue", "status", SLUG, "--json").out)
    assert (status["issue"], status["status"], status["total"]) == (SLUG, "draft", 0)
    entries = [json.loads(line) for line in added("log", "--json").lines]
    assert {(entry["kind"], entry["address"], entry["status"]) for entry in entries} == {
        ("test", "me@example.org", "queued")
    }
    assert len(entries) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("issue", "status", "absent"), "There is no issue absent"),
        (("issue", "pause", SLUG), "draft"),
        (("issue", "test-send", SLUG, "a@b@c"), "not an e-mail address"),
        (("issue", "test-send", SLUG, "me@example.org", "--edition", "xx"), "There is no edition xx"),
        (("log", "--status", "wrong"), "accepted"),
        (("log", "--issue", "absent"), "absent"),
        (("issue", "list", "--publication", "other"), "There is no publication other"),
        (("issue", "add", "absent"), "absent"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_ones(added: Type, words: tuple[str, ...], told: str) -> None:
    typed = added(*words)
    assert typed.status == 1
    assert told in typed.err
    assert "Traceback" not in typed.err


def test_help_names_every_command(type_: Type) -> None:
    out = type_("--help").out
    for command in ("init", "migrate", "serve", "worker", "log", "demo", "issue", "user"):
        assert command in out


def test_an_issue_is_taken_off_the_web_and_put_back(added: Type) -> None:
    assert "not shown on the web" in added("issue", "hide", SLUG).out
    assert json.loads(added("issue", "status", SLUG, "--json").out)["private"] is True
    assert added("issue", "unhide", SLUG).status == 0
    assert json.loads(added("issue", "status", SLUG, "--json").out)["private"] is False
    assert "There is no issue" in added("issue", "hide", "nope").err


def test_adding_a_private_issue_says_so(installed: Type, tmp_path: Path) -> None:
    folder = tmp_path / "internal"
    folder.mkdir()
    for path in Path(EXAMPLE).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    source = (folder / "ru.md").read_text()
    (folder / "ru.md").write_text(source.replace("title:", "private: true\ntitle:", 1))
    assert "It is private" in installed("issue", "add", str(folder)).out
