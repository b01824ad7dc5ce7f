"""What each process tells of itself, and what is known of all of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from fsharechat import health as health_module
from fsharechat import status
from fsharechat.health import FINE, Finding, Health
from fsharechat.metrics import Metrics
from fsharechat.node import Node
from fsharechat.protocol.signals import Code
from fsharechat.registry.memory import MemoryLease, MemoryRegistry
from fsharechat.rpc import Call, Method, Reply
from fsharechat.rpc.local import LocalRpc
from fsharechat.settings import Settings
from fsharechat.status import ProcessStatus, StatusBook, StatusView, merged, warnings
from tests.unit.rpc.rpc_cluster import Cluster
from tools.testing.server import BOUND


def process(health: Health | None = None) -> ProcessStatus:
    metrics = Metrics()
    metrics.gauge("devices_online", "", lambda: 7)
    return ProcessStatus(["connector"], metrics, health or Health(), {"tcp": "host:6789"})


def named(view: StatusView, name: str, at: int = 1) -> StatusView:
    return {**view, "name": name, "at": at}


async def test_a_process_shows_its_metrics_and_what_is_wrong() -> None:
    health = Health()

    async def well() -> Finding:
        return FINE

    async def away() -> Finding:
        return Finding("it is away", serves=False)

    health.part("clock", well)
    health.part("store", away)
    view = await process(health).look()
    assert (view["roles"], view["addresses"]) == (["connector"], {"tcp": "host:6789"})
    assert view["metrics"]["devices_online"] == 7
    assert view["metrics"]["process_resident_memory_bytes"] > 1_000_000
    assert (view["health"], view["serves"]) == ({"clock": "ok", "store": "it is away"}, False)


class Hearer:
    """A group role that notes the calls, and answers them with a code."""

    def __init__(self, code: Code = Code.SUCCESS) -> None:
        self.heard: asyncio.Queue[Call] = asyncio.Queue()
        self.code = code

    def hear(self, call: Call) -> asyncio.Future[Reply]:
        self.heard.put_nowait(call)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        reply.set_result(Reply(self.code))
        return reply


@pytest.fixture
async def rpc() -> AsyncIterator[LocalRpc]:
    rpc = LocalRpc(10)
    await rpc.open()
    yield rpc
    await rpc.close()


async def test_it_tells_a_group_process_of_itself_before_its_start_is_over(
    rpc: LocalRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TELL_SECONDS", 3600.0)
    group, own = Hearer(), process()
    await rpc.serve(group.hear)
    await own.start(rpc)
    own.stop()
    call = group.heard.get_nowait()
    assert call.method == Method.STATUS
    assert orjson.loads(call.body)["metrics"]["devices_online"] == 7


async def test_it_tells_it_again_and_again(rpc: LocalRpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "TELL_SECONDS", 0.001)
    group, own = Hearer(), process()
    await rpc.serve(group.hear)
    await own.start(rpc)
    async with asyncio.timeout(BOUND):
        for _ in range(3):
            await group.heard.get()
    own.stop()


async def test_a_start_does_not_wait_long_for_a_group_process_that_takes_nothing(
    rpc: LocalRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "FIRST_SECONDS", 0.01)
    group, own = Hearer(Code.SERVER_ERROR), process()
    await rpc.serve(group.hear)
    async with asyncio.timeout(BOUND):
        await own.start(rpc)
    own.stop()


async def test_the_first_group_process_that_comes_is_told_at_once(
    rpc: LocalRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(status, "TELL_SECONDS", 3600.0)
    group, own = Hearer(), process()
    await own.start(rpc)
    await rpc.serve(group.hear)
    async with asyncio.timeout(BOUND):
        assert (await group.heard.get()).method == Method.STATUS
    own.stop()


async def test_a_group_process_that_comes_again_is_told_at_once(
    rpc: LocalRpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "TELL_SECONDS", 3600.0)
    first, second, own = Hearer(), Hearer(), process()
    await rpc.serve(first.hear)
    await own.start(rpc)
    await rpc.unserve()
    await rpc.serve(second.hear)
    async with asyncio.timeout(BOUND):
        assert (await second.heard.get()).method == Method.STATUS
    assert first.heard.qsize() == 1
    own.stop()


async def test_over_the_network_too_a_group_process_knows_the_others_as_soon_as_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status, "TELL_SECONDS", 3600.0)
    own = process()
    async with Cluster() as cluster, asyncio.timeout(BOUND):
        first, second = Hearer(), Hearer()
        group = await cluster.group()
        await group.serve(first.hear)
        caller = await cluster.caller()
        await own.start(caller)
        await group.close()
        again = await cluster.group(int(group.address.rpartition(":")[2]))
        await again.serve(second.hear)
        assert (await second.heard.get()).method == Method.STATUS
        own.stop()


async def test_who_tells_nothing_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = process()
    book = StatusBook(own)
    view = await own.look()
    book.note(orjson.dumps(named(view, "a")))
    book.note(orjson.dumps(named(view, "b")))
    book.note(orjson.dumps(named(view, "a", at=2)))
    assert [(one["name"], one["at"]) for one in (await book.views())[1:]] == [("b", 1), ("a", 2)]
    monkeypatch.setattr(status, "KEEP_SECONDS", 0.0)
    assert len(await book.views()) == 1


async def test_the_newest_view_of_each_process_is_shown() -> None:
    view = await process().look()
    first = [named(view, "g1", 5), named(view, "c", 3)]
    second = [named(view, "g2", 5), named(view, "c", 4)]
    shown = merged([first, second])["processes"]
    assert [(one["name"], one["at"]) for one in shown] == [("c", 4), ("g1", 5), ("g2", 5)]


async def test_the_held_leases_are_shown() -> None:
    own = process()
    own.leases.append(MemoryLease(MemoryRegistry(), "connector", 5))
    assert (await own.look())["leases"] == {"connector": 5}


async def test_what_is_wrong_is_said_in_words() -> None:
    view = await process().look()
    well: StatusView = {**view, "name": "a", "roles": ["connector", "group", "api"], "at": 100_000_000}
    assert list(warnings([], 0)) == []
    assert list(warnings([well], 100_000_000)) == []
    ill: StatusView = {
        **well,
        "name": "b",
        "roles": ["connector"],
        "version": "9",
        "at": 0,
        "health": {"bus": "degraded: no broker answers", "clock": "ok"},
        "metrics": {"store_queue": 5000, "ack_seconds_p99": 5.0, "certificate_expires_seconds": 100_001},
    }
    assert list(warnings([ill], 100_000_000)) == [
        "no process has the role group",
        "no process has the role api",
        "b: bus: degraded: no broker answers",
        "b: its clock is 100000 s behind",
        "b: 5000 writes wait for the store",
        "b: messages are acknowledged after up to 5 s (p99)",
        "b: its certificate expires in 0 days",
    ]
    assert f"several versions run: {view['version']}, 9" in list(warnings([well, ill], 100_000_000))


async def test_who_asked_at_the_start_is_told_afterwards_that_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "FRESH_SECONDS", 3600.0)
    settings = {"node": {"roles": ["group"], "data": tmp_path / "data"}}
    node = Node(Settings.model_validate(settings))
    open_store = node.store.open

    async def asked() -> None:
        assert not (await node.health.look())["process"].serves
        await open_store()

    node.store.open = asked  # type: ignore[method-assign]
    async with node:
        assert (await node.status.look())["health"]["process"] == "ok"
