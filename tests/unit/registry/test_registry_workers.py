"""The registry of one machine, beyond what every registry does."""

from fsharechat.registry import Members
from fsharechat.registry.workers import MainRegistry, WorkerRegistry


async def test_the_main_process_is_told_which_workers_there_are() -> None:
    registry, told = MainRegistry(), list[Members]()
    await registry.watch("connector", told.append)
    registry.join("connector", 1, "worker 1")
    registry.join("connector", 0, "worker 0")
    registry.leave("connector", 1)
    registry.leave("connector", 1)
    registry.leave("connector", 7)
    assert told == [{}, {1: "worker 1"}, {0: "worker 0", 1: "worker 1"}, {0: "worker 0"}]


async def test_a_worker_finds_the_group_role_and_has_its_own_id() -> None:
    registry, told = WorkerRegistry("127.0.0.1:4000"), list[Members]()
    await registry.watch("group", told.append)
    assert told == [{0: "127.0.0.1:4000"}]
    assert (await registry.lease("connector", 3, "worker 3")).node == 3
