"""The key of the back office: the right one is always heard, and wrong ones are counted by address, in the store."""

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from roles.api.app import make_app
from tests.unit.api.api_kit import KEY, ApiAnswer, Site
from tests.unit.api.office_kit import Desk

ANN, BOB = "192.0.2.1", "192.0.2.2"
MAX_WRONG = 10


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


async def ask(desk: Desk, address: str, key: str = "wrong") -> ApiAnswer:
    headers = {"X-Forwarded-For": address, "Authorization": f"Bearer {key}"}
    return await desk.ask("GET", "/admin/users", **headers)


async def statuses(desk: Desk, address: str, tries: int) -> list[int]:
    return [(await ask(desk, address)).status for _ in range(tries)]


async def test_the_right_key_is_heard_whoever_guesses_from_the_same_address(desk: Desk) -> None:
    assert await statuses(desk, ANN, MAX_WRONG + 2) == [401] * MAX_WRONG + [429] * 2
    assert (await ask(desk, ANN, KEY)).status == 200
    assert (await ask(desk, ANN)).status == 429


async def test_an_address_may_be_wrong_again_after_a_while(desk: Desk) -> None:
    await statuses(desk, ANN, MAX_WRONG)
    refused = await ask(desk, ANN)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "6")
    desk.site.now += 6_000
    assert await statuses(desk, ANN, 2) == [401, 429]
    desk.site.now += 60_000
    assert await statuses(desk, ANN, MAX_WRONG + 1) == [401] * MAX_WRONG + [429]


async def test_other_addresses_are_not_held_up(desk: Desk) -> None:
    await statuses(desk, ANN, MAX_WRONG)
    assert await statuses(desk, BOB, 1) == [401]


async def test_what_one_subscriber_has_of_ipv6_is_one_address(desk: Desk) -> None:
    for number in range(MAX_WRONG):
        assert (await ask(desk, f"2001:db8:0:1::{number:x}")).status == 401
    assert (await ask(desk, "2001:db8:0:1:ffff::1")).status == 429
    assert (await ask(desk, "2001:db8:0:2::1")).status == 401


async def test_right_keys_do_not_wash_wrong_ones_away(desk: Desk) -> None:
    for _ in range(MAX_WRONG):
        assert (await ask(desk, ANN)).status == 401
        assert (await ask(desk, ANN, KEY)).status == 200
    assert (await ask(desk, ANN)).status == 429


async def test_wrong_keys_are_counted_whichever_process_is_asked(desk: Desk) -> None:
    headers = {"X-Forwarded-For": ANN, "X-API-Key": "wrong"}
    async with TestServer(make_app(desk.site.node)) as second, ClientSession() as http:
        found = []
        for _ in range(MAX_WRONG // 2 + 1):
            found.append((await ask(desk, ANN)).status)
            async with http.get(second.make_url("/admin/users"), headers=headers) as response:
                found.append(response.status)
    assert found == [401] * MAX_WRONG + [429] * 2


async def test_a_wrong_key_is_wrong_while_the_store_is_away(desk: Desk) -> None:
    await desk.site.node.store.close()
    assert await statuses(desk, ANN, MAX_WRONG + 2) == [401] * (MAX_WRONG + 2)
