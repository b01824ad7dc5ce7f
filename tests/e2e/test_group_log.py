"""Members of a large group who are away, on both transports: they come back and have all, once and in order."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from fsharechat.client import Credentials, ReportsChanged
from fsharechat.protocol.signals import ReportType
from fsharechat.store.sqlite import SqliteStore
from tests.e2e.deployment import Boot
from tests.e2e.in_process import Booted
from tests.large_group import MEMBERS, LargeGroupTalk, come_true, insert_users, put_users
from tools.testing.devices import Handset, log_in
from tools.testing.server import Server

pytestmark = pytest.mark.slow

CROWD = [f"member{n}" for n in range(MEMBERS - 3)]


class Scene:
    """Ann and Ben are in a group with Cid, who is away, and with hundreds who never come."""

    def __init__(
        self, server: Server, stack: AsyncExitStack, talk: LargeGroupTalk, cid: Credentials, first: int
    ) -> None:
        self.server = server
        self.talk = talk
        self.cid = cid
        self._stack = stack
        self._seq = first

    @classmethod
    async def lay(cls, server: Server, stack: AsyncExitStack, by: str) -> "Scene":
        other = {"tcp": "ws", "ws": "tcp"}[by]
        ann, ben, cid = [await log_in(server.at, f"1380000000{n}", f"device-{n}") for n in range(3)]
        first = await stack.enter_async_context(Handset(ann, server.at, by))
        second = await stack.enter_async_context(Handset(ben, server.at, other))
        id = await first.groups.create("hundreds", [ben.user_id, cid.user_id, *CROWD])
        return cls(server, stack, LargeGroupTalk(id, first, second), cid, 1)

    def asleep(self) -> set[str]:
        path = self.server.data / "fsharechat.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute(
                "SELECT uid FROM group_members WHERE group_id = ? AND given >= 0", (self.talk.id,)
            )
            return {uid for (uid,) in rows}

    async def until_asleep(self) -> None:
        """Have something said until all who are away are asleep."""

        async def look() -> bool:
            await self.talk.say("is anybody there?")
            return self.asleep() == {self.cid.user_id, *CROWD}

        await come_true(look, "they stay awake")

    async def back(self, by: str) -> Handset:
        """Have Cid connect, who has nothing but the notice of the group."""
        device = Handset(self.cid, self.server.at, by)
        return await self._stack.enter_async_context(device)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    data = tmp_path / "data"
    data.mkdir()
    await put_users(SqliteStore(data / "fsharechat.db", 100), CROWD)
    async with Server(data, {"CONNECTOR__HEAD_CHECK_SECONDS": "1"}) as server:
        yield server


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize(("by", "cid_by"), [("tcp", "ws"), ("ws", "tcp")])
async def test_who_was_away_has_all_of_it_and_goes_on(
    server: Server, stack: AsyncExitStack, by: str, cid_by: str
) -> None:
    scene = await Scene.lay(server, stack, by)
    talk = scene.talk
    await scene.until_asleep()
    await talk.go_on()
    await talk.say("for Cid, too", talk.ben, [talk.ann.user_id, scene.cid.user_id])
    await talk.go_on(5)
    assert scene.cid.user_id in scene.asleep()
    cid = await scene.back(cid_by)
    await talk.check(cid)
    assert scene.asleep() == set(CROWD)
    await talk.go_on(5)
    await talk.check(cid)

    last = next(message for message in cid.received if message.message_id == talk.sent[-1].message_id)
    await cid.reports.read(talk.conversation(), last.server_timestamp)
    await talk.ann.until_seen(ReportsChanged)
    (report,) = (await talk.ann.reports.pull(ReportType.READ)).report
    assert (report.uid, report.target) == (scene.cid.user_id, talk.id)
    history = await cid.history(talk.conversation(), 0, 20)
    assert [one.message_id for one in history] == [sent.message_id for sent in talk.sent[:-21:-1]]


@pytest.mark.parametrize("by", ["tcp", "ws"])
async def test_a_kill_between_sleep_and_return_loses_and_doubles_nothing(
    server: Server, stack: AsyncExitStack, by: str
) -> None:
    scene = await Scene.lay(server, stack, by)
    await scene.until_asleep()
    await scene.talk.go_on(10)
    await server.kill()
    await server.start()
    await scene.talk.go_on(10)
    cid = await scene.back(by)
    await server.kill()
    await server.start()
    await scene.talk.go_on(10)
    await scene.talk.check(cid)


async def test_who_is_asleep_by_mistake_is_late_and_lacks_nothing(boot: Boot, stack: AsyncExitStack) -> None:
    server = await boot(connector={"head_check_seconds": 0.5})
    assert isinstance(server, Booted)
    store = server.node.store
    ann, ben = [await log_in(server.at, f"1380000000{n}", f"device-{n}") for n in range(2)]
    first = await stack.enter_async_context(Handset(ann, server.at, "tcp"))
    second = await stack.enter_async_context(Handset(ben, server.at, "ws"))
    await store.write(insert_users, CROWD)
    id = await first.groups.create("hundreds", [ben.user_id, *CROWD])
    talk = LargeGroupTalk(id, first, second)
    for n in range(1, 6):
        assert await store.put_to_sleep(id, [ann.user_id, ben.user_id])
        for _ in range(4):
            await talk.say("hello")
        await second.until_received(1 + 4 * n)
    await talk.check(second)
