"""The registry on a real ZooKeeper: several processes, dead ones, stopped ones, and a ZooKeeper that goes away."""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiozk import ZKClient

from fsharechat.protocol.ids import NODES
from fsharechat.registry import Lease, LeaseTaken, Members, RegistryError
from fsharechat.registry import zookeeper as zookeeper_registry
from fsharechat.registry.zookeeper import ZooKeeperRegistry
from fsharechat.registry.zookeeper.session import ZooKeeperSession
from tests.cluster.holder import __name__ as HOLDER
from tools.services.places import ROOT
from tools.testing.server import BOUND, until
from tools.testing.zookeeper import OwnZooKeeper
from tools.wire.port import StreamPort
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow

SHORT = 2.0
"""Seconds of a session that a test waits for to end."""
LONG = 15.0
"""Seconds of a session that must not end in a test."""
LONGEST = 60.0
"""The same for one in which ZooKeeper is restarted: the most that it grants."""

Open = Callable[..., Awaitable[ZooKeeperRegistry]]


@pytest.fixture(autouse=True)
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """Fail a test after which asyncio has to say something, such as an exception that nobody looked at."""
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    yield said
    gc.collect()
    await asyncio.sleep(0)
    assert not said


@pytest.fixture(autouse=True)
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the members from being read again after a while: that would hide a watch that does not work."""
    monkeypatch.setattr(zookeeper_registry, "REREAD_SECONDS", 3600.0)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def url(zookeeper: OwnZooKeeper, request: pytest.FixtureRequest) -> str:
    """A folder for the test alone, which is not there yet."""
    return f"{zookeeper.url}/{request.node.name.translate(str.maketrans('[]', '--'))}/chat"


@pytest.fixture
def open_registry(stack: AsyncExitStack, url: str) -> Open:
    async def open_one(seconds: float = SHORT, at: str = "") -> ZooKeeperRegistry:
        """Open a registry; `at` replaces the hosts of the url."""
        registry = ZooKeeperRegistry(f"zookeeper://{at}/{url.split('/', 3)[3]}" if at else url, seconds)
        stack.push_async_callback(registry.close)
        await registry.open()
        return registry

    return open_one


@pytest.fixture
async def wire(zookeeper: OwnZooKeeper, stack: AsyncExitStack) -> Proxy:
    wire = Proxy(f"127.0.0.1:{zookeeper.port}")
    await wire.open()
    stack.push_async_callback(wire.close)
    return wire


class LeaseHolder:
    """A process of tests/cluster/holder.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, stack: AsyncExitStack, url: str, node: int | str, address: str) -> "LeaseHolder":
        """Start one that has its lease already."""
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-m", HOLDER, url, str(SHORT), "connector", str(node), address],
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        holder = cls(process)
        stack.push_async_callback(holder.kill)
        assert (await holder.line()).startswith("leased")
        return holder

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 30)).decode().strip()

    async def freeze(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        stat = Path(f"/proc/{self._process.pid}/stat")
        await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it does not stop")

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


class Deaf(asyncio.Event):
    def set(self) -> None:
        pass


class HeardLog:
    """What a registry told, with `held` of the lease at that moment."""

    def __init__(self) -> None:
        self.changes: list[bool] = []
        self.members: list[dict[int, str]] = []

    def of(self, lease: Lease) -> "HeardLog":
        lease.on_change(self.changes.append)
        return self

    async def watching(self, registry: ZooKeeperRegistry, kind: str = "connector") -> "HeardLog":
        def tell(members: Members) -> None:
            self.members.append(dict(members))

        await registry.watch(kind, tell)
        return self


async def test_a_second_process_is_refused_and_told_who_holds_the_id(
    stack: AsyncExitStack, url: str, open_registry: Open
) -> None:
    await LeaseHolder.start(stack, url, 5, "10.0.0.7:7000")
    registry = await open_registry()
    with pytest.raises(
        LeaseTaken, match=r"node id 5 of a connector is held by 10\.0\.0\.7:7000 \(process \d+"
    ):
        await asyncio.wait_for(registry.lease("connector", 5, "10.0.0.8:7000"), BOUND)


async def test_processes_that_race_for_auto_get_the_lowest_ids_once_each(open_registry: Open) -> None:
    registries = [await open_registry(LONG) for _ in range(10)]
    leases = await asyncio.gather(*[one.lease("group", "auto", f"a:{n}") for n, one in enumerate(registries)])
    assert sorted(lease.node for lease in leases) == list(range(10))
    log = await HeardLog().watching(registries[0], "group")
    assert log.members == [{lease.node: f"a:{n}" for n, lease in enumerate(leases)}]


@pytest.mark.parametrize("by", ["release", "close"])
async def test_an_id_that_is_given_back_is_free_at_once(open_registry: Open, by: str) -> None:
    first, second = await open_registry(LONG), await open_registry(LONG)
    lease = await first.lease("connector", 5, "a:1")
    await (lease.release() if by == "release" else first.close())
    assert not lease.held
    with structlog.testing.capture_logs() as said:
        assert (await second.lease("connector", 5, "a:2")).held
    assert said == []  # it did not have to wait


async def test_the_id_of_a_killed_process_is_free_when_its_session_ends(
    stack: AsyncExitStack, url: str, open_registry: Open
) -> None:
    holder = await LeaseHolder.start(stack, url, 5, "a:1")
    registry = await open_registry()
    log = await HeardLog().watching(registry)
    await holder.kill()
    # As the same process does that was started again.
    lease = await registry.lease("connector", 5, "a:2")
    assert lease.held
    await until(lambda: log.members[-1] == {5: "a:2"}, lambda: f"members: {log.members}")
    assert log.members[0] == {5: "a:1"}


async def test_a_short_outage_of_zookeeper_costs_no_lease(
    zookeeper: OwnZooKeeper, open_registry: Open
) -> None:
    registry = await open_registry(LONGEST)
    lease = await registry.lease("connector", 5, "a:1")
    log = await HeardLog().of(lease).watching(registry)
    await zookeeper.stop()
    assert lease.held
    await zookeeper.start()
    assert lease.held
    other = await open_registry()
    expected = {5: "a:1"}
    for node in (6, 7):  # the watch goes on, also when it has been read again after the outage
        await other.lease("connector", node, "a:2")
        expected[node] = "a:2"
        await until(lambda: log.members[-1] == expected, lambda: f"members: {log.members}")
    assert log.members[0] == {5: "a:1"}
    assert len(log.members) == 3
    assert log.changes == []
    with pytest.raises(LeaseTaken):  # it was renewed: the session of before is still there
        await other.lease("connector", 5, "a:2")
    assert lease.held


async def test_a_long_outage_of_zookeeper_costs_the_lease_until_it_is_back(
    zookeeper: OwnZooKeeper, open_registry: Open
) -> None:
    lease = await (await open_registry()).lease("connector", 5, "a:1")
    log = HeardLog().of(lease)
    await zookeeper.stop()
    try:
        await until(lambda: log.changes == [False], "the lease goes on without ZooKeeper")
        assert not lease.held
    finally:
        await zookeeper.start()
    await until(lambda: log.changes == [False, True], lambda: f"changes: {log.changes}")
    assert lease.held
    assert lease.node == 5


@pytest.mark.parametrize("how", ["refused", "silence"])
async def test_a_holder_without_network_stops_before_another_has_the_id_and_waits_for_it(
    wire: Proxy, open_registry: Open, how: str
) -> None:
    lost = await (await open_registry(at=wire.address)).lease("connector", 5, "a:1")
    log = HeardLog().of(lost)
    other = await open_registry()
    if how == "silence":
        wire.stop()
    else:
        wire.cut()
    taking = asyncio.create_task(other.lease("connector", 5, "a:2"))
    taken = []
    taking.add_done_callback(lambda _: taken.append(lost.held))
    await until(lambda: not lost.held, "it holds on")
    assert not taking.done()
    lease = await taking
    assert taken == [False]

    wire.go()
    log.members = (await HeardLog().watching(other)).members
    with pytest.raises(LeaseTaken):  # the one that lost it is connected, and asks for it
        await (await open_registry(at=wire.address)).lease("connector", 5, "a:3")
    assert not lost.held
    assert log.changes == [False]
    await lease.release()
    await until(lambda: log.changes == [False, True], lambda: f"changes: {log.changes}")
    assert lost.held
    await until(lambda: log.members[-1] == {5: "a:1"}, lambda: f"members: {log.members}")


async def test_a_stopped_process_knows_when_it_wakes_that_it_lost_its_id(
    stack: AsyncExitStack, url: str, open_registry: Open
) -> None:
    holder = await LeaseHolder.start(stack, url, 5, "a:1")
    await holder.freeze()
    lease = await (await open_registry()).lease("connector", 5, "a:2")
    holder.wake()
    assert await holder.line() == "held False"
    assert await holder.line() == "told False, 5"
    assert lease.held
    await lease.release()
    assert await holder.line() == "told True, 5"


async def test_a_stopped_process_whose_id_is_taken_goes_on_with_the_lowest_free_one(
    stack: AsyncExitStack, url: str, open_registry: Open
) -> None:
    holder = await LeaseHolder.start(stack, url, "auto", "a:1")
    await holder.freeze()
    other = await open_registry()
    log = await HeardLog().watching(other)
    for node in (0, 1):
        assert (await other.lease("connector", node, "a:2")).held
    holder.wake()
    assert await holder.line() == "held False"
    assert await holder.line() == "told False, 0"
    assert await holder.line() == "told True, 2"
    expected = {0: "a:2", 1: "a:2", 2: "a:1"}
    await until(lambda: log.members[-1] == expected, lambda: f"members: {log.members}")


async def test_an_id_that_was_another_one_before_is_kept_and_given_back(
    zookeeper: OwnZooKeeper, wire: Proxy, url: str, open_registry: Open
) -> None:
    cut_off, other = await open_registry(at=wire.address), await open_registry()
    lease = await cut_off.lease("connector", "auto", "a:1")
    log = HeardLog().of(lease)
    wire.cut()
    taken = await other.lease("connector", 0, "a:2")
    assert not lease.held
    wire.go()
    await until(lambda: log.changes == [False, True], lambda: f"changes: {log.changes}")
    assert lease.node == 1
    await zookeeper.stop()  # it keeps this one as it kept that one
    try:
        await until(lambda: log.changes == [False, True, False], lambda: f"changes: {log.changes}")
    finally:
        await zookeeper.start()
    await until(lambda: log.changes == [False, True, False, True], lambda: f"changes: {log.changes}")
    assert lease.node == 1
    with pytest.raises(LeaseTaken, match="a:1"):
        await other.lease("connector", 1, "a:3")
    await taken.release()  # it does not go back
    await lease.release()
    for node in (0, 1):
        assert (await cut_off.lease("connector", "auto", "a:4")).node == node


async def test_while_all_ids_are_held_a_lost_one_is_waited_for(wire: Proxy, open_registry: Open) -> None:
    cut_off, other = await open_registry(at=wire.address), await open_registry(LONG)
    lease = await cut_off.lease("connector", "auto", "a:1")
    log = HeardLog().of(lease)
    wire.cut()
    taken = await asyncio.gather(*[other.lease("connector", node, "a:2") for node in range(NODES)])
    with structlog.testing.capture_logs() as said:
        wire.go()
        await until(lambda: any("no other" in one["event"] for one in said), lambda: f"{said}")
    assert not lease.held
    await taken[9].release()
    await until(lambda: log.changes == [False, True], lambda: f"changes: {log.changes}")
    assert lease.node == 9


async def test_a_node_that_was_deleted_is_a_lost_lease_and_made_again(
    zookeeper: OwnZooKeeper, stack: AsyncExitStack, url: str, open_registry: Open
) -> None:
    lease = await (await open_registry(LONG)).lease("connector", 5, "a:1")
    log = HeardLog().of(lease)
    hand = ZKClient(f"127.0.0.1:{zookeeper.port}")
    stack.push_async_callback(hand.close)
    await hand.start()
    await hand.delete(f"/{url.split('/', 3)[3]}/fsharechat/connector/5", force=True)
    await until(lambda: log.changes == [False, True], lambda: f"changes: {log.changes}")
    assert lease.held


async def test_a_watch_hears_what_changed_while_it_was_cut_off(wire: Proxy, open_registry: Open) -> None:
    cut_off, other = await open_registry(at=wire.address), await open_registry()
    first = await other.lease("connector", 5, "a:1")
    log = await HeardLog().watching(cut_off)
    wire.cut()
    await other.lease("connector", 6, "a:2")
    await first.release()
    assert log.members == [{5: "a:1"}]
    wire.go()
    await until(lambda: len(log.members) > 1, "it heard nothing")
    assert log.members == [{5: "a:1"}, {6: "a:2"}]


async def test_the_bus_has_the_version_that_all_who_read_it_know(stack: AsyncExitStack, url: str) -> None:
    async def process(kind: str, newest: int) -> tuple[ZooKeeperRegistry, Lease]:
        registry = ZooKeeperRegistry(url, LONG, bus_version=newest)
        stack.push_async_callback(registry.close)
        await registry.open()
        return registry, await registry.lease(kind, "auto", f"{kind} {newest}")

    async def came_to(version: int) -> None:
        await until(lambda: versions[-1] == version, lambda: f"versions: {versions}, not {version}")

    first, _ = await process("group", 4)
    versions: list[int] = []
    await first.watch_bus(versions.append)
    assert versions == [4]
    _, group = await process("group", 3)
    await came_to(3)
    _, connector = await process("connector", 2)
    await came_to(2)
    await group.release()
    await connector.release()
    await came_to(4)
    # A process of a release that knew one version, 1, does not say so.
    folder = "/" + url.split("/", 3)[3] + "/fsharechat/connector"
    holder = b'{"address":"10.0.0.1:6789","host":"a","pid":1,"since":"2026-01-01T00:00:00+00:00"}'
    await first._session.call(lambda client: client.create(f"{folder}/9", data=holder, ephemeral=True))
    await came_to(1)
    later = ZooKeeperRegistry(url, LONG)
    stack.push_async_callback(later.close)
    await later.open()
    seen: list[int] = []
    log = await HeardLog().watching(later)  # both from one reading
    await later.watch_bus(seen.append)
    assert seen == [1]
    assert log.members == [{9: "10.0.0.1:6789"}]


async def test_members_are_read_again_though_no_event_came(
    open_registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper_registry, "REREAD_SECONDS", 0.1)
    monkeypatch.setattr(ZooKeeperSession, "waker", lambda _: Deaf())
    log = await HeardLog().watching(await open_registry(LONG))
    await (await open_registry(LONG)).lease("connector", 5, "a:1")
    await until(lambda: log.members == [{}, {5: "a:1"}], lambda: f"members: {log.members}")


async def test_members_stay_while_zookeeper_is_away_and_the_dead_among_them_go_when_it_is_back(
    stack: AsyncExitStack, url: str, zookeeper: OwnZooKeeper, open_registry: Open
) -> None:
    holder = await LeaseHolder.start(stack, url, 5, "a:1")
    registry = await open_registry()
    await registry.lease("connector", 6, "a:2")
    log = await HeardLog().watching(registry)
    await zookeeper.stop()
    await holder.kill()
    assert log.members == [{5: "a:1", 6: "a:2"}]
    await zookeeper.start()
    await until(lambda: len(log.members) > 1, "it heard nothing")
    assert log.members == [{5: "a:1", 6: "a:2"}, {6: "a:2"}]


@pytest.mark.parametrize("how", ["refused", "silence"])
async def test_when_one_of_several_hosts_dies_the_session_moves_on(
    zookeeper: OwnZooKeeper, stack: AsyncExitStack, wire: Proxy, open_registry: Open, how: str
) -> None:
    second = Proxy(f"127.0.0.1:{zookeeper.port}")
    await second.open()
    stack.push_async_callback(second.close)
    registry = await open_registry(LONG, at=f"{wire.address},127.0.0.1:1,{second.address}")
    lease = await registry.lease("connector", 5, "a:1")
    log = await HeardLog().of(lease).watching(registry)
    used, spare = (wire, second) if wire.connections else (second, wire)
    before = spare.connections
    if how == "silence":
        used.stop()
    else:
        used.cut()
    await until(lambda: spare.connections > before, "it does not move on")
    other = await open_registry(LONG)
    await other.lease("connector", 6, "a:2")
    await until(lambda: log.members[-1] == {5: "a:1", 6: "a:2"}, lambda: f"members: {log.members}")
    assert lease.held
    assert log.changes == []


async def test_nothing_listens(open_registry: Open) -> None:
    began = time.monotonic()
    with pytest.raises(
        RegistryError, match=r"127\.0\.0\.1:1: Connection refused; 127\.0\.0\.1:2: Connection"
    ):
        await open_registry(at="127.0.0.1:1,127.0.0.1:2")
    assert time.monotonic() - began < BOUND / 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            b"This ZooKeeper instance is not currently serving requests\n",
            "says 'This ZooKeeper instance is not",
        ),
        (b"srvr is not executed because it is not in the whitelist.\n", "says 'srvr is not executed"),
        (b"", "hangs up"),
    ],
)
async def test_something_listens_that_does_not_serve(
    stack: AsyncExitStack, open_registry: Open, answer: bytes, reason: str
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        writer.write(answer)

    address = (await stack.enter_async_context(StreamPort(refuse))).address
    with pytest.raises(RegistryError, match=f"{address}: {reason}"):
        await open_registry(at=address)


async def test_something_listens_that_says_nothing(wire: Proxy, open_registry: Open) -> None:
    wire.stop()
    began = time.monotonic()
    with pytest.raises(RegistryError, match=f"{wire.address}: no answer in 2.5 s"):
        await open_registry(10.0, at=wire.address)
    assert time.monotonic() - began < BOUND / 2
