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
from starlette.testclient import TestClient

from mailer.database import DatabaseError
from mailer.rendering.automatic import render_automatic
from mailer.rendering.letters import LETTERS
from mailer.rendering.words import Words, words
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Consent, Issue, Subscriber, Subscription
from mailer.tokens import Purpose
from mailer.web.site import create_app
from tests.rendering import test_automatic_mail, test_issue_mail
from tests.web.house import MORE, House, Screen, Window, barriers, running

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
        house.add(date(2019, 4, 8), sent=True)
        house.add(date(2019, 4, 15), sent=True)
        house.app.settings.__dict__["inbound_listen"] = "127.0.0.1:2424"  # pages and letters name addresses, long ones
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
        page.locator("input[name=pause]").first.check()
        self.window.press(_("Pause the letters"))
        self.window.press(_("End the pause"))
        expect(page.get_by_role("status")).to_contain_text(_("The next issue comes to you again."))

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
        self.window.click(page.locator(".commentary h3 a"), headline)
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
        expect(page.get_by_role("status")).to_contain_text(_("We have noted your answer, without your address."))
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
    screens = {"phone": PHONE, "desktop": DESKTOP}
    if language == "be":
        screens["plain"] = PLAIN
    walks = [
        Walk(house, Window(browser, house.origin, screen), language, f"{name}.{language}@example.org")
        for name, screen in screens.items()
    ]
    for walk in walks:
        walk.subscribes()
        walk.confirms()
        walk.chooses()
    issue = house.add(date(2026, 10, 5) + timedelta(weeks=LANGUAGES.index(language)))
    for walk in walks:
        mail = walk.reads(issue)
        walk.leaves_by_one_click(mail)
        walk.takes_it_back(mail)
        walk.window.close()


@pytest.fixture
def screen() -> Screen:
    """Unless a test says otherwise."""
    return SMALL


@pytest.fixture
def window(house: House, browser: Browser, screen: Screen) -> Iterator[Window]:
    window = Window(browser, house.origin, screen)
    yield window
    window.close()


@pytest.fixture
def walk(house: House, window: Window, language: str, request: pytest.FixtureRequest) -> Walk:
    """Of a reader of this test's own."""
    name = request.node.originalname.removeprefix("test_")
    return Walk(house, window, language, f"{name}.{language}@example.org"[-60:].lstrip("_"))


@pytest.mark.parametrize("language", ["be"])
def test_a_reader_moves_and_comes_back_and_is_erased(walk: Walk) -> None:
    _, window, house = walk._, walk.window, walk.house
    new = f"new-{walk.address}"
    walk.subscribes()
    walk.confirms()
    window.open(house.mail(walk.address, 1))
    window.follow(_("Change edition, address or pause"), _("Your subscription"))
    preferences = window.page.url

    window.page.get_by_label(_("Your new e-mail address")).fill("nowhere")
    window.press(_("Send the link"))
    expect(window.page.locator("#address")).to_be_focused()
    window.page.get_by_label(_("Your new e-mail address")).fill(new)
    window.press(_("Send the link"))
    expect(window.page.get_by_role("status")).to_be_visible()
    window.open(house.mail(new, 0))
    window.follow(_("Confirm the new address"), _("Is this your new address?"))
    window.press(_("Confirm the new address"), _("Your address was changed"))
    window.goto(preferences, _("This link is no longer valid"))
    window.open(house.mail(walk.address, 2))
    window.follow(_("Take the change back"), _("Take the change back?"))
    window.press(_("Take the change back"), _("The change was taken back"))

    window.goto(preferences, _("Your subscription"))
    window.follow(_("See or erase what we hold about you"), _("My data"))
    window.press(_("Send the link"), _("My data"))
    window.open(house.mail(walk.address, 3))
    window.follow(_("See my data"), _("Everything that we hold about you"))
    window.follow(_("Erase everything"), _("Erase everything that we hold about you?"))
    window.press(_("Erase everything"), _("Everything has been erased"))
    window.goto(f"{preferences}?language={walk.language}", _("This link is no longer valid"))


