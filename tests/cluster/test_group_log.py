"""A large group in a cluster: one group process puts members to sleep, the other wakes them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fsharechat import urls
from fsharechat.settings_schema import MYSQL_PORT
from fsharechat.store import fence
from fsharechat.store.mysql import MysqlStore
from tests.large_group import MEMBERS, LargeGroupTalk, asleep, come_true, insert_users
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in
from tools.testing.server import run_command

pytestmark = pytest.mark.slow


def store_of(it: LiveCluster) -> MysqlStore:
    return MysqlStore(urls.parse(it.info()["variables"]["FSHARECHAT_STORE__URL"], "mysql", MYSQL_PORT), 1000)


async def test_members_sleep_after_the_fence_and_have_all_when_they_come(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    it = cluster(2, 2)
    it.faults()
    numbers = new_numbers(4)
    crowd = [f"{numbers[0]}member{n}" for n in range(MEMBERS - 4)]
    store = store_of(it)
    await store.open()
    try:
        await store.write(insert_users, crowd)
        async with AsyncExitStack() as stack:
            ann, ben, cid, dan = [
                await log_in(it.at(n % 2), number, "phone") for n, number in enumerate(numbers)
            ]
            first = await stack.enter_async_context(Handset(ann, it.anywhere(0), "tcp"))
            second = await stack.enter_async_context(Handset(ben, it.anywhere(1), "ws"))
            id = await first.groups.create("hundreds", [ben.user_id, cid.user_id, dan.user_id, *crowd])
            talk = LargeGroupTalk(id, first, second)
            await it.until_known()
            if await store.read(fence.lowest) < fence.LEVEL:
                await talk.go_on(10)
                assert await store.read(asleep, id) == []
                settings = it.settings_of_one_more()
                code, _, errors = await asyncio.to_thread(
                    run_command, tmp_path / "data", "fence", settings=settings
                )
                assert code == 0, errors

            async def all_asleep() -> bool:
                await talk.say("is anybody there?", talk.ben)
                return set(await store.read(asleep, id)) == {cid.user_id, dan.user_id, *crowd}

            await come_true(all_asleep, "they stay awake")
            await talk.go_on()
            third = await stack.enter_async_context(Handset(cid, it.anywhere(1), "tcp"))
            await talk.check(third)
            await asyncio.to_thread(it.kill, "group-0")
            await talk.go_on(10)
            await asyncio.to_thread(it.start, "group-0")
            fourth = await stack.enter_async_context(Handset(dan, it.anywhere(0), "ws"))
            await talk.go_on(10)
            for device in (third, fourth):
                await talk.check(device)
            assert set(await store.read(asleep, id)) == set(crowd)
    finally:
        await store.close()
    assert it.faults() == []
