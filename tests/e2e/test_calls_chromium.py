"""Calls in real browsers, on a whole server: pages of ours that speak the public WebSocket wire, with a real login.

Frames that are decoded are counted, never seconds or bit rates: the machine of the test may be busy.
"""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from fsharechat.client import Client, login
from tools.testing.chromium import Chromium, Page
from tools.testing.server import SUPER_CODE, Server
from tools.testing.services import Services

PAGE = (Path(__file__).parent / "public_page.html").read_text()
HOST = "127.0.0.1"
FRAMES = 15
"""New ones that show that a picture moves."""

pytestmark = pytest.mark.slow


class Browsers:
    """Opens pages, each of a user of its own."""

    def __init__(self, browser: Chromium, url: str, server: Server) -> None:
        self._browser = browser
        self._url = url
        self.server = server
        self._numbers = iter(range(13_600_000_000, 13_700_000_000))

    async def page(self, **options: str) -> tuple[Page, str]:
        """Return a page that is logged in, and the uid of its user."""
        at = self.server.at
        said = {
            "http": at.http,
            "ws": at.ws,
            "code": SUPER_CODE,
            "number": str(next(self._numbers)),
            **options,
        }
        page = await self._browser.page(f"{self._url}?{urlencode(said)}")
        await page.until("document.title == 'CONNECTION_ACCEPTED'")
        return page, str(await page.evaluate("me"))

    async def group(self, uids: Sequence[str]) -> str:
        """Return a group of these users, made by one more."""
        at = self.server.at
        maker = await login(at.http, str(next(self._numbers)), SUPER_CODE, "maker")
        async with Client(maker, **at.of("tcp")) as client:
            return await client.groups.create("a group", uids)


@pytest.fixture
async def browsers(tmp_path: Path) -> AsyncIterator[Browsers]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    url = f"http://{HOST}:{runner.addresses[0][1]}/"
    try:
        async with Server(tmp_path / "data") as server, Chromium() as browser:
            yield Browsers(browser, url, server)
    finally:
        await runner.cleanup()


async def sees(page: Page, *peers: str) -> None:
    """Wait until new frames of each are decoded, and new packets of sound arrive."""
    for peer in peers:
        before = await page.evaluate(f"statistics({peer!r})")
        frames, audio = before["frames"] + FRAMES, before["audio"]
        await page.until(f"statistics({peer!r}).then(it => it.frames >= {frames} && it.audio > {audio})")


async def fine(*pages: Page) -> None:
    for page in pages:
        assert await page.evaluate("log") == []
        assert page.said == []


async def test_three_see_each_other_one_comes_back_and_the_first_ends_it(browsers: Browsers) -> None:
    people = [await browsers.page() for _ in range(3)]
    pages, uids = [page for page, _ in people], [uid for _, uid in people]
    ann, ben, cat = pages
    group = await browsers.group(uids)
    await ann.evaluate(f"start(GROUP, {group!r}, {json.dumps(uids[1:])})")
    for page in (ben, cat):
        await page.until("rung.length == 1")
        assert sorted(await page.evaluate("rung[0].others")) == sorted({*uids} - {await page.evaluate("me")})
        await page.evaluate("answer()")
    for page, uid in people:
        await sees(page, *(other for other in uids if other != uid))

    await cat.evaluate("finish(403)")
    for page in (ann, ben):
        await page.until(f"!({uids[2]!r} in connections)")
    await sees(ann, uids[1])
    await cat.evaluate("answer()")
    for page, uid in people:
        await sees(page, *(other for other in uids if other != uid))

    await ann.evaluate("finish(402)")
    for page in pages:
        await page.until("call === null && Object.keys(connections).length == 0")
    await fine(*pages)


async def talk(ann: tuple[Page, str], ben: tuple[Page, str]) -> None:
    await ann[0].evaluate(f"start(PRIVATE, {ben[1]!r})")
    await ben[0].until("rung.length == 1")
    await ben[0].evaluate("answer()")
    await sees(ann[0], ben[1])
    await sees(ben[0], ann[1])


async def hang_up(ann: tuple[Page, str], ben: tuple[Page, str]) -> None:
    await ben[0].evaluate("finish(402)")
    await ann[0].until("call === null")
    await fine(ann[0], ben[0])


async def test_two_see_each_other(browsers: Browsers) -> None:
    ann, ben = await browsers.page(), await browsers.page()
    await talk(ann, ben)
    await hang_up(ann, ben)


async def turn_of(server: Server, number: str) -> str:
    """Return what a page gives to WebRTC: the answer to TURN."""
    who = await login(server.at.http, number, SUPER_CODE, "asks")
    async with Client(who, **server.at.of("ws")) as client:
        found = await client.turn()
    entry = {"urls": found.urls, "username": found.username, "credential": found.credential}
    return json.dumps([entry])


async def test_two_see_each_other_through_the_relay_alone(
    browsers: Browsers, tmp_path: Path, services: Services
) -> None:
    variables = services("coturn").variables("coturn")
    settings = {"TURN__URLS": variables["TURN_URL"], "TURN__SECRET": variables["TURN_SECRET"]}
    async with Server(tmp_path / "relayed", settings) as server:
        browsers.server = server
        ice = await turn_of(server, "13500000000")
        ann, ben = [await browsers.page(ice=ice, policy="relay") for _ in range(2)]
        await talk(ann, ben)
        for page, peer in ((ann[0], ben[1]), (ben[0], ann[1])):
            assert (await page.evaluate(f"statistics({peer!r})"))["relayed"]
        await hang_up(ann, ben)
