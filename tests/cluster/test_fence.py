"""A cluster whose store is closed to its version, as when a newer one has raised the fence."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pymysql
import pytest

from fsharechat import urls
from fsharechat.settings_schema import MYSQL_PORT
from fsharechat.store import fence
from tools.testing.cluster import LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in
from tools.testing.server import BOUND, run_command

pytestmark = pytest.mark.slow

REASON = (
    f"it takes level {fence.LEVEL + 1} and above, and this version is of level {fence.LEVEL}: run a newer one"
)


@contextmanager
def raised(it: LiveCluster) -> Iterator[None]:
    """Have the fence above the level of this version."""
    url = urls.parse(it.info()["variables"]["FSHARECHAT_STORE__URL"], "mysql", MYSQL_PORT)
    host, port = url.hosts[0]
    login: dict[str, Any] = {"user": url.user, "password": url.password, "database": url.path}
    with pymysql.connect(host=host, port=port, autocommit=True, **login) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "REPLACE INTO facts (name, value) VALUES (%s, %s)", (fence.NAME, str(fence.LEVEL + 1))
            )
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM facts WHERE name = %s", (fence.NAME,))


async def until_store_is(it: LiveCluster, wanted: str, code: int) -> None:
    """Wait until every group process says this of its store, and that it is ready or not."""
    pages = [it.metrics_page(name).replace("/metrics", "/monitor/ready") for name in it.names("group")]
    async with aiohttp.ClientSession() as http, asyncio.timeout(BOUND):
        for page in pages:
            while True:
                async with http.get(page) as answer:
                    found = answer.status, (await answer.json())["parts"]["store"]
                if found == (code, wanted):
                    break
                await asyncio.sleep(0.05)


async def test_processes_below_the_fence_take_no_calls_and_do_not_start(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    it = cluster(2, 2)
    it.faults()
    ann, ben = [await log_in(it.at(), number, "phone") for number in new_numbers(2)]
    with raised(it):
        await until_store_is(it, REASON, 503)
        settings = {**it.settings_of_one_more(), "RPC__PORT": "0"}
        code, output, errors = await asyncio.to_thread(
            run_command, tmp_path / "data", "--roles", "group", settings=settings
        )
        assert (code, "ready" in output) == (1, False)
        assert errors.splitlines()[-1].startswith("fsharechat: [store] ")
        assert errors.splitlines()[-1].endswith(REASON)
    await until_store_is(it, "ok", 200)
    async with (
        Handset(ann, it.anywhere(0), "tcp") as one,
        Handset(ben, it.anywhere(1), "ws") as other,
    ):
        await one.send(other.user_id, "it goes on")
        await other.until_received(1)
    said = it.faults()
    assert len(said) == len(it.names("group")), "one line each"
    assert all("the store is closed to this version" in line and REASON in line for line in said)
