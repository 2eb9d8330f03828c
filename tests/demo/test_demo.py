"""The demo is the whole road; its count is made in the mailbox."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.progress import Progress

from mailer.demo.road import walk
from mailer.demo.stage import stage
from mailer.rendering.decoded import part
from mailer.resources import resource

EXAMPLE = resource("templates") / "example" / "2026-11-16"
REAL = Path(__file__).parents[3] / "shared" / "real-issue" / "2017-04-03"


def test_once_prints_one_json_object_last_and_loses_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mailer", "demo", "--once", "--json", "--readers", "30"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("seconds") > 0
    assert told == {
        "readers": 30,
        "confirmed": 28,
        "accepted": 27,
        "refused": 1,
        "unsubscribed": 2,
        "lost": 0,
        "duplicates": 0,
    }
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_issue_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mailer", "demo", "--once", "--issue", str(tmp_path / "absent")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "folder",
    [
        EXAMPLE,
        pytest.param(REAL, marks=pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL.name} is not on this machine")),
    ],
    ids=["example", "real"],
)
async def test_every_link_in_a_caught_mail_answers(folder: Path, tmp_path: Path) -> None:
    async with stage(tmp_path) as built:
        result = await walk(built, 6, folder, Progress(disable=True))
        assert result.is_good
        async with httpx.AsyncClient(follow_redirects=True) as client:
            for address in built.mailbox.of:
                for mail in built.mailbox.of[address]:
                    message = mail.message()
                    links = set(re.findall(r'href="(https?://[^"]+)"', part(message, "html")))
                    links |= set(re.findall(r"https?://[^\s<>]+", part(message, "plain")))
                    assert any("/u/" in link or "/c/" in link for link in links)
                    for link in links:
                        if link.startswith(built.front):
                            answer = await client.get(link)
                            assert answer.status_code == 200, link
            shown = await client.get(f"{built.mail}/?to=reader1")
            assert shown.status_code == 200
            assert (await client.get(f"{built.mail}/0")).status_code == 200
            for kind in ("html", "plain", "source"):
                assert (await client.get(f"{built.mail}/0/{kind}")).status_code == 200
            assert (await client.get(f"{built.mail}/99999")).status_code == 404
