"""A running installation (pages, worker, a mailbox that catches every mail) and windows of a real browser onto it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from anyio.from_thread import BlockingPortal, start_blocking_portal
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page

from mailer import publications
from mailer.delivery import launch
from mailer.demo.mailbox import Caught
from mailer.demo.stage import Stage, stage
from mailer.issues import issue as issues
from mailer.issues.folder import read_files
from mailer.issues.states import IssueStatus
from mailer.rendering.decoded import part
from mailer.resources import example, resource
from mailer.tables import Issue

WAIT_SECONDS = 20


class House:
    """The demo's stage, used from outside of its event loop."""

    def __init__(self, portal: BlockingPortal, built: Stage) -> None:
        self._portal, self._built = portal, built
        self.app, self.origin, self.mailbox, self.password = built.app, built.front, built.mail, built.password
        self.slug = built.publication.slug

    def mail(self, address: str, number: int) -> EmailMessage:
        """The mail to `address` with this number, from 0, as soon as it is there."""
        return self._first(lambda: self._built.mailbox.of[address][number:])

    def issue_mail(self, address: str, issue: Issue) -> EmailMessage:
        return self._first(lambda: [each for each in self._built.mailbox.of[address] if each.issue == issue.slug])

    def _first(self, found: Callable[[], list[Caught]]) -> EmailMessage:
        async def wait() -> Caught:
            async with asyncio.timeout(WAIT_SECONDS):
                while not found():
                    await asyncio.sleep(0.01)
            return found()[0]

        return self._portal.call(wait).message()

    def add(self, first_day: date, *, sent: bool = False) -> Issue:
        """The example issue as that of another week, due now, or sent long ago, with MORE then."""
        folder = resource("templates") / "example" / "2026-11-16"
        week = f"{first_day}/{first_day + timedelta(days=6)}".encode()
        files = {each.name: each.read_bytes().replace(b"2026-11-16/2026-11-22", week) for each in folder.iterdir()}
        if sent:
            files |= {name: _with_more(text) for name, text in files.items() if name.endswith(".md")}
        app, publication = self.app, self._built.publication
        with app.database.write() as session:
            issue, _ = issues.add(session, publication, read_files(str(first_day), files), app.clock())
            if sent:
                issue.status, issue.began_at = IssueStatus.SENT, app.clock()
                return issue
            issues.check(session, publication, issue)
            launch.preflight(session, issue, app.settings)
            issues.schedule(session, issue, app.clock())
        return issue


MORE = b"""
#### More of it

```
a line of code that is wider than a telephone, and is not to be broken anywhere, however narrow it is
```

| Monday morning | Tuesday morning | Wednesday morning | Thursday morning | Friday morning | Saturday morning |
|---------------:|----------------:|------------------:|-----------------:|---------------:|-----------------:|
|         117000 |          117000 |            117000 |           117000 |         117000 |           117000 |

##### And more

The end.

"""
"""What authors may write beside plain text, for pages."""


