"""The holders of the node ids, according to the registry."""

import asyncio
from collections.abc import Callable

from fsharechat.registry import Members
from fsharechat.registry.zookeeper import ZooKeeperRegistry

from .world import ChaosWorld

SECONDS = 30.0


async def check_registry(world: ChaosWorld) -> list[str]:
    """Return the kinds of processes in which some process has no id."""
    registry = ZooKeeperRegistry(world.variables()["FSHARECHAT_REGISTRY__URL"])
    await registry.open()
    try:
        return [why for kind in ("group", "connector") if (why := await _check(registry, world, kind))]
    finally:
        await registry.close()


async def _check(registry: ZooKeeperRegistry, world: ChaosWorld, kind: str) -> str:
    wanted = len(world.members(kind))
    found: list[Members] = []
    changed = asyncio.Event()

    def note(members: Members) -> None:
        found.append(members)
        changed.set()

    tell: Callable[[Members], None] = note
    await registry.watch(kind, tell)
    try:
        async with asyncio.timeout(SECONDS):
            while len(found[-1]) != wanted:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        return f"{kind}: {dict(found[-1])} for {wanted} processes"
    return ""
