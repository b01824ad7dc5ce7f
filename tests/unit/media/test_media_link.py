"""Group processes reach the media process that has the call, in one process and over rpc."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from fsharechat.medialink import MediaLink, wire
from fsharechat.medialink.cluster import KIND, ClusterMediaLink
from fsharechat.medialink.local import LocalMediaLink
from fsharechat.mediaserver import (
    BadOffer,
    Busy,
    Candidate,
    MediaServer,
    MediaServerError,
    RoomFull,
    UnknownSender,
)
from fsharechat.protocol.signals import Code
from fsharechat.registry import Lease
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.rpc import Call, Method, Reply, RpcError
from fsharechat.rpc.tcp import TcpRpc
from fsharechat.settings_schema import RpcSettings
from tests.unit.media.media_kit import Told
from tools.testing.fake_media_server import FakeMediaServer
from tools.testing.server import until

SECRET = "a secret of the cluster"
SETTINGS = RpcSettings(timeout_seconds=10)


@dataclass
class MediaProcess:
    link: MediaLink
    server: FakeMediaServer
    leave: Callable[[], Awaitable[None]] | None = None
    """Be gone from the registry."""


@dataclass
class Site:
    """Media processes, and a group process that wants to reach them."""

    told: Told
    media: MediaServer
    processes: list[MediaProcess] = field(default_factory=list)

    def place(self, room: str) -> MediaProcess:
        (found,) = [one for one in self.processes if room in one.server.rooms]
        return found


def answered(told: Told, call: Call) -> "asyncio.Future[Reply]":
    assert call.method == Method.MEDIA_EVENT
    wire.tell(told, call.body)
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    future.set_result(Reply(Code.SUCCESS))
    return future


class Cluster:
    """A group process and media processes, in one loop."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.told = Told()
        self._open: list[MediaLink | TcpRpc] = []
        self._leases: list[Lease] = []

    async def start(self) -> MediaServer:
        group = TcpRpc(SETTINGS, SECRET, partial(self.registry.watch, "group"))
        await group.open()
        await self.registry.lease("group", "auto", group.address)
        await group.serve(partial(answered, self.told))
        link = ClusterMediaLink(SETTINGS, SECRET, self.registry, group, ("group",))
        await link.open()
        self._open += [link, group]
        self.link = link
        return link.server(self.told)

    async def media_process(self) -> MediaProcess:
        rpc = TcpRpc(SETTINGS, SECRET, partial(self.registry.watch, "group"), listen=False)
        await rpc.open()
        link = ClusterMediaLink(SETTINGS, SECRET, self.registry, rpc, ("media",))
        await link.open()
        self._open += [rpc, link]
        server = FakeMediaServer(link.events)
        await link.serve(server)
        lease = await self.registry.lease(KIND, "auto", link.address)
        await until(lambda: self.link.ready(link.address), "the media process is not reached")
        return MediaProcess(link, server, lease.release)

    async def close(self) -> None:
        for one in reversed(self._open):
            await one.close()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    made = Cluster()
    yield made
    await made.close()


@pytest.fixture(params=["local", "cluster"])
async def site(request: pytest.FixtureRequest, cluster: Cluster) -> Site:
    if request.param == "cluster":
        site = Site(cluster.told, await cluster.start())
        site.processes += [await cluster.media_process() for _ in range(2)]
        return site
    link, told = LocalMediaLink(), Told()
    server = FakeMediaServer(link.events)
    await link.serve(server)
    return Site(told, link.server(told), [MediaProcess(link, server)])


async def test_each_call_reaches_the_media_server_as_it_was_made(site: Site) -> None:
    media, candidate = site.media, Candidate("candidate:1", "0", 1, "abc")
    await media.join("room", "anna")
    await media.join("room", "ben")
    assert await media.publish("room", "anna", "an offer") == "answer to an offer"
    assert await media.receive("room", "ben", "anna", "another") == "answer to another"
    await media.candidate("room", "ben", "anna", candidate)
    assert await media.has("room") is True
    await media.leave("room", "ben")
    await media.close_room("room")
    assert await media.has("room") is False
    (asked,) = [one.server.asked for one in site.processes if one.server.asked]
    assert asked == [
        ("join", "room", "anna"),
        ("join", "room", "ben"),
        ("publish", "room", "anna", "an offer"),
        ("receive", "room", "ben", "anna", "another"),
        ("candidate", "room", "ben", "anna", candidate),
        ("leave", "room", "ben"),
        ("close", "room"),
    ]


@pytest.mark.parametrize("kind", [RoomFull, UnknownSender, BadOffer, MediaServerError])
async def test_errors_come_back_as_what_they_were(site: Site, kind: type[MediaServerError]) -> None:
    await site.media.join("room", "anna")
    site.place("room").server.error = kind("its text")
    with pytest.raises(MediaServerError, match="its text") as caught:
        await site.media.join("room", "ben")
    assert type(caught.value) is kind
    await site.media.join("room", "ben")


async def test_what_nobody_has_is_unknown_or_nothing(site: Site) -> None:
    with pytest.raises(UnknownSender):
        await site.media.publish("nowhere", "anna", "an offer")
    await site.media.leave("nowhere", "anna")
    await site.media.close_room("nowhere")
    assert not await site.media.has("nowhere")


async def test_what_a_media_server_tells_is_heard(site: Site) -> None:
    events, candidate = site.processes[-1].server.events, Candidate("candidate:1", "0", 1)
    events.on_candidate("room", "anna", "ben", candidate)
    events.on_gone("room", "anna", "anna")
    events.on_closed("room", "why")
    await until(lambda: site.told.closed, "nothing was told")
    assert site.told.candidates == [("room", "anna", "ben", candidate)]
    assert site.told.gone == [("room", "anna", "anna")]
    assert site.told.closed == [("room", "why")]