@pytest.mark.parametrize("language", ["en"])
def test_whatever_authors_write_is_read_by_keyboard_and_by_its_headings(walk: Walk) -> None:
    window, page = walk.window, walk.window.page
    window.goto(f"{walk.front}/issues/2019-04-08")
    window.click(page.locator(".commentary h3 a"))
    expect(page.get_by_role("heading", level=2, name="More of it")).to_be_visible()
    table = page.get_by_role("region", name="Table 1: Libraries keep their lights on until ten")
    for wide in (page.locator("pre"), table):
        assert wide.evaluate("each => each.scrollWidth > each.clientWidth")
        wide.focus()
        expect(wide).to_be_focused()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_is_said_with_what_to_do(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    _, window, house = walk._, walk.window, walk.house
    window.goto(f"{walk.front}/nothing", _("There is no such page"))
    window.goto(f"{walk.front}/issues/nothing", _("There is no such page"))
    window.goto(f"/c/nothing?language={walk.language}", _("This link is not complete"))
    window.goto(walk.front)
    window.page.locator("#address").fill("anna@nowhere")
    window.press(_("Subscribe"))
    expect(window.page.locator("#address")).to_be_focused()

    walk.subscribes()
    with house.app.database.read() as session:
        asked = session.exec(select(Consent).order_by(col(Consent.id).desc())).first()
    assert asked is not None
    assert asked.id is not None
    tokens, past = house.app.tokens, house.app.clock() - timedelta(hours=2)
    for purpose, letter in ((Purpose.MOVE, "m"), (Purpose.MOVE_BACK, "b"), (Purpose.CONFIRM, "c")):
        expired = f"/{letter}/{tokens.make(purpose, asked.id, expires=past)}"
        window.goto(f"{expired}?language={walk.language}", _("This link has expired"))
    window.press(_("Send a new link"), _("Check your mailbox"))

    monkeypatch.setitem(house.app.settings.__dict__, "requests_per_domain", 0)
    window.goto(walk.front)
    window.page.locator("#address").fill("anna@example.org")
    window.press(_("Subscribe"), _("Please try again later"))


def test_automatic_letters_fit_a_phone_and_are_without_barriers(window: Window) -> None:
    about = test_automatic_mail.heard()
    for number, kind in enumerate(LETTERS):
        language = LANGUAGES[number % len(LANGUAGES)]
        window.show(render_automatic(kind, language, test_automatic_mail.LETTERHEAD, about).html)
        found = barriers(window.page, is_mail=True)
        assert not found, "\n".join((kind, *found))


@pytest.mark.parametrize("screen", [SMALL, PHONE, DESKTOP], ids=lambda screen: str(screen.width))
def test_what_authors_write_wide_fits_a_letter(window: Window) -> None:
    address = f"https://example.org/{'a' * 200}"
    mail = test_issue_mail.written(f"## S\n### H {'h' * 80}\n**L {'l' * 80}**\n\n{MORE.decode()}\n<{address}>\n")
    window.show(mail.html)
    inside = "each => each.getBoundingClientRect().right <= document.documentElement.clientWidth"
    for part in ("pre", ".wide", "h3", ".lead", ".text p", ".footer"):
        assert window.page.locator(part).first.evaluate(inside), part
    cell = window.page.locator(".wide td").first
    assert cell.evaluate("each => each.clientHeight < 60"), "figures are scrolled, not broken"
    found = barriers(window.page, is_mail=True)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("language", ["en"])
def test_what_authors_write_wide_fits_the_paper(walk: Walk) -> None:
    window, page = walk.window, walk.window.page
    window.goto(f"{walk.front}/issues/2019-04-08")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 400, "height": 560})  # A6
    for wide in (page.locator("pre").first, page.locator(".wide table").first):
        assert wide.evaluate("each => each.scrollWidth <= each.clientWidth")
        assert wide.evaluate("each => each.getBoundingClientRect().right <= document.body.clientWidth")
    page.emulate_media(media="screen")


