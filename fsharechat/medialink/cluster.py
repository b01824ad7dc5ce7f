"""Group and media role in different processes: calls over rpc, to the one media process that has the room.

A room is on the media process that its first participant joined. Nothing says where that is but the process itself:
a group process asks all of them, once for each room.
"""

import asyncio
from collections import OrderedDict
from functools import partial
from typing import Any
from zlib import crc32

import structlog

from fsharechat import urls
from fsharechat.medialink import MediaLink, wire
from fsharechat.mediaserver import Busy, Candidate, MediaEvents, MediaServer, MediaServerError, UnknownSender
from fsharechat.protocol.signals import Code
from fsharechat.registry import Members, Registry
from fsharechat.rpc import Call, Method, Reply, Rpc, RpcError
from fsharechat.rpc.tcp import TcpRpc
from fsharechat.settings_schema import RpcSettings
from fsharechat.tasks import spawn

log = structlog.get_logger(__name__)

KIND = "media"
"""Of media processes in the registry."""
LOOK_SECONDS = 2.0
"""A media process that has not said within that time whether it has a room is taken not to have it."""
_KNOWN_ROOMS = 20_000
MAX_PORT = 65_535


class ClusterMediaLink(MediaLink):
    def __init__(
        self, settings: RpcSettings, cluster_secret: str, registry: Registry, rpc: Rpc, roles: tuple[str, ...]
    ) -> None:
        """`rpc` leads to the group processes. `roles` are those of this process."""
        self.address = ""
        self.events = _ToGroup(rpc)
        self._settings = settings
        self._secret = cluster_secret
        self._registry = registry
        self._roles = roles
        self._serving: TcpRpc | None = None
        self._processes: dict[str, TcpRpc] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._servers: list[_Cluster] = []
        self._closed = False

    async def open(self) -> None:
        self._closed = False
        if "media" in self._roles:
            await self._open_port()
        if "group" in self._roles:
            try:
                await self._registry.watch(KIND, self._on_members)
            except BaseException:
                await self.close()  # so that it can be tried again
                raise

    async def _open_port(self) -> None:
        beside = "group" in self._roles
        settings = _next_port(self._settings) if beside else self._settings
        serving = TcpRpc(settings, self._secret, _nobody, listen=True)
        try:
            await serving.open()
        except RpcError as error:
            if not beside:
                raise
            raise RpcError(
                f"{error}; the media role takes calls at the port after the group role's"
            ) from error
        self._serving, self.address = serving, serving.address

    async def close(self) -> None:
        self._closed = True
        for task in self._opening.values():
            task.cancel()
        await asyncio.gather(*self._opening.values(), *self._leaving, return_exceptions=True)
        for process in self._processes.values():
            await process.close()
        self._processes.clear()
        if self._serving is not None:
            await self._serving.close()
            self._serving = None

    def renew(self) -> float | None:
        expires = [one.renew() for one in (self._serving, *self._processes.values()) if one is not None]
        return min((one for one in expires if one is not None), default=None)

    async def serve(self, server: MediaServer) -> None:
        if self._serving is not None:
            await self._serving.serve(partial(_answer, server))

    async def unserve(self) -> None:
        if self._serving is not None:
            await self._serving.unserve()

    def server(self, events: MediaEvents) -> MediaServer:
        server = _Cluster(self._processes, events)
        self._servers.append(server)
        return server

    def ready(self, address: str) -> bool:
        """Return whether the media process there can be called."""
        process = self._processes.get(address)
        return process is not None and process.ready

    def _on_members(self, members: Members) -> None:
        if self._closed:
            return
        addresses = set(members.values())
        for address in addresses - self._processes.keys():
            process = TcpRpc(self._settings, self._secret, partial(_only, address), listen=False)
            self._processes[address] = process
            task = spawn("connection to a media process", self._connect(address, process))
            self._opening[address] = task
            task.add_done_callback(partial(self._opened, address))
        for address in self._processes.keys() - addresses:
            process = self._processes.pop(address)
            opening = self._opening.pop(address, None)
            if opening is not None:
                opening.cancel()
            leaving = spawn("leave of a media process", process.close())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            for server in self._servers:
                server.lost(address)

    def _opened(self, address: str, task: "asyncio.Task[None]") -> None:
        if self._opening.get(address) is task:
            del self._opening[address]

    async def _connect(self, address: str, process: TcpRpc) -> None:
        await process.open()
        await process.wait_ready()
        log.info("a media process can be used", address=address)


