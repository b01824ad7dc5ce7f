"""What every kind of registry does."""

import asyncio

import pytest

from fsharechat.protocol.ids import NODES
from fsharechat.registry import Lease, LeaseTaken, Members, Registry
from tools.testing.server import BOUND


async def lease(registry: Registry, node: int | None = None, kind: str = "connector") -> Lease:
    return await registry.lease(kind, "auto" if node is None else node, f"{kind}:{node}")


async def test_auto_takes_the_lowest_free_id(registry: Registry) -> None:
    await lease(registry, 1)
    leases = [await lease(registry) for _ in range(3)]
    assert [one.node for one in leases] == [0, 2, 3]
    assert all(one.held and one.kind == "connector" for one in leases)
    await leases[1].release()
    assert (await lease(registry)).node == 2


async def test_an_id_has_one_holder(registry: Registry) -> None:
    first = await lease(registry, 5)
    with pytest.raises(LeaseTaken, match="connector:5"):  # names the holder
        await lease(registry, 5)
    assert first.held
    await first.release()
    assert not first.held
    assert (await lease(registry, 5)).held


async def test_a_lease_that_is_released_twice_takes_nothing_from_the_next_holder(registry: Registry) -> None:
    first = await lease(registry, 5)
    await first.release()
    await lease(registry, 5)
    await first.release()
    with pytest.raises(LeaseTaken):
        await lease(registry, 5)


async def test_ids_of_different_kinds_are_different(registry: Registry) -> None:
    await lease(registry, 5)
    assert (await lease(registry, 5, "group")).node == 5


async def test_who_asks_at_the_same_time_gets_different_ids_until_none_is_left(registry: Registry) -> None:
    leases = await asyncio.gather(*[lease(registry) for _ in range(NODES)])
    assert {one.node for one in leases} == set(range(NODES))
    with pytest.raises(LeaseTaken):
        await lease(registry)


async def test_members_are_told_at_once_and_after_each_change(registry: Registry) -> None:
    told: asyncio.Queue[Members] = asyncio.Queue()

    async def members() -> dict[int, str]:
        return dict(await asyncio.wait_for(told.get(), BOUND))

    first = await lease(registry, 5, "group")
    await registry.watch("group", told.put_nowait)
    assert await members() == {5: "group:5"}
    await lease(registry, 7, "group")
    await lease(registry, 7, "connector")
    assert await members() == {5: "group:5", 7: "group:7"}
    await first.release()
    assert await members() == {7: "group:7"}
    assert told.empty()


async def test_close_gives_up_every_lease(registry: Registry) -> None:
    leases = [await lease(registry) for _ in range(3)]
    await registry.close()
    assert not any(one.held for one in leases)
    for one in leases:
        await one.release()  # as roles do that stop after it
