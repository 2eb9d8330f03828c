"""A worker that is killed over and over loses nobody: the program that proves it at any size, at a small one."""

import random
from collections import Counter
from pathlib import Path

import pytest

from bench.kill import Verdict, kill, read, unlisted


@pytest.mark.sqlite  # on PostgreSQL a lease must lapse first: tests/delivery/test_workers.py
def test_killed_workers_lose_nobody_and_every_copy_is_in_the_send_log(tmp_path: Path) -> None:
    verdict = kill(tmp_path, readers=2_000, kills=5, chance=random.Random(1), settings={})
    assert verdict.kills == 5
    assert verdict.lost == 0
    assert verdict.duplicates <= verdict.allowed == 5 * verdict.connections * verdict.depth
    assert verdict.unlisted == verdict.held == 0
    assert verdict.duplicates <= verdict.resent <= verdict.allowed
    assert verdict.resent > 0  # the kills came while mail was under way
    assert verdict.stands


def test_the_sink_writes_down_who_got_what(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a@example.org\t<1@x>\nb@example.org\t<2@x>\na@example.org\t<1@x>\n")
    assert read(tmp_path / "taken") == {"a@example.org": Counter({"<1@x>": 2}), "b@example.org": Counter({"<2@x>": 1})}


@pytest.mark.parametrize(
    ("copies", "listed", "expected"),
    [
        ({"<1@x>": 1}, 0, 0),
        ({"<1@x>": 1}, 1, 0),  # sent again, and the first had not come
        ({"<1@x>": 2}, 1, 0),
        ({"<1@x>": 2}, 0, 1),
        ({"<1@x>": 4}, 2, 1),
        ({"<1@x>": 1, "<2@x>": 1}, 1, 1),  # under another Message-ID nothing folds it
    ],
)
def test_a_copy_that_the_send_log_does_not_list_is_found(copies: dict[str, int], listed: int, expected: int) -> None:
    assert unlisted({"a@example.org": Counter(copies)}, {"a@example.org": listed}) == expected


@pytest.mark.parametrize("wrong", [{"lost": 1}, {"duplicates": 11}, {"unlisted": 1}])
def test_the_verdict_falls_for_each_thing_that_must_not_be(wrong: dict[str, int]) -> None:
    counts = {"readers": 100, "kills": 1, "lost": 0, "duplicates": 10, "allowed": 10, "resent": 10, "unlisted": 0}
    rest = {"held": 0, "connections": 10, "depth": 1}
    assert Verdict(**counts, **rest, seconds=1.0, restart_seconds={}).stands
    assert not Verdict(**counts | wrong, **rest, seconds=1.0, restart_seconds={}).stands