class _ToGroup(MediaEvents):
    """Tells a group process, whichever it is; all of them know what to do."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        self._tell(room, wire.written("on_candidate", room, participant, peer, candidate))

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        self._tell(room, wire.written("on_gone", room, participant, peer))

    def on_closed(self, room: str, reason: str) -> None:
        self._tell(room, wire.written("on_closed", room, reason))

    def _tell(self, room: str, body: bytes) -> None:
        self._rpc.call(Call(Method.MEDIA_EVENT, room, "", body)).add_done_callback(_check)


def _check(future: "asyncio.Future[Reply]") -> None:
    if future.cancelled() or future.result().code != Code.SUCCESS:
        log.warning("no group process took the news of a call")


class _Cluster(MediaServer):
    """All media processes as one media server."""

    def __init__(self, processes: dict[str, TcpRpc], events: MediaEvents) -> None:
        self._processes = processes
        self._events = events
        self._places: OrderedDict[str, str] = OrderedDict()  # the process of each room that is known

    def lost(self, address: str) -> None:
        """Tell that the rooms of a process are over."""
        for room in [room for room, place in self._places.items() if place == address]:
            del self._places[room]
            self._events.on_closed(room, "its media process is gone")

    @property
    def exists(self) -> bool:
        return bool(self._processes)

    async def join(self, room: str, participant: str) -> None:
        address = await self._find(room)
        places = [address] if address is not None else self._choice(room)
        for place in places:
            try:
                await self._ask(place, "join", room, participant)
            except Busy:
                if address is not None:
                    raise
                continue
            self._remember(room, place)
            return
        raise Busy(f"{len(places)} media processes are reached, and none has room for another call")

    async def publish(self, room: str, participant: str, offer: str) -> str:
        return str(await self._ask(await self._place(room), "publish", room, participant, offer))

    async def receive(self, room: str, participant: str, sender: str, offer: str) -> str:
        return str(await self._ask(await self._place(room), "receive", room, participant, sender, offer))

    async def candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        await self._ask(await self._place(room), "candidate", room, participant, peer, candidate)

    async def leave(self, room: str, participant: str) -> None:
        if (place := await self._find(room)) is not None:
            await self._ask(place, "leave", room, participant)

    async def has(self, room: str) -> bool:
        place = self._places.get(room)
        if place is not None and place in self._processes:
            there = bool(await self._ask(place, "has", room))
            if not there:
                self._places.pop(room, None)
            return there
        return await self._find(room, sure=True) is not None

    async def close_room(self, room: str) -> None:
        place = await self._find(room)
        self._places.pop(room, None)
        if place is not None:
            await self._ask(place, "close_room", room)

    async def _place(self, room: str) -> str:
        place = await self._find(room)
        if place is None:
            raise UnknownSender("no media process has the room")
        return place

    async def _find(self, room: str, *, sure: bool = False) -> str | None:
        """Return the process that has a room. With `sure`, raises MediaServerError where not all have answered."""
        place = self._places.get(room)
        if place is not None and place in self._processes:
            return place
        addresses = list(self._processes)
        found = await asyncio.gather(*(self._has(address, room) for address in addresses))
        for address, there in zip(addresses, found, strict=True):
            if there:
                self._remember(room, address)
                return address
        if sure and None in found:
            raise MediaServerError("a media process does not answer")
        return None

    async def _has(self, address: str, room: str) -> bool | None:
        """Return whether a process has a room, None where it does not say."""
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return bool(await self._ask(address, "has", room))
        except (MediaServerError, TimeoutError):
            return None

    def _choice(self, room: str) -> list[str]:
        """Return the processes in the order in which a new room should try them: all group processes say the same.

        One that cannot be reached may be dead: the registry has it until its lease ends.
        """
        reached = (place for place, process in self._processes.items() if process.ready)
        return sorted(reached, key=lambda place: (crc32(f"{place} {room}".encode()), place))

    def _remember(self, room: str, place: str) -> None:
        self._places[room] = place
        self._places.move_to_end(room)
        if len(self._places) > _KNOWN_ROOMS:
            self._places.popitem(last=False)

    async def _ask(self, address: str, name: str, room: str, *arguments: object) -> Any:
        process = self._processes.get(address)
        if process is None or not process.ready:
            raise MediaServerError(f"the media process at {address} is not there")
        reply = await process.call(Call(Method.MEDIA, room, "", wire.written(name, room, *arguments)))
        if reply.code != Code.SUCCESS:
            raise MediaServerError(f"the media process at {address} did not answer: code {reply.code}")
        return wire.result(reply.payload)


def _answer(server: MediaServer, call: Call) -> "asyncio.Future[Reply]":
    return asyncio.get_running_loop().create_task(_carry_out(server, call))


async def _carry_out(server: MediaServer, call: Call) -> Reply:
    """What fails becomes a code, as the handlers of rpc must have it."""
    if call.method != Method.MEDIA:
        return Reply(Code.NOT_IMPLEMENTED)
    try:
        return Reply(Code.SUCCESS, await wire.carry_out(server, call.body))
    except asyncio.CancelledError:
        return Reply(Code.TIMEOUT)  # the caller's deadline
    except Exception:
        log.exception("a call of the media server failed", room=call.uid)
        return Reply(Code.SERVER_ERROR)


def _next_port(settings: RpcSettings) -> RpcSettings:
    """Return the settings for a second port beside that of the group role: the next one, if it is a fixed one.

    Raises RpcError.
    """
    if settings.port == MAX_PORT:
        raise RpcError(f"[rpc] port = {MAX_PORT}: the media role needs the port after it")
    changed: dict[str, object] = {"port": settings.port and settings.port + 1}
    if settings.advertise:
        host, port = urls.host_and_port(settings.advertise, 0)
        if port:
            changed["advertise"] = urls.joined(host, port + 1)
    return settings.model_copy(update=changed)


async def _nobody(on_members: Any) -> None:
    """Watch for nobody: who only serves calls nobody."""


async def _only(address: str, on_members: Any) -> None:
    """Watch for the one process that is at an address."""
    on_members({0: address})