@pytest.mark.parametrize("language", ["be"])
def test_what_is_refused_looks_like_every_other_page(house: House, walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = walk._, TestClient(create_app(house.app), base_url=house.origin)

    def broken(*_: object) -> None:
        raise DatabaseError("broken")

    known = {"headers": {"Accept-Language": walk.language}}
    answers = [
        client.post("/console/sign-in", headers={**known["headers"], "Origin": "https://evil.example"}),
        client.post("/subscribe", data={"address": "x" * 100_000}, **known),
        client.put("/subscribe", **known),
        client.post("/subscribe", content=b"\xff", headers={**known["headers"], "Content-Type": "multipart/form-data"}),
    ]
    monkeypatch.setattr(house.app.database, "read", broken)
    answers.append(client.get(f"/{house.slug}/{walk.language}"))
    assert [answer.status_code for answer in answers] == [403, 413, 405, 400, 503]
    for answer in answers:
        assert '<html lang="be">' in answer.text
        walk.window.serve(f"/refused/{answer.status_code}", answer.text, answer.status_code)


@pytest.mark.parametrize("language", ["ru"])
def test_under_pressure_the_browser_does_the_work_and_the_button_may_be_pressed_meanwhile(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, window = walk._, walk.window
    monkeypatch.setitem(walk.house.app.settings.__dict__, "requests_expected", 0)
    monkeypatch.setattr("mailer.web.optin.TRIES", 10)
    window.goto(walk.front)
    window.page.locator("#address").fill(walk.address)
    window.press(_("Subscribe"), _("One more step"))
    window.press(_("Subscribe"), _("Check your mailbox"))
    assert walk.house.mail(walk.address, 0)


@pytest.mark.parametrize(("language", "screen"), [("be", PLAIN)])
def test_under_pressure_who_has_no_script_waits(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    _, window = walk._, walk.window
    monkeypatch.setitem(walk.house.app.settings.__dict__, "requests_expected", 0)
    window.goto(walk.front)
    window.page.locator("#address").fill(walk.address)
    window.press(_("Subscribe"), _("One more step"))
    window.press(_("Subscribe"), _("One more step"))
    monkeypatch.setattr("mailer.web.asking.WAITED", timedelta(0))
    window.press(_("Subscribe"), _("Check your mailbox"))
    assert walk.house.mail(walk.address, 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_leads_to_itself_in_the_other_languages(walk: Walk) -> None:
    window = walk.window
    for address in ("/hrodna/{}", "/hrodna/{}/issues", "/belarus/{}/privacy"):
        window.goto(address.format(walk.language))
        other = LANGUAGES[LANGUAGES.index(walk.language) - 1]
        window.page.locator(f".languages a[lang={other}]").click()
        expect(window.page.locator("html")).to_have_attribute("lang", other)
        assert window.page.url.endswith(address.format(other))


@pytest.mark.parametrize("language", ["en"])
def test_a_form_can_be_filled_in_by_keyboard_and_a_mistake_is_pointed_at(walk: Walk) -> None:
    window, keyboard = walk.window, walk.window.page.keyboard
    window.goto(walk.front)
    keyboard.press("Tab")
    expect(window.page.get_by_text("Skip to the text")).to_be_focused()
    trap = window.page.locator("#website").bounding_box()
    assert trap is not None
    assert trap["x"] + trap["width"] < 0  # out of a person's sight
    window.page.locator("#address").focus()
    keyboard.type("anna@nowhere")
    keyboard.press("Enter")
    field = window.page.locator("#address")
    expect(field).to_have_value("anna@nowhere")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(window.page.locator("#wrong-address")).to_be_visible()
    field.fill(walk.address)
    keyboard.press("Enter")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Check your mailbox")


@pytest.mark.parametrize("screen", [PHONE, DESKTOP])
def test_the_form_is_beside_the_latest_issue_or_one_press_below_it(
    house: House, window: Window, screen: Screen
) -> None:
    page = window.page
    window.goto("/")
    window.follow("Situation in Belarus")
    form, latest = page.locator("#subscribe").bounding_box(), page.locator(".latest").bounding_box()
    assert form is not None
    assert latest is not None
    if screen is DESKTOP:
        assert form["x"] >= latest["x"] + latest["width"]
    else:
        assert form["y"] >= latest["y"] + latest["height"]
        page.locator("header").get_by_role("link", name="Subscribe").click()
        expect(page.get_by_role("heading", name="Subscribe")).to_be_in_viewport()
    page.emulate_media(media="print")
    expect(page.locator(".languages")).to_be_hidden()


@pytest.mark.parametrize("screen", [PHONE, DESKTOP])
def test_an_operator_signs_in_looks_at_the_log_and_signs_out(house: House, window: Window, screen: Screen) -> None:
    page = window.page
    window.goto("/console", "Sign in")
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill("wrong")
    window.press("Sign in", "Sign in")
    page.get_by_label("Password").fill(house.password)
    window.press("Sign in")
    expect(page.get_by_role("heading", name="Send log")).to_be_visible()
    page.get_by_label("Status").select_option("refused")
    window.press("Show")
    expect(page.get_by_text("No delivery fits this filter.")).to_be_visible()
    window.follow("Everything")
    window.click(page.locator(".log a"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delivery")
    window.follow("Statistics")
    window.press("Sign out", "Sign in")
    window.goto("/console", "Sign in")
