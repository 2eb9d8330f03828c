"""What servers and reports say, on a terminal."""

from datetime import UTC, datetime

import pytest

from mailer.cli.log import _print
from mailer.delivery.log import LogEntry
from mailer.delivery.states import DeliveryStatus
from mailer.tables import DeliveryKind


def test_what_a_server_says_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    entry = LogEntry(
        delivery_id=1,
        at=datetime(2026, 11, 20, 9, tzinfo=UTC),
        publication="p",
        issue="i",
        kind=DeliveryKind.ISSUE,
        edition="en",
        address="a@b.example",
        destination="b.example",
        status=DeliveryStatus.REFUSED,
        attempts=1,
        relay="r",
        stage="dot",
        code=550,
        enhanced=None,
        reply="no\x1b[2J\x9b1m",
        report="[bold]x",
    )
    for each in ([entry], [LogEntry(**(vars(entry) | {"report": None}))]):
        _print(each, as_json=False)
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.splitlines())
    assert "[bold]x" in " ".join(said.split())