def _with_more(text: bytes) -> bytes:
    """The issue with MORE at the end of its first commentary."""
    second = text.index(b"\n### ", text.index(b"\n### ") + 1)
    return text[:second] + MORE + text[second:]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[House]:
    """With a second publication, that has sent nothing yet."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(stage(folder)) as built:
        described = publications.read(example("publication.example.toml"))
        other = described.model_copy(update={"slug": "hrodna", "list_id": "hrodna.news.example.org"})
        with built.app.database.write() as session:
            publications.apply(session, other, built.app.clock())
        yield House(portal, built)


@dataclass(frozen=True)
class Screen:
    """What somebody looks through."""

    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"
    has_script: bool = True


class Window:
    """One page, where everything that a browser can complain of is collected."""

    def __init__(self, browser: Browser, origin: str, screen: Screen) -> None:
        self.screen, self._complaints = screen, list[str]()
        self.context: BrowserContext = browser.new_context(
            viewport={"width": screen.width, "height": screen.height},
            color_scheme=screen.scheme,
            java_script_enabled=screen.has_script,
            base_url=origin,
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complaints.append(str(error)))

    def close(self) -> None:
        """Fails where the browser has complained, or keeps a cookie of a reader's page."""
        cookies = self.context.cookies()
        self.context.close()
        assert not self._complaints
        assert {each["name"] for each in cookies} <= {"staff"}  # of the console

    def _hear(self, said: ConsoleMessage) -> None:
        """Not that there is no icon, nor that an answer is no 200: the tests look for that themselves."""
        if "favicon" not in said.location["url"] and "the server responded with a status of" not in said.text:
            self._complaints.append(said.text)

    def goto(self, address: str, heading: str | None = None) -> None:
        """Opens an address and looks at it."""
        self.page.goto(address)
        self.look(heading)

    def press(self, name: str, heading: str | None = None) -> None:
        """Presses the button that is called so and looks at what comes."""
        self.click(self.page.get_by_role("button", name=name, exact=True), heading)

    def follow(self, name: str, heading: str | None = None) -> None:
        """Follows the first link that is called so and looks at where it leads."""
        self.click(self.page.get_by_role("link", name=name, exact=True), heading)

    def click(self, element: Locator, heading: str | None = None) -> None:
        """Clicks the first of these and looks at the page that comes, when all of it is there."""
        with self.page.expect_navigation():
            element.first.click()
        self.look(heading)

    def open(self, mail: EmailMessage) -> None:
        """Shows a mail as a mail program does."""
        self.show(part(mail, "html"))

    def show(self, html: str) -> None:
        self.page.goto("about:blank")  # what it is written into keeps its own policy otherwise
        self.page.set_content(html)
        self._fits()

    def serve(self, path: str, page: str, status: int) -> None:
        """Goes to an address that answers so, with the stylesheets of the installation."""
        self.page.route(f"**{path}", lambda route: route.fulfill(status=status, body=page, content_type="text/html"))
        self.goto(path)

    def look(self, heading: str | None = None) -> None:
        """One heading, nothing stands out sideways, and axe-core knows of no barrier, in light and in dark.

        A page of the same parts, in the same language and layout, is shown to axe-core once.
        """
        headings = self.page.locator("h1").all_inner_texts()
        assert len(headings) == 1, headings
        assert heading in (None, headings[0].replace("\xa0", " ")), headings
        self._fits()
        parts = self.page.evaluate(_PARTS)
        if self.screen.has_script and parts not in _looked_at:
            found = barriers(self.page)
            assert not found, "\n".join(found)
            _looked_at.add(parts)

    def _fits(self) -> None:
        page = self.page
        fits = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert fits, f"{page.url} stands out sideways"


_looked_at = set[str]()
_PARTS = """[
    document.documentElement.lang, getComputedStyle(document.querySelector("main")).display,
    ...new Set(Array.from(document.querySelectorAll("body *"), each => each.tagName + each.className)),
].sort().join()"""

_AXE = f"{AXE_SCRIPT}; null"
_RUN = """async options => (await axe.run(options)).violations.flatMap(
    rule => rule.nodes.map(node => `${rule.id}: ${node.html}: ${node.failureSummary}`)
)"""
_COLOURS = {"type": "rule", "values": ["color-contrast"]}


def barriers(page: Page, *, is_mail: bool = False) -> list[str]:
    """What axe-core finds on the page, and of its colours in the other scheme. A mail is shown within a page, whose
    landmarks are not its own."""
    page.evaluate(_AXE)
    off = {rule: {"enabled": not is_mail} for rule in ("region", "landmark-one-main")}
    found = page.evaluate(_RUN, {"resultTypes": ["violations"], "rules": off})
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    found += page.evaluate(_RUN, {"resultTypes": ["violations"], "runOnly": _COLOURS})
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    return list(found)
