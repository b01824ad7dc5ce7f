"""Pages of a real browser that call each other: they speak the public WebSocket wire, with a real login.

Frames that are decoded are counted, never seconds or bit rates: the machine of the test may be busy.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlencode

from aiohttp import web

from fsharechat.client import Client, login
from tools.testing.chromium import Chromium, Page
from tools.testing.cluster import new_numbers
from tools.testing.server import SUPER_CODE, ServerAddresses

PAGE = (Path(__file__).parent / "public_page.html").read_text()
HOST = "127.0.0.1"
FRAMES = 15
"""New ones that show that a picture moves."""


class Person(NamedTuple):
    """A page, and the uid of its user."""

    page: Page
    uid: str


class Browsers:
    """Opens pages, each of a user of its own."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self._browser = browser
        self._url = url

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async def serve(_: web.Request) -> web.Response:
            return web.Response(text=PAGE, content_type="text/html")

        app = web.Application()
        app.router.add_get("/", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        try:
            async with Chromium() as browser:
                yield cls(browser, f"http://{HOST}:{runner.addresses[0][1]}/")
        finally:
            await runner.cleanup()

    async def person(self, at: ServerAddresses, **options: str) -> Person:
        """Return a page that is logged in."""
        (number,) = new_numbers(1)
        said = {"http": at.http, "ws": at.ws, "code": SUPER_CODE, "number": number, **options}
        page = await self._browser.page(f"{self._url}?{urlencode(said)}")
        await page.until("document.title == 'CONNECTION_ACCEPTED'")
        return Person(page, str(await page.evaluate("me")))


async def group_of(at: ServerAddresses, people: Sequence[Person]) -> str:
    """Return a group of these users, made by one more."""
    maker = await login(at.http, new_numbers(1)[0], SUPER_CODE, "maker")
    async with Client(maker, **at.of("tcp")) as client:
        return await client.groups.create("a group", [uid for _, uid in people])


async def sees(page: Page, *peers: str) -> None:
    """Wait until new frames of each are decoded, and new packets of sound arrive."""
    for peer in peers:
        before = await page.evaluate(f"statistics({peer!r})")
        frames, audio = before["frames"] + FRAMES, before["audio"]
        await page.until(f"statistics({peer!r}).then(it => it.frames >= {frames} && it.audio > {audio})")


async def all_see(people: Sequence[Person]) -> None:
    """Wait until new frames of each come to everybody else."""
    for page, uid in people:
        await sees(page, *(other for _, other in people if other != uid))


async def fine(people: Sequence[Person]) -> None:
    """See that the pages have found no fault."""
    for page, _ in people:
        assert await page.evaluate("log") == []
        assert page.said == []


async def call(group: str, people: Sequence[Person]) -> None:
    """Put all into a call of their group, which the first one starts, and wait until they see each other."""
    first, *others = people
    await first.page.evaluate("rung.length = 0")
    for page, _ in others:
        await page.evaluate("rung.length = 0")
    await first.page.evaluate(f"start(GROUP, {group!r}, {json.dumps([uid for _, uid in others])})")
    for page, uid in others:
        await page.until("rung.length == 1")
        assert sorted(await page.evaluate("rung[0].others")) == sorted({one for _, one in people} - {uid})
    for page, _ in others:
        await page.evaluate("answer()")
    await all_see(people)


async def over(people: Sequence[Person]) -> None:
    """Wait until the call is over for all of these."""
    for page, _ in people:
        await page.until("call === null && Object.keys(connections).length == 0")


async def talk(ann: Person, ben: Person) -> None:
    """Let one call the other, who answers, until they see each other."""
    await ann.page.evaluate(f"start(PRIVATE, {ben.uid!r})")
    await ben.page.until("rung.length == 1")
    await ben.page.evaluate("answer()")
    await all_see((ann, ben))


async def hang_up(ann: Person, ben: Person) -> None:
    await ben.page.evaluate("finish(402)")
    await ann.page.until("call === null")
    await fine((ann, ben))
