"""A folder of one's own, and `mailer …` typed in it."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailer.cli.main import main

RELAY_PORT = "1"  # nobody listens there


@dataclass
class Typed:
    """What came of a command."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Type = Callable[..., Typed]


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """type_("issue", "add", "FOLDER") in an empty folder; `stdin` is what is piped in."""
    monkeypatch.chdir(tmp_path)

    def act(*words: str, stdin: str = "") -> Typed:
        monkeypatch.setattr("sys.argv", ["mailer", *words])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        said = capsys.readouterr()
        return Typed(status, said.out, said.err)

    return act


@pytest.fixture
def installed(type_: Type, tmp_path: Path) -> Type:
    """The same in a folder that `mailer init` has set up."""
    assert type_("init").status == 0
    env = tmp_path / ".env"
    env.write_text(env.read_text().replace("MAILER_RELAY_PORT=587", f"MAILER_RELAY_PORT={RELAY_PORT}"))
    assert type_("init").status == 0
    return type_
