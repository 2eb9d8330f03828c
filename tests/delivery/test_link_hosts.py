"""Several link hosts: when one is blocked, the operator puts another first, and what has not left yet points there."""

from datetime import datetime
from pathlib import Path

import pytest
from sqlmodel import col, select

from mailer.app import App
from mailer.delivery import launch, ledger
from mailer.delivery.composer import Composer
from mailer.delivery.ledger import Answer
from mailer.delivery.reply import Action, Consequence, Reply, Stage
from mailer.issues import issue as issues
from mailer.issues.folder import read_folder
from mailer.rendering.decoded import parse, part
from mailer.resources import resource
from mailer.tables import Delivery, Edition, Message, Publication, Translation
from mailer.worker import Worker
from tests.conftest import HandedClock
from tests.delivery.readers import Subscribe

EXAMPLE: Path = resource("templates") / "example" / "2026-11-16"
BLOCKED, MIRROR = "https://news.example.org", "https://mirror.example.net"


@pytest.fixture(autouse=True)
def _one_edition(app: App, publication: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering is what takes time here, and most of that a process of its own."""
    monkeypatch.setattr(launch, "_apart", launch._here)
    with app.database.write() as session:
        for edition in session.exec(select(Edition).where(Edition.code != "en")):
            session.delete(edition)


def switched(app: App) -> App:
    """The installation after its operator has put the mirror first and started it again."""
    settings = app.settings.model_copy(update={"link_hosts": [MIRROR, BLOCKED]})
    return App(settings=settings, database=app.database, tokens=app.tokens, clock=app.clock)


def begin(app: App, publication: Publication, at: datetime) -> int:
    with app.database.write() as session:
        issue, _ = issues.add(session, publication, read_folder(EXAMPLE), at)
        issues.check(session, publication, issue)
        issues.schedule(session, issue, at)
        session.flush()
        assert issue.id is not None
        assert launch.begin(session, issue.id, app.settings, at)
        return issue.id


def send(app: App, worker_id: int, limit: int) -> dict[str, str]:
    """Sends to so many readers: address -> the mail's links in plain text, and its header fields."""
    composer = Composer(app.settings, app.tokens)
    with app.database.write() as session:
        claims = ledger.claim(session, worker_id=worker_id, relay="relay", limit=limit, now=app.clock())
        ready = composer.load(session, claims)
    mails = {}
    for claim, envelope in composer.envelopes(ready):
        assert not isinstance(envelope, Exception)
        mail = parse(b"".join(envelope.content))
        mails[claim.address] = f"{part(mail, 'plain')}{part(mail, 'html')}{mail['List-Unsubscribe']}"
    accepted = Reply(Stage.DOT, 250, "ok")
    with app.database.write() as session:
        ledger.record(
            session, [Answer(claim, accepted, Action(Consequence.ACCEPT), "relay", app.clock()) for claim in claims]
        )
    return mails


def test_what_waits_of_a_running_issue_points_to_the_new_host_and_what_has_left_is_kept(
    app: App, publication: Publication, clock: HandedClock, worker_id: int, subscribe: Subscribe
) -> None:
    subscribe("a@example.org", "b@example.org", "c@example.org")
    begin(app, publication, clock())
    before = send(app, worker_id, 1)
    app = switched(app)
    Worker(app).point_to_first_host(clock())
    after = send(app, worker_id, 9)

    assert {*before, *after} == {"a@example.org", "b@example.org", "c@example.org"}
    assert all(BLOCKED in mail and MIRROR not in mail for mail in before.values())
    assert all(MIRROR in mail and BLOCKED not in mail for mail in after.values())
    with app.database.read() as session:
        named = [row.message_id for row in session.exec(select(Delivery).order_by(col(Delivery.id)))]
        hosts = {row.id: row.host for row in session.exec(select(Message))}
    assert [hosts[each] for each in named if each] == [BLOCKED, MIRROR, MIRROR]


@pytest.mark.sqlite
def test_switching_twice_and_looking_again_renders_nothing_anew(
    app: App, publication: Publication, clock: HandedClock, subscribe: Subscribe
) -> None:
    subscribe("a@example.org")
    begin(app, publication, clock())

    def messages() -> int:
        with app.database.read() as session:
            return len(session.exec(select(Message)).all())

    for each, known in ((app, 1), (switched(app), 2), (switched(app), 2), (app, 2)):
        Worker(each).point_to_first_host(clock())
        assert messages() == known


@pytest.mark.sqlite
def test_an_issue_that_cannot_be_rendered_any_more_goes_out_as_it_is(
    app: App, publication: Publication, clock: HandedClock, worker_id: int, subscribe: Subscribe
) -> None:
    subscribe("a@example.org")
    issue_id = begin(app, publication, clock())
    with app.database.write() as session:
        session.delete(session.get_one(Translation, (issue_id, "en")))
    app = switched(app)
    Worker(app).point_to_first_host(clock())
    assert list(send(app, worker_id, 9)) == ["a@example.org"]
