"""The version before this one on a store that this one has migrated.

A rolling upgrade under load is in test_mixed_versions.py. Here it is the store alone, on SQLite and on MariaDB.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from fsharechat import urls
from fsharechat.settings_schema import MYSQL_PORT
from tools.testing.cluster import new_numbers
from tools.testing.devices import Handset, log_in, text_of
from tools.testing.previous import previous_version
from tools.testing.server import Server, run_command
from tools.testing.services import Services

pytestmark = pytest.mark.slow

Settings = dict[str, str]
PAGE = 100
LOCAL_ID = 1
"""The sender's own id of its first message, which it sends again to each version."""


@pytest.fixture(params=["sqlite", "mariadb"])
def store(request: pytest.FixtureRequest) -> Settings:
    """The settings of a server with a store of its own."""
    if request.param == "sqlite":
        return {}
    services: Services = request.getfixturevalue("services")
    url = urls.parse(services("mariadb").url("mariadb"), "mysql", MYSQL_PORT)
    host, port = url.hosts[0]
    name = "fsharechat_previous"
    with (
        pymysql.connect(host=host, port=port, user=url.user, password=url.password) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        cursor.execute(f"CREATE DATABASE {name}")
    own = replace(url, path=name)
    return {"STORE__URL": f"mysql://{own.user}:{own.password}@{own.addresses}/{own.path}"}


@pytest.fixture(scope="module")
def tree() -> Path:
    """The source tree of the version before."""
    return previous_version()


def before(data: Path, tree: Path, store: Settings) -> Server:
    return Server(data, {**store, "MEDIA__LISTEN": None}, environment={"PYTHONPATH": str(tree)})


async def look(data: Path, store: Settings, command: str = "check") -> str:
    """Run a command of this version, which must end well, and return what it said."""
    code, output, errors = await asyncio.to_thread(run_command, data, command, settings=store)
    assert code == 0, output + errors
    return output


class Pair:
    """Two users who have said something to each other, on whatever version runs."""

    def __init__(self) -> None:
        self._numbers = new_numbers(2)
        self._said: list[str] = []
        self._first = 0

    async def talk(
        self, server: Server, while_they_do: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Log in, chat, do something else, chat, and find all that was ever said in the history."""
        numbers = self._numbers
        async with AsyncExitStack() as stack:
            devices = [
                await stack.enter_async_context(
                    Handset(await log_in(server.at, number, "phone"), server.at, transport)
                )
                for number, transport in zip(numbers, ("tcp", "ws"), strict=True)
            ]
            await self._say(*devices)
            if while_they_do is not None:
                await while_they_do()
                await self._say(*devices)

    async def _say(self, one: Handset, other: Handset) -> None:
        had = len(other.received)
        self._said.append(f"text {len(self._said)}")
        local_id = 0 if self._first else LOCAL_ID
        sent = await one.send(other.user_id, self._said[-1], local_id=local_id)
        await other.until_received(had + 1)
        # Whose answer got lost sends again, and may get another version: it has the first copy.
        self._first = self._first or sent.message_id
        assert (await one.send(other.user_id, self._said[0], local_id=LOCAL_ID)).message_id == self._first
        found = [text_of(message) for message in await one.history(other.user_id, count=PAGE)]
        assert found[::-1] == self._said


@pytest.mark.parametrize("store", ["mariadb"], indirect=True)
async def test_it_goes_on_while_this_version_migrates_the_store(
    store: Settings, tmp_path: Path, tree: Path
) -> None:
    data, pair = tmp_path / "data", Pair()
    async with before(data, tree, store) as server:
        assert "is older" in await look(tmp_path / "other", store)
        await pair.talk(server, lambda: look(tmp_path / "other", store, "migrate"))
        assert "is up to date" in await look(tmp_path / "other", store)
        await pair.talk(server)
    async with Server(data, store) as server:
        await pair.talk(server)


async def test_it_starts_on_the_store_that_this_version_has_migrated_or_says_that_it_cannot(
    store: Settings, tmp_path: Path, tree: Path
) -> None:
    data, pair = tmp_path / "data", Pair()
    async with before(data, tree, store) as server:
        await pair.talk(server)
    async with Server(data, store) as server:
        await pair.talk(server)
    if (tree / "fsharechat" / "store" / "fence.py").exists():
        async with before(data, tree, store) as server:
            await pair.talk(server)
    else:  # docs/cluster.md, "To go back": a version that knows no fence does not start there
        with pytest.raises(AssertionError, match="made by another version of fsharechat"):
            await before(data, tree, store).start()
    assert "is up to date" in await look(data, store)
    async with Server(data, store) as server:
        await pair.talk(server)
