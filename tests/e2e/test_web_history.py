"""The chat page on a conversation of 100,000 messages: by scrolling, without jumps, in bounded memory."""

import time
from pathlib import Path

import pytest
from playwright.async_api import expect

from fsharechat.client import login
from tools.testing.history import MadeHistory
from tools.testing.scrolling import Scroller
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages, web_browser

pytestmark = pytest.mark.slow

MESSAGES = 100_000
SCROLLED = 450
"""How many messages are scrolled past, up and down again: more than the page has at hand."""
STEP_PX = 600.0
MOST_OFF_PX = 2.0
MOST_SHOWN = 360
"""What the page keeps at hand, and a page more."""
MOST_MB = 40.0
NUMBER = "13800000001"


async def test_a_history_of_100_000_messages_is_scrolled_without_jumps(tmp_path: Path) -> None:
    await build_pages()
    server = Server(tmp_path / "data")
    async with server:
        ann = (await login(server.at.http, NUMBER, SUPER_CODE, "phone")).user_id
    async with MadeHistory(server.data) as made:
        now = int(time.time() * 1000)
        (ben,) = await made.befriend(ann, ["13800000002"], ["Ben"], now)
        await made.talk(ann, ben, MESSAGES, now)
    async with server, web_browser() as browser:
        person = await Person.open(browser, server.at.http, NUMBER, viewport={"width": 1280, "height": 1600})
        await person.log_in()
        await person.page.goto(f"{person.url}/#/c/0-0-{ben}")
        scroller = Scroller(person)
        await expect(person.page.locator(".bubble", has_text=f"number {MESSAGES - 1}")).to_have_count(1)
        first = (await scroller.turn(0)).first
        began_mb = await scroller.heap_mb()
        for direction in (-1, 1):
            before = first
            while first > MESSAGES - SCROLLED if direction < 0 else first < MESSAGES - 100:
                step = await scroller.turn(direction * STEP_PX)
                assert step.off_px <= MOST_OFF_PX, f"at message {step.first} it jumped by {step.off_px} px"
                assert (step.first - before) * direction > 0, f"at message {step.first} it stood still"
                first = before = step.first
                assert await scroller.elements() <= MOST_SHOWN
        assert await scroller.heap_mb() < began_mb + MOST_MB
        await scroller.turn(100 * STEP_PX)
        await expect(person.page.locator(".bubble", has_text=f"number {MESSAGES - 1}")).to_have_count(1)
        for _ in range(15):
            await scroller.turn(-STEP_PX)
        await person.say("from deep in the past")
        await person.sees("from deep in the past")
        await expect(person.page.locator(".bubble", has_text=f"number {MESSAGES - 1}")).to_have_count(1)
        assert person.faults == []
        await person.context.close()
