"""The chat page in a real browser, on a whole server: what people do, and what others see of it."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from fsharechat.client import Client, login
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages, web_browser

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

_NUMBERS = itertools.count(13_600_000_000)

Enter = Callable[[], Awaitable[Person]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("web")
    async with Server(folder / "data") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with web_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def enter(server: Server, browser: Browser) -> AsyncIterator[Enter]:
    """Let one more person log in; at the end no page may have had a fault."""
    people: list[Person] = []

    async def one() -> Person:
        person = await Person.open(browser, server.at.http, str(next(_NUMBERS)))
        people.append(person)
        await person.log_in()
        return person

    yield one
    for person in people:
        await person.context.close()
    assert [fault for person in people for fault in person.faults] == []


async def befriend(server: Server, ann: Person, ben: Person) -> None:
    """Make two people friends, from other devices of theirs."""
    phones = [await login(server.at.http, one.number, SUPER_CODE, "phone") for one in (ann, ben)]
    async with (
        Client(phones[0], **server.at.of("ws")) as first,
        Client(phones[1], **server.at.of("ws")) as second,
    ):
        await first.add_friend(phones[1].user_id, "hello")
        await second.handle_friend_request(phones[0].user_id)


async def test_two_people_talk(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    for person in (ann, ben):
        await person.page.locator(".conversations .row").first.click()
    await ann.say("good morning")
    await ben.sees("good morning")
    await ben.say("hello Ann")
    await ann.sees("hello Ann")
    await expect(ann.page.locator(".conversations .line").first).to_have_text("hello Ann")
