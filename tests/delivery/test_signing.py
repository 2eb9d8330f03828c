"""Whatever leaves is signed, if there are keys."""

import logging
from collections.abc import Sequence
from pathlib import Path

import dkim
import pytest

from mailer.app import App, assemble
from mailer.issues.states import IssueStatus
from mailer.rendering.dkim import DkimKey
from mailer.tables import Publication
from mailer.worker import Worker
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe
from tests.delivery.relay import ScriptedRelay
from tests.test_worker import add_and_schedule, on_disk, status_of, until, working


def with_keys(app: App, relay: ScriptedRelay, keys: Sequence[DkimKey], folder: Path, clock: HandedClock) -> App:
    return assemble(on_disk(app.settings, relay, dkim_keys=[key.save(folder) for key in keys]), clock)


async def test_what_the_relay_gets_is_signed(
    app: App,
    publication: Publication,
    clock: HandedClock,
    scripted: ScriptedRelay,
    subscribe: Subscribe,
    tmp_path: Path,
) -> None:
    key = DkimKey.new("s", "example.org")
    app = with_keys(app, scripted, [key], tmp_path, clock)
    subscribe("en@example.org", "other@example.org")
    subscribe("both@example.org", edition="be-ru")
    issue_id = add_and_schedule(app, publication, clock())
    async with working(app):
        await until(lambda: status_of(app, issue_id) is IssueStatus.SENT)
    assert len(scripted.taken) == 3
    for (octets,) in scripted.taken.values():
        assert octets.startswith(b"DKIM-Signature: v=1; a=rsa-sha256;")
        assert dkim.verify(octets, dnsfunc=lambda name, timeout=5: key.record.encode())


async def test_a_key_of_a_domain_that_nobody_sends_from_is_told_at_the_start(
    app: App,
    publication: Publication,
    clock: HandedClock,
    scripted: ScriptedRelay,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = [DkimKey.new("s", domain, ed25519=True) for domain in ("example.org", "example.net")]
    worker = Worker(with_keys(app, scripted, keys, tmp_path, clock))
    worker.stop()
    with caplog.at_level(logging.WARNING):
        await worker.run()
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith("MAILER_DKIM_KEYS: no publication sends from example.net")