# In a cluster


async def test_there_is_a_media_server_once_there_is_a_media_process(cluster: Cluster) -> None:
    media = await cluster.start()
    assert not media.exists
    await cluster.media_process()
    assert media.exists


async def two_processes(cluster: Cluster) -> Site:
    site = Site(cluster.told, await cluster.start())
    site.processes += [await cluster.media_process() for _ in range(2)]
    return site


async def test_rooms_are_on_both_processes_and_each_on_one(cluster: Cluster) -> None:
    site = await two_processes(cluster)
    rooms = [f"room {number}" for number in range(40)]
    for room in rooms:
        for name in ("anna", "ben"):
            await site.media.join(room, name)
        assert site.place(room).server.rooms[room] == {"anna", "ben"}
    assert all(5 < len(one.server.rooms) < 35 for one in site.processes)


async def test_another_group_process_finds_the_room_and_a_new_media_process_does_not_move_it(
    cluster: Cluster,
) -> None:
    site = await two_processes(cluster)
    rooms = [f"room {number}" for number in range(20)]
    for room in rooms:
        await site.media.join(room, "anna")
    site.processes.append(await cluster.media_process())
    another = cluster.link.server(Told())  # it has seen none of the rooms
    for room in rooms:
        await another.join(room, "ben")
        await site.media.join(room, "carl")
        assert site.place(room).server.rooms[room] == {"anna", "ben", "carl"}
    assert site.processes[-1].server.rooms == {}


async def test_a_new_room_goes_elsewhere_when_a_process_is_full(cluster: Cluster) -> None:
    site = await two_processes(cluster)
    for number in range(10):
        for one in site.processes:
            one.server.error = None
        site.processes[0].server.error = Busy("it is full")
        await site.media.join(f"room {number}", "anna")
    assert site.processes[0].server.rooms == {} or site.processes[1].server.rooms
    for one in site.processes:
        one.server.error = Busy("it is full")
    with pytest.raises(Busy):
        await site.media.join("one more", "anna")


async def test_the_calls_of_a_process_that_is_gone_are_over(cluster: Cluster) -> None:
    site = await two_processes(cluster)
    rooms = [f"room {number}" for number in range(20)]
    for room in rooms:
        await site.media.join(room, "anna")
    gone, stays = site.processes
    lost = set(gone.server.rooms)
    assert lost
    assert gone.leave is not None
    await gone.leave()
    await until(lambda: len(site.told.closed) == len(lost), "the end of the calls was not told")
    assert {room for room, _ in site.told.closed} == lost
    await gone.link.close()
    for room in lost:
        assert not await site.media.has(room)
        await site.media.join(room, "anna")
    assert set(stays.server.rooms) == set(rooms)


async def test_without_a_media_process_nobody_joins(cluster: Cluster) -> None:
    media = await cluster.start()
    with pytest.raises(MediaServerError):
        await media.join("room", "anna")
    assert not await media.has("room")


async def test_a_mistake_in_a_media_server_costs_that_call_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await two_processes(cluster)
    await site.media.join("room", "anna")

    async def fail(*_: object) -> str:
        raise RuntimeError("made up")

    with monkeypatch.context() as patch:
        patch.setattr(FakeMediaServer, "publish", fail)
        with pytest.raises(MediaServerError):
            await site.media.publish("room", "anna", "an offer")
    assert await site.media.publish("room", "anna", "an offer") == "answer to an offer"


async def test_a_new_room_goes_elsewhere_while_a_process_cannot_be_reached(cluster: Cluster) -> None:
    site = await two_processes(cluster)
    gone, stays = site.processes
    await gone.link.close()  # the registry has it all the same, until its lease ends
    await until(lambda: not cluster.link.ready(gone.link.address), "it is still reached")
    for number in range(10):
        await site.media.join(f"room {number}", "anna")
    assert len(stays.server.rooms) == 10


def two_free_ports() -> int:
    """Return the first of two ports in a row that nobody listens on."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


@pytest.mark.parametrize(
    ("advertise", "wanted"),
    [("", "127.0.0.1:{}"), ("10.0.0.7", "10.0.0.7:{}"), ("10.0.0.7:9000", "10.0.0.7:9001")],
)
async def test_beside_the_group_role_the_media_role_takes_calls_at_the_next_port(
    cluster: Cluster, advertise: str, wanted: str
) -> None:
    port = two_free_ports()
    settings = RpcSettings(port=port, advertise=advertise)
    rpc = TcpRpc(settings, SECRET, partial(cluster.registry.watch, "group"))
    link = ClusterMediaLink(settings, SECRET, cluster.registry, rpc, ("group", "media"))
    await rpc.open()
    try:
        await link.open()
        assert link.address == wanted.format(port + 1)
    finally:
        await link.close()
        await rpc.close()


async def test_the_next_port_is_named_when_it_is_taken(cluster: Cluster) -> None:
    port = two_free_ports()
    rpc = TcpRpc(SETTINGS, SECRET, partial(cluster.registry.watch, "group"), listen=False)
    link = ClusterMediaLink(RpcSettings(port=port), SECRET, cluster.registry, rpc, ("group", "media"))
    with socket.create_server(("127.0.0.1", port + 1)), pytest.raises(RpcError, match=f"port {port + 1} "):
        await link.open()
