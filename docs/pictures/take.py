"""Takes the pictures of the documentation from a running demo: `make pictures`. Needs Chromium."""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright
from rich.progress import Progress

from mailer.demo.road import walk
from mailer.demo.stage import Stage, stage
from mailer.rendering.decoded import part
from mailer.resources import resource


async def main(folder: Path, issue: Path, readers: int) -> None:
    """Writes the issue's editions (360 and 800 px, light and dark), the console and the front page to `folder`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with tempfile.TemporaryDirectory() as temporary:
            async with stage(Path(temporary)) as built:
                await walk(built, readers, issue, Progress(disable=True))
                await _editions(browser, built, folder)
                await _pages(browser, built, folder)
        await browser.close()


async def _editions(browser: Browser, built: Stage, folder: Path) -> None:
    mails = {mail.languages.replace(", ", "-"): mail for mail in built.mailbox.mails if mail.issue}
    for code, mail in mails.items():
        for width in (360, 800):
            for scheme in ("light", "dark"):
                page = await browser.new_page(
                    viewport={"width": width, "height": 1000},
                    color_scheme="dark" if scheme == "dark" else "light",
                )
                await page.set_content(part(mail.message(), "html"))
                await page.screenshot(path=folder / f"issue-{code}-{width}-{scheme}.png", full_page=True)
                await page.close()


async def _pages(browser: Browser, built: Stage, folder: Path) -> None:
    for width in (360, 1100):
        page = await browser.new_page(viewport={"width": width, "height": 900})
        await page.goto(f"{built.front}/{built.publication.slug}/be")
        await page.screenshot(path=folder / f"front-{width}.png", full_page=True)
        await page.goto(f"{built.front}/console")
        await page.get_by_label("Name").fill("demo")
        await page.get_by_label("Password").fill(built.password)
        await page.get_by_role("button").first.click()
        await page.wait_for_url("**/console")
        await page.screenshot(path=folder / f"console-{width}.png")
        await page.close()


if __name__ == "__main__":
    into, of = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    into.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(into, of or resource("templates") / "example" / "2026-11-16", 60))
