"""The chat page in a real Chromium, for tests: people who each have a browser of their own, driven by Playwright."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect
from playwright.async_api import TimeoutError as PlaywrightTimeout

from tools.services.errors import Unavailable
from tools.services.install import Installer, program
from tools.testing.chromium import FLAGS
from tools.testing.server import SUPER_CODE

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "roles/api/web/node_modules/axe-core/axe.min.js"
BOUND_MS = 60_000
_BUILD_SECONDS = 300.0

expect.set_options(timeout=BOUND_MS)


async def build_pages() -> None:
    """Build the pages as `scripts/web build` does; that is nothing where they are new."""
    building = await asyncio.create_subprocess_exec(ROOT / "scripts" / "web", "build")
    async with asyncio.timeout(_BUILD_SECONDS):
        assert await building.wait() == 0, "the pages could not be built"


@asynccontextmanager
async def web_browser() -> AsyncIterator[Browser]:
    """Start Debian's Chromium. It is installed where it is missing and may be; else the test is skipped."""
    try:
        await asyncio.to_thread(Installer(print).require, ["chromium"], lambda: bool(program("chromium")))
    except Unavailable as error:
        pytest.skip(str(error))
    async with async_playwright() as playwright:
        # Playwright sets what is about DevTools and the window itself.
        flags = [flag for flag in FLAGS if not flag.startswith(("--headless", "--remote-debugging"))]
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=flags)
        try:
            yield browser
        finally:
            await browser.close()


class Person:
    """Somebody with a browser of their own. `faults` is what the page wrote to its console as an error, or threw."""

    def __init__(self, context: BrowserContext, page: Page, url: str, number: str) -> None:
        self.context = context
        self.page = page
        self.url = url
        self.number = number
        self.faults: list[str] = []
        self.watch(page)

    @classmethod
    async def open(cls, browser: Browser, url: str, number: str, **options: Any) -> "Person":
        """Open a browser window in English, unless `options` (of Playwright's new_context) say otherwise."""
        context = await browser.new_context(**{"locale": "en-US", **options})
        context.set_default_timeout(BOUND_MS)
        page = await context.new_page()
        person = cls(context, page, url, number)
        await page.goto(url)
        return person

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.faults.append(f"{error} {error.stack}"))
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)

    async def log_in(self, code: str = SUPER_CODE) -> None:
        await self.page.locator('[name="number"]').fill(self.number)
        await self.page.locator('[name="code"]').fill(code)
        await self.page.locator("form button.primary").click()
        await expect(self.page.locator("nav")).to_be_visible()

    @property
    async def uid(self) -> str:
        return str(await self.page.evaluate("JSON.parse(localStorage.getItem('fsharechat.session')).userId"))

    async def open_chat(self, name: str) -> None:
        """Open a conversation of the list."""
        await self.page.locator(".conversations .row", has_text=name).click()
        await self.until_open(name)

    async def until_open(self, name: str) -> None:
        """Wait until a conversation is open. The one that was open before has a field for texts, too."""
        await expect(self.page.locator(".chat h1")).to_contain_text(name)
        await expect(self.page.locator(".composer textarea")).to_be_visible()

    async def choose_all(self, count: int) -> None:
        """Tick all people in the dialog that is open, once there are so many."""
        boxes = self.page.locator("dialog input[type=checkbox]")
        await expect(boxes).to_have_count(count)
        # Not by their places: those change when the names come.
        for _ in range(count):
            await self.page.locator("dialog input[type=checkbox]:not(:checked)").first.check()
        await expect(self.page.locator("dialog input[type=checkbox]:checked")).to_have_count(count)

    async def say(self, text: str) -> None:
        """Send a text in the conversation that is open."""
        send = self.page.locator(".composer .send")
        for _ in range(5):  # a conversation that opens just now takes the place of the field that was filled
            await self.page.locator(".composer textarea").fill(text)
            with suppress(PlaywrightTimeout):
                await send.wait_for(timeout=BOUND_MS / 5)
                break
        await send.click()

    def bubble(self, text: str) -> Locator:
        """Return the messages in the open conversation that are this text."""
        return self.page.locator(".bubble").filter(
            has=self.page.get_by_text(re.compile(f"^{re.escape(text)}$"))
        )

    async def sees(self, text: str) -> None:
        await expect(self.bubble(text)).to_have_count(1)

    async def sees_part(self, text: str) -> None:
        await expect(self.page.locator(".bubble", has_text=text)).to_have_count(1)

    async def tab(self) -> "Person":
        """Open one more tab of the same browser."""
        page = await self.context.new_page()
        other = Person(self.context, page, self.url, self.number)
        other.faults = self.faults
        await page.goto(self.url)
        await expect(page.locator("nav")).to_be_visible()
        return other

    async def axe(self) -> list[str]:
        """Return what axe finds on the page that is serious or critical."""
        # The page's policy keeps injected scripts out, so the script comes by DevTools.
        devtools = await self.context.new_cdp_session(self.page)
        await devtools.send("Runtime.evaluate", {"expression": AXE.read_text()})
        found = await devtools.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then(({violations}) => violations.filter(({impact}) => "
                "['serious', 'critical'].includes(impact)).map(({id, nodes}) => "
                "`${id}: ${nodes.map(({html}) => html).join(' ')}`))",
                "awaitPromise": True,
                "returnByValue": True,
            },
        )
        await devtools.detach()
        return list(found["result"]["value"])
