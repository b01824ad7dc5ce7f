"""A Galera cluster: writers on several of its nodes, and a node that dies."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from fsharechat import urls
from fsharechat.errors import StoreError
from fsharechat.store import fence, group_log, inboxes
from fsharechat.store.mysql import MysqlStore
from fsharechat.urls import ServiceUrl
from tests.unit.store.group_log_kit import World
from tests.unit.store.store_kit import append, inbox, new
from tools.testing.services import Services

pytestmark = pytest.mark.slow

PEOPLE = [f"user{n}" for n in range(20)]


@pytest.fixture
def galera(services: Services) -> Iterator[ServiceUrl]:
    """Return an empty database on three nodes."""
    url = urls.parse(services("galera").url("galera"), "mysql", 3306)
    host, port = url.hosts[0]
    engine = create_engine(f"mysql+pymysql://{url.user}:{url.password}@{host}:{port}/{url.path}")
    with engine.begin() as connection:
        connection.execute(text(f"DROP DATABASE {url.path}"))
        connection.execute(text(f"CREATE DATABASE {url.path}"))
    engine.dispose()
    yield url
    services("galera")  # whatever the test has killed


@pytest.fixture
async def stores(galera: ServiceUrl) -> AsyncIterator[list[MysqlStore]]:
    """Return three stores, each with another node as its first."""
    made = [
        MysqlStore(replace(galera, hosts=galera.hosts[first:] + galera.hosts[:first]), 10_000)
        for first in range(3)
    ]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


async def send(
    store: MysqlStore, sender: int, count: int, acknowledged: list[int], refused: list[str]
) -> None:
    """Send, and send again what was refused, as clients do."""
    chance = random.Random(sender)
    for n in range(1, count + 1):
        author, *receivers = chance.sample(PEOPLE, 4)
        message = new(author, *receivers, local_id=sender * 100_000 + n)
        while True:
            try:
                stored = await append(store, message)
                break
            except StoreError as error:
                refused.append(str(error))
                await asyncio.sleep(0.02)
                message = new(author, *receivers, local_id=message.local_id)
        acknowledged.append(stored.id)


async def check(store: MysqlStore, acknowledged: list[int]) -> None:
    """Every inbox is without holes, and holds each message that it should, once."""
    heads = await store.read(inboxes.heads, PEOPLE)
    entries = 0
    for uid in PEOPLE:
        pulled = await inbox(store, uid)
        assert len(pulled.bodies) == len(set(pulled.bodies)) == pulled.head == heads[uid]
        entries += pulled.head
    assert len(set(acknowledged)) == len(acknowledged)
    assert entries == 4 * len(acknowledged)


async def test_writers_on_several_nodes_keep_every_inbox_exact(stores: list[MysqlStore]) -> None:
    acknowledged: list[int] = []
    refused: list[str] = []
    await asyncio.gather(*(send(stores[n % 3], n, 50, acknowledged, refused) for n in range(12)))
    await check(stores[0], acknowledged)
    # What a node has undone is run again, also where the node says that of a savepoint that is no more.
    assert [error for error in refused if "SAVEPOINT" in error] == []


async def test_a_node_that_dies_loses_nothing_and_stops_nobody(
    stores: list[MysqlStore], services: Services
) -> None:
    acknowledged: list[int] = []
    sending = [asyncio.create_task(send(stores[n % 3], n, 150, acknowledged, [])) for n in range(12)]
    while len(acknowledged) < 300:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(services.kill, "galera.3")
    await asyncio.gather(*sending)
    await check(stores[0], acknowledged)


async def test_who_falls_asleep_and_wakes_on_other_nodes_than_messages_are_stored_on_lacks_none(
    stores: list[MysqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_log, "LARGE", 2)
    await stores[0].write(fence.put_up)
    world = World(*stores)
    world.persists = True
    people = PEOPLE[:6]
    await world.group("g", *people)
    talking = [asyncio.create_task(talk(world, people[n], n % 3)) for n in range(3)]

    async def turn(uid: str, at: int) -> None:
        while not all(task.done() for task in talking):
            with suppress(StoreError):
                await world.sleep("g", uid, at=at)
                await world.wake(uid, at)

    await asyncio.gather(*talking, *(turn(people[n], (n + 1) % 3) for n in range(6)))
    await world.check(ordered=False)


async def talk(world: World, sender: str, at: int) -> None:
    for _ in range(100):
        await world.say(sender, "g", at)
