"""The pages in a real browser, on a running installation: as readers and operators see and use them.

Every page that is looked at fits its window, has one heading, and axe-core finds no barrier on it, in light and dark.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from email.message import EmailMessage

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from sqlmodel import col, select

from mailer.rendering.words import Words, words
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Issue, Subscriber, Subscription
from tests.web.house import House, Screen, Window, running

pytestmark = [pytest.mark.browser, pytest.mark.sqlite]  # what differs by database is tested without a browser

LANGUAGES = ["en", "be", "ru"]
PHONE, DESKTOP = Screen(360, 740, "dark"), Screen(1280, 900)
SMALL = Screen(320, 640)
PLAIN = Screen(360, 740, has_script=False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "there is no Chromium; install the package chromium to run the browser tests"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("house")) as house:
        yield house


@dataclass
class Walk:
    """One reader's way from the form to the way back, at one screen."""

    house: House
    window: Window
    language: str
    address: str

    def __post_init__(self) -> None:
        self.words: Words = words(self.language)
        self._ = self.words.gettext
        self.front = f"/{self.house.slug}/{self.language}"
        self.edition, self.other = {"en": ("en", "be-ru"), "be": ("be-ru", "en"), "ru": ("ru", "en")}[self.language]

    def subscribes(self) -> None:
        _, page = self._, self.window.page
        self.window.goto(self.front)
        page.locator(f"input[name=edition][value={self.edition}]").check()
        page.locator("#address").fill(self.address)
        self.window.press(_("Subscribe"), _("Check your mailbox"))

    def confirms(self) -> None:
        _ = self._
        self.window.open(self.house.mail(self.address, 0))
        self.window.follow(_("Confirm subscription"), _("Please confirm your subscription"))
        self.window.press(_("Confirm subscription"), _("You have been successfully subscribed"))

    def chooses(self) -> None:
        """Takes another edition and gives it back, pauses and ends the pause."""
        _, page = self._, self.window.page
        self.window.open(self.house.mail(self.address, 1))
        self.window.follow(_("Change edition, address or pause"), _("Your subscription"))
        other, label = page.locator(f"input[name=edition-{self.other}]"), self.other.upper().replace("-", "/")
        other.check()
        self._saves(_("Added: {edition}.", edition=label))
        other.uncheck()
        self._saves(_("No longer sent: {edition}.", edition=label))
        self.window.press(_("Pause the letters"))
        self.window.press(_("End the pause"))
        expect(page.get_by_role("status")).to_have_text(_("The pause is over: the next issue comes to you again."))

    def _saves(self, change: str) -> None:
        self.window.press(self._("Save"))
        expect(self.window.page.get_by_role("status")).to_contain_text(change)

    def reads(self, issue: Issue) -> EmailMessage:
        """From the letter into the archive, to a commentary and to all issues. Returns the letter."""
        _, page = self._, self.window.page
        mail = self.house.issue_mail(self.address, issue)
        self.window.open(mail)
        self.window.follow(_("View in browser"))
        assert page.url.endswith(f"{self.front}/issues/{issue.slug}")
        headline = page.locator(".commentary h3").first.inner_text()
        page.locator(".commentary h3 a").first.click()
        self.window.look(headline)
        self.window.follow(_("All issues"))
        week = self.words.period(issue.first_day, issue.last_day)
        expect(page.locator(".weeks h2").first).to_contain_text(week)
        return mail

    def leaves_by_one_click(self, mail: EmailMessage) -> None:
        """As the button of a mail program does it (RFC 8058 §3.1)."""
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        address = re.search(r"<(http[^>]+)>", str(mail["List-Unsubscribe"]))
        assert address is not None
        answer = httpx.post(address[1], data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None)
        assert self.status() is SubscriptionStatus.UNSUBSCRIBED

    def takes_it_back(self, mail: EmailMessage) -> None:
        """The same link leads to the way back. A reason may be given first."""
        _, page = self._, self.window.page
        self.window.open(mail)
        self.window.follow(_("Unsubscribe"), _("You have been unsubscribed"))
        page.get_by_label(_("I read it elsewhere")).check()
        self.window.press(_("Send the answer"), _("You have been unsubscribed"))
        expect(page.get_by_role("status")).to_contain_text(_("Thank you. We have noted it, without your address."))
        self.window.press(_("Undo: keep me subscribed"), _("You are subscribed again"))
        assert self.status() is SubscriptionStatus.CONFIRMED

    def status(self) -> SubscriptionStatus:
        """Of the reader's first subscription."""
        with self.house.app.database.read() as session:
            reader = session.exec(select(Subscriber).where(Subscriber.address == self.address)).one()
            subscriptions = select(Subscription).where(Subscription.subscriber_id == reader.id)
            return session.exec(subscriptions.order_by(col(Subscription.id))).all()[0].status


@pytest.mark.parametrize("language", LANGUAGES)
def test_readers_walk_from_the_form_to_the_way_back(house: House, browser: Browser, language: str) -> None:
    screens = {"phone": PHONE, "desktop": DESKTOP, "plain": PLAIN}
    walks = [
        Walk(house, Window(browser, house.origin, screen), language, f"{name}.{language}@example.org")
        for name, screen in screens.items()
    ]
    for walk in walks:
        walk.subscribes()
        walk.confirms()
        walk.chooses()
    issue = house.send(date(2026, 10, 5) + timedelta(weeks=LANGUAGES.index(language)))
    for walk in walks:
        mail = walk.reads(issue)
        walk.leaves_by_one_click(mail)
        walk.takes_it_back(mail)
        assert walk.window.context.cookies() == []
        walk.window.close()
