"""mailer inbound: what waits for the operator, and what came of the rest."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailer.app import assemble
from mailer.inbound.effects import Effects
from mailer.inbound.letter import Letter
from mailer.settings import load
from tests.cli.conftest import Type
from tests.inbound.letters import READER, letter


def bring(octets: bytes, to: str = "editors@bounces.example.org") -> None:
    """Into the installation of this folder."""
    app = assemble(load(), lambda: datetime(2026, 11, 20, 9, 0, tzinfo=UTC))
    effects = Effects(settings=app.settings, database=app.database, tokens=app.tokens, clock=app.clock)
    effects.take(Letter(octets=octets, road="receiver", recipient=to, sender=READER))
    app.database.engine.dispose()


def test_an_empty_quarantine_says_so(installed: Type) -> None:
    assert installed("inbound", "list").out == "Nothing waits.\n"
    assert installed("inbound", "list", "--all").out == "Nothing has come in yet.\n"


def test_a_mail_from_a_person_is_listed_and_can_be_read(installed: Type) -> None:
    octets = letter("Дарагая рэдакцыя!\n\x1b[2J", sender=READER, subject="Hello")
    bring(octets)
    bring(letter("away", sender=READER, subject="Out of office"))
    listed = installed("inbound", "list").out
    assert listed.startswith("1  2026-11-20 09:00:00  forwarded  mail from a person")
    assert len(installed("inbound", "list", "--all").lines) == 2
    shown = installed("inbound", "show", "1").out
    assert "reason: mail from a person" in shown
    assert "Дарагая рэдакцыя!" in shown
    assert "\x1b" not in shown
    assert json.loads(installed("inbound", "show", "1", "--json").out)["size"] == len(octets)


def test_a_raw_mail_steers_no_terminal(installed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(letter("\x1b[2J", sender=READER))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    typed = installed("inbound", "show", "1", "--raw")
    assert (typed.status, typed.out) == (1, "")
    assert typed.err.endswith("Type: mailer inbound show 1 --raw > 1.eml\n")


def test_json_steers_no_terminal(installed: Type) -> None:
    bring(letter("x", sender=READER), to="a\x1b[2J\x9b\u202e\U000e0001@bounces.example.org")
    (line,) = installed("inbound", "list", "--json").lines
    assert line.isprintable()
    assert json.loads(line)["recipient"] == "a\x1b[2J\x9b\u202e\U000e0001@bounces.example.org"


def test_every_mail_can_be_read_by_a_program(installed: Type) -> None:
    bring(letter("one", sender=READER))
    bring(letter("two", sender=READER, subject="Out of office"))
    rows = [json.loads(line) for line in installed("inbound", "list", "--all", "--json").lines]
    assert [(row["id"], row["kind"], row["effect"]) for row in rows] == [
        (1, "other", "quarantined"),
        (2, "auto-reply", "nothing"),
    ]


def test_a_mail_goes_along_the_same_road_again(installed: Type, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(env.read_text() + "\nMAILER_FORWARD_PER_HOUR=0\n")
    bring(letter("one", sender=READER))
    assert "not forwarded: MAILER_FORWARD_PER_HOUR is 0" in installed("inbound", "list", "--json").out
    env.write_text(env.read_text().replace("HOUR=0", "HOUR=20"))
    assert installed("inbound", "retry", "1").out == "1: quarantined, mail from a person\n"
    row = json.loads(installed("inbound", "list", "--json").out)
    assert (row["forwarded"], row["reason"]) == ("queued", "mail from a person")
    assert installed("inbound", "retry", "1").status == 0  # and is forwarded once
    typed = installed("inbound", "retry", "7")
    assert (typed.status, typed.err) == (1, "mailer: There is no mail 7. Type: mailer inbound list\n")
    installed("inbound", "discard", "1")
    assert "there is nothing to take again" in installed("inbound", "retry", "1").err


def test_what_was_read_can_be_discarded(installed: Type) -> None:
    for text in ("one", "two", "three"):
        bring(letter(text, sender=READER))
    assert installed("inbound", "discard", "1", "2").out == "Discarded 2.\n"
    assert len(installed("inbound", "list").lines) == 1
    assert installed("inbound", "discard", "--older-than", "0").out == "Discarded 1.\n"
    assert installed("inbound", "list").out == "Nothing waits.\n"
    assert len(installed("inbound", "list", "--all").lines) == 3
    assert installed("inbound", "discard").err == "mailer: Give the numbers of the mails, or --older-than DAYS.\n"


def test_a_mail_that_is_not_there_is_one_sentence(installed: Type) -> None:
    typed = installed("inbound", "show", "7")
    assert (typed.status, typed.err) == (1, "mailer: There is no mail 7. Type: mailer inbound list\n")
    bring(letter("away", sender=READER, subject="Out of office"))
    typed = installed("inbound", "show", "1", "--raw")
    assert "was acted on (nothing), and its text was not kept" in typed.err
