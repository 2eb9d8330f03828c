"""The pages in a real browser, on a real server: as a reader and an operator see and use them."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from datetime import date

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from mailer import staff
from mailer.app import App
from mailer.subscribers.states import SubscriptionStatus
from mailer.tables import Publication, Subscription, UserRole
from mailer.web.site import create_app
from tests.conftest import HandedClock
from tests.web.conftest import AddIssue, Ledger

pytestmark = [pytest.mark.browser, pytest.mark.sqlite]  # what differs by database is tested without a browser

WIDTHS = [360, 1200]
PASSWORD = "correct horse battery"


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


@pytest.fixture
def page(browser: Browser, origin: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser of the width that the test is run with; what the browser complains about fails the test."""
    width = request.getfixturevalue("width")
    context = browser.new_context(viewport={"width": width, "height": 800}, base_url=origin)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert not complaints


def _is_complaint(said: ConsoleMessage) -> bool:
    """Not that there is no icon, nor that a form was sent back to be corrected."""
    return "favicon" not in said.location["url"] and "status of 422" not in said.text


def _fits(page: Page) -> None:
    """Nothing stands out of the window sideways."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("language", "subscribe", "check", "confirm", "subscribed", "leave", "left"),
    [
        (
            "en",
            "Subscribe",
            "Check your mailbox",
            "Confirm subscription",
            "You have been successfully subscribed",
            "Unsubscribe",
            "You have been unsubscribed",
        ),
        (
            "be",
            "Падпісацца",
            "Праверце пошту",
            "Пацвердзіць падпіску",
            "Вы паспяхова падпісаліся",
            "Адпісацца",
            "Вы адпісаліся",
        ),
        (
            "ru",
            "Подписаться",
            "Проверьте почту",
            "Подтвердить подписку",
            "Вы успешно подписались",
            "Отписаться",
            "Вы отписались",
        ),
    ],
)
def test_a_reader_subscribes_confirms_and_leaves(
    page: Page,
    ledger: Ledger,
    width: int,
    language: str,
    subscribe: str,
    check: str,
    confirm: str,
    subscribed: str,
    leave: str,
    left: str,
) -> None:
    page.goto(f"/belarus/{language}")
    _fits(page)
    page.get_by_label("BE/RU").check()
    page.locator("#address").fill("anna@example.org")
    page.get_by_role("button", name=subscribe, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(check)
    _fits(page)

    page.goto(ledger.confirm_path())
    _fits(page)
    page.get_by_role("button", name=confirm, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(subscribed)
    assert ledger.subscriptions()[0].status is SubscriptionStatus.CONFIRMED
    _fits(page)

    page.goto(ledger.leave_path())
    _fits(page)
    page.get_by_role("button", name=leave, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(left)
    assert ledger.subscriptions()[0].status is SubscriptionStatus.UNSUBSCRIBED
    assert page.context.cookies() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reader_chooses_pauses_moves_leaves_and_comes_back(
    page: Page, ledger: Ledger, confirmed: Subscription, width: int
) -> None:
    page.goto(ledger.preferences_path(confirmed) + "?language=en")
    _fits(page)
    page.get_by_label("BE/RU").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Added: BE/RU.")
    _fits(page)
    page.get_by_label("Until the day below").check()
    page.get_by_label("Day", exact=True).fill("2027-01-04")
    page.get_by_role("button", name="Pause the letters").click()
    expect(page.get_by_role("status")).to_contain_text("No issue before January 4, 2027.")
    page.get_by_role("button", name="End the pause").click()
    page.get_by_label("Your new e-mail address").fill("anna@example.net")
    page.get_by_role("button", name="Send the link").click()
    expect(page.get_by_role("status")).to_contain_text("a letter is on its way")

    page.goto(ledger.leave_path(confirmed) + "?language=en")
    _fits(page)
    page.get_by_role("button", name="Unsubscribe from all editions").click()
    page.get_by_label("I read it elsewhere").check()
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_role("status")).to_contain_text("Thank you.")
    page.get_by_role("button", name="Undo: keep me subscribed").click()
    expect(page.get_by_role("status")).to_contain_text("You get: RU, BE/RU.")
    _fits(page)

    page.goto(ledger.move_path() + "?language=en")
    page.get_by_role("button", name="Confirm the new address").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your address was changed")
    page.goto(ledger.move_back_path() + "?language=en")
    page.get_by_role("button", name="Take the change back").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The change was taken back")
    _fits(page)
    assert page.context.cookies() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_form_can_be_filled_in_by_keyboard_and_a_mistake_is_pointed_at(
    page: Page, ledger: Ledger, width: int
) -> None:
    page.goto("/belarus/en")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the text")).to_be_focused()
    page.locator("#address").focus()
    page.keyboard.type("anna@nowhere")
    page.keyboard.press("Enter")
    field = page.locator("#address")
    expect(field).to_have_value("anna@nowhere")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(page.locator("#wrong-address")).to_be_visible()
    field.fill("anna@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Check your mailbox")
    assert len(ledger.mails()) == 1


@pytest.mark.parametrize("width", [360])
def test_under_pressure_the_browser_does_the_work_and_the_button_may_be_pressed_meanwhile(
    page: Page, ledger: Ledger, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailer.web.asking._pressed", lambda *_: True)
    monkeypatch.setattr("mailer.web.optin.TRIES", 10)
    page.goto("/belarus/be")
    page.locator("#address").fill("anna@example.org")
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Яшчэ адзін крок")
    _fits(page)
    expect(page.locator("html")).to_have_attribute("lang", "be")
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Праверце пошту")
    assert len(ledger.mails()) == 1
    assert page.context.cookies() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_trap_for_programs_is_out_of_a_persons_sight(page: Page, width: int) -> None:
    page.goto("/belarus/en")
    box = page.locator("#website").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] < 0


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reader_changes_the_language_of_a_page(page: Page, ledger: Ledger, width: int) -> None:
    page.goto("/belarus/en")
    page.get_by_role("link", name="Беларуская").click()
    expect(page.locator("html")).to_have_attribute("lang", "be")
    page.locator("#address").fill("anna@example.org")
    page.get_by_role("button").click()
    page.goto(ledger.confirm_path())
    page.get_by_role("link", name="English").click()
    page.get_by_role("button", name="Confirm subscription").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have been successfully subscribed")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reader_goes_from_the_front_page_through_the_archive(page: Page, add_issue: AddIssue, width: int) -> None:
    add_issue("en", "be", first_day=date(2019, 4, 8))
    add_issue("en", "be")
    page.goto("/belarus/en")
    _fits(page)
    form, latest = page.locator("#subscribe").bounding_box(), page.locator(".latest").bounding_box()
    assert form is not None
    assert latest is not None
    if width > 1000:
        assert form["x"] >= latest["x"] + latest["width"]  # beside it
    else:
        assert form["y"] >= latest["y"] + latest["height"]  # below it, and one press away
        page.locator("header").get_by_role("link", name="Subscribe").click()
        expect(page.get_by_role("heading", name="Subscribe")).to_be_in_viewport()
    page.get_by_role("link", name="Read more Trams return").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Trams return")
    _fits(page)
    page.get_by_role("link", name="Беларуская").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Трамваі вяртаюцца")
    page.get_by_role("link", name="English").click()
    page.get_by_role("link", name="The whole issue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Situation in Belarus")
    _fits(page)
    page.get_by_role("link", name="Previous issue").click()
    expect(page.locator(".masthead")).to_contain_text("April 8 – April 14, 2019")
    page.get_by_role("link", name="All issues").click()
    expect(page.locator(".weeks > li")).to_have_count(2)
    _fits(page)
    page.emulate_media(media="print")
    expect(page.locator(".languages")).to_be_hidden()


@pytest.mark.parametrize("width", WIDTHS)
def test_an_operator_signs_in_looks_at_the_log_and_signs_out(
    page: Page, app: App, clock: HandedClock, ledger: Ledger, width: int
) -> None:
    with app.database.write() as session:
        staff.add_user(session, "olga", UserRole.OPERATOR, PASSWORD, clock())
    page.goto("/belarus/en")
    page.locator("#address").fill("anna@example.org")
    page.get_by_role("button").click()

    page.goto("/console")
    page.get_by_label("Name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Send log")).to_be_visible()
    expect(page.get_by_text("anna@example.org")).to_be_visible()
    _fits(page)
    page.get_by_label("Status").select_option("refused")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No delivery fits this filter.")).to_be_visible()
    page.get_by_role("link", name="Everything").click()
    page.locator(".log a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delivery 1")
    _fits(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto("/console")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
