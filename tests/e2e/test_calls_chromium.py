"""Calls in real browsers, on a whole server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fsharechat.client import Client, login
from tests.e2e.browsers import Browsers, all_see, call, fine, group_of, hang_up, over, sees, talk
from tools.testing.server import SUPER_CODE, Server
from tools.testing.services import Services

pytestmark = pytest.mark.slow


@pytest.fixture
async def browsers() -> AsyncIterator[Browsers]:
    async with Browsers.open() as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "data") as started:
        yield started


async def test_three_see_each_other_one_comes_back_and_the_first_ends_it(
    browsers: Browsers, server: Server
) -> None:
    people = [await browsers.person(server.at) for _ in range(3)]
    ann, ben, cat = people
    await call(await group_of(server.at, people), people)

    await cat.page.evaluate("finish(403)")
    for page in (ann.page, ben.page):
        await page.until(f"!({cat.uid!r} in connections)")
    await sees(ann.page, ben.uid)
    await cat.page.evaluate("answer()")
    await all_see(people)

    await ann.page.evaluate("finish(402)")
    await over(people)
    await fine(people)


async def test_two_see_each_other(browsers: Browsers, server: Server) -> None:
    ann, ben = await browsers.person(server.at), await browsers.person(server.at)
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
        ice = await turn_of(server, "13500000000")
        ann, ben = [await browsers.person(server.at, ice=ice, policy="relay") for _ in range(2)]
        await talk(ann, ben)
        for one, other in ((ann, ben), (ben, ann)):
            assert (await one.page.evaluate(f"statistics({other.uid!r})"))["relayed"]
        await hang_up(ann, ben)
