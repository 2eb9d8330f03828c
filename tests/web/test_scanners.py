"""What opens links on its own changes nothing: every link of every kind of letter, in every way but by a press."""

import email
import email.policy
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser
from sqlmodel import select
from starlette.testclient import TestClient

from mailer.app import App
from mailer.delivery import automatic, composer, launch, ledger, workers
from mailer.delivery.composer import Composer
from mailer.delivery.session import Envelope
from mailer.issues.states import IssueStatus
from mailer.rendering.automatic import render_automatic
from mailer.rendering.letters import LETTERS
from mailer.subscribers import optin
from mailer.tables import Delivery, DeliveryKind, Issue, Publication, Subscription
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.web.conftest import AddIssue, Ledger, form
from tests.web.test_browser import browser  # noqa: F401  (a fixture)

PREFETCHING = [
    {},
    {"Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"X-Moz": "prefetch"},
    {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SafeLinks", "Origin": "https://scanner.example"},
]

UNASKED = (DeliveryKind.GOODBYE, DeliveryKind.WARNING, DeliveryKind.PREFERENCES, DeliveryKind.MY_DATA_FILE)
"""Letters that answer no act of the reader's on our pages."""

Look = Callable[[set[str]], None]


class Mailbox:
    """What one reader gets, walking from the form to their data; `look` is called with all links so far."""

    def __init__(self, app: App, client: TestClient, rows: Ledger, add_issue: AddIssue) -> None:
        self._app, self._client, self._rows, self._add_issue = app, client, rows, add_issue
        self._composer = Composer(app.settings, app.tokens)
        self._links = set[str]()
        with app.database.write() as session:
            self._worker_id = workers.register(session, app.clock(), alone=True)

    def walk(self, look: Look) -> None:
        self._client.post("/subscribe", data=form())
        self._fetch(look)
        self._client.post(self._rows.confirm_path())
        reader = self._rows.subscriptions()[0]
        self._fetch(look)
        self._send_an_issue()
        self._fetch(look)
        for kind in UNASKED:
            self._ask(kind, reader)
            self._fetch(look)
        preferences = self._rows.preferences_path(reader)
        self._client.post(preferences, data={"act": "pause", "pause": "2"})
        self._client.post(preferences, data={"act": "move", "address": "anna@example.net"})
        self._fetch(look)
        self._client.post(self._rows.move_path())
        self._fetch(look)
        self._client.post(self._rows.leave_path(reader))
        look(self._links)
        self._client.post(f"{preferences}/data")
        self._fetch(look)

    def _ask(self, kind: DeliveryKind, reader: Subscription) -> None:
        assert reader.id is not None
        with self._app.database.write() as session:
            asked = optin.ask_again(session, reader.id, self._app.clock())
            assert asked is not None
            owed = asked if kind is asked.kind else asked._replace(kind=kind, consent_id=None)
            automatic.queue(session, owed, self._app.clock())

    def _fetch(self, look: Look) -> None:
        with self._app.database.write() as session:
            claims = ledger.claim(session, worker_id=self._worker_id, relay="relay", limit=9, now=self._app.clock())
            ready = self._composer.load(session, claims)
        assert len(ready) == 1
        ((_, envelope),) = self._composer.envelopes(ready)
        assert isinstance(envelope, Envelope)
        mail = email.message_from_bytes(b"".join(envelope.content), policy=email.policy.default)
        parts = [str(mail["List-Unsubscribe"])]
        parts += [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
        self._links |= set(re.findall(r"https://news\.example\.org(/[^\s\"<>]+)", " ".join(parts)))
        look(self._links)

    def _send_an_issue(self) -> None:
        now = self._app.clock()
        self._add_issue("en", "be", "ru", status=IssueStatus.SENDING)
        with self._app.database.write() as session:
            issue = session.exec(select(Issue)).one()
            made = launch.render(session, issue, self._app.settings)
            messages = {edition: launch.keep(session, issue, edition, each, now) for edition, each in made.items()}
            ledger.enqueue_issue(session, issue, messages, now)

    def kinds(self) -> set[str]:
        with self._app.database.read() as session:
            return {str(kind) for kind in session.exec(select(Delivery.kind))}


@pytest.fixture
def mailbox(
    app: App, client: TestClient, ledger: Ledger, add_issue: AddIssue, monkeypatch: pytest.MonkeyPatch
) -> Mailbox:
    # Rendered in this process: a process of its own is another test's matter, and half a second.
    monkeypatch.setattr(composer, "apart", lambda work, *values: render_automatic(*values))
    return Mailbox(app, client, ledger, add_issue)


def worth_opening(links: set[str], seen: set[str]) -> list[str]:
    """Those with a token, again in every state of things; the others once."""
    return sorted(link for link in links if re.match("/[a-z]/", link) or link not in seen)


@pytest.mark.sqlite
def test_every_link_of_every_letter_may_be_fetched(
    client: TestClient, ledger: Ledger, mailbox: Mailbox, clock: HandedClock
) -> None:
    seen = set[str]()

    def look(links: set[str]) -> None:
        before = ledger.everything()
        for link in worth_opening(links, seen):
            for headers in PREFETCHING if link not in seen else PREFETCHING[:1]:
                assert client.get(link, headers=headers).status_code in (200, 410)
            assert client.head(link).status_code in (200, 410)
        assert ledger.everything() == before
        seen.update(links)

    mailbox.walk(look)
    assert mailbox.kinds() == {*LETTERS, str(DeliveryKind.ISSUE)}
    assert {"/c/", "/u/", "/p/", "/m/", "/b/", "/d/"} <= {link[:3] for link in seen}


@pytest.fixture
def origin(app: App, publication: Publication) -> Iterator[str]:
    """Where the pages are served."""
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = app.settings.model_copy(update={"link_hosts": [origin]})
    served = App(settings=settings, database=app.database, tokens=app.tokens, clock=app.clock)
    config = uvicorn.Config(create_app(served), log_config=None, lifespan="off", proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()  # connections wait in the listener's queue until it accepts
    yield origin
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.mark.sqlite
@pytest.mark.browser
def test_a_gateway_that_runs_scripts_changes_nothing(
    browser: Browser,  # noqa: F811
    origin: str,
    ledger: Ledger,
    mailbox: Mailbox,
) -> None:
    context = browser.new_context(base_url=origin)
    page = context.new_page()
    opened = set[str]()

    def look(links: set[str]) -> None:
        before = ledger.everything()
        for link in worth_opening(links, opened):
            page.goto(link, wait_until="load")
            page.evaluate("document.querySelectorAll('a, form, button').length")
        assert ledger.everything() == before
        opened.update(links)

    mailbox.walk(look)
    assert context.cookies() == []
    context.close()
    assert {"/c/", "/u/", "/p/", "/m/", "/b/", "/d/"} <= {link[:3] for link in opened}
