"""The ephemeral nodes of the registry: `<root>/<kind>/<id>`, with the holder of the id as JSON."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple, Self

import orjson
from aiozk import WatchEvent, ZKClient, exc
from aiozk.protocol import SyncRequest

from fsharechat.protocol.ids import NODES
from fsharechat.registry.zookeeper.session import ZooKeeperSession

FIRST_BUS = 1
"""The version of the bus for processes that do not tell one: those of early releases."""


class Holder(NamedTuple):
    """The holder of a node id: its address, and for people its host, process id and start (UTC).

    `bus` is the newest version of the bus that it reads.
    """

    address: str
    host: str
    pid: int
    since: str
    bus: int = FIRST_BUS

    @classmethod
    def this_process(cls, address: str, bus: int) -> Self:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(address, socket.gethostname(), os.getpid(), since, bus)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read the data of a node. Unknown data is taken as an address."""
        try:
            found = orjson.loads(data)
            bus = int(found.get("bus", FIRST_BUS))
            return cls(str(found["address"]), str(found["host"]), int(found["pid"]), str(found["since"]), bus)
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls(data.decode(errors="replace"), "?", 0, "?")

    def dump(self) -> bytes:
        return orjson.dumps(self._asdict())

    def __str__(self) -> str:
        return f"{self.address} (process {self.pid} on {self.host}, since {self.since})"


async def take(session: ZooKeeperSession, path: str, holder: Holder) -> bool:
    """Make the node. Return whether it now belongs to this session. Raises RegistryError."""

    async def create(client: ZKClient) -> bool:
        with suppress(exc.NodeExists):
            try:
                await client.create(path, data=holder.dump(), ephemeral=True)
            except exc.NoNode:
                await _make_folder(client, path.rpartition("/")[0])
                await client.create(path, data=holder.dump(), ephemeral=True)
            return True
        return False

    # If it exists, an earlier attempt whose answer was lost may have made it.
    return await session.call(create) or await owns(session, path)


async def owns(session: ZooKeeperSession, path: str) -> bool:
    """Return whether the node exists and belongs to this session. Raises RegistryError.

    The `sync` makes the server ask the leader. A server that lost its leader would answer from its old state, for
    longer than the leader keeps a silent session.
    """

    async def ask(client: ZKClient) -> bool:
        await client.send(SyncRequest(path=path))
        try:
            _, stat = await client.get(path)
        except exc.NoNode:
            return False
        return bool(stat.ephemeral_owner == client.session.session_id)

    return await session.call(ask)


async def holder_of(session: ZooKeeperSession, path: str) -> Holder | None:
    """Return the holder of the node's id, None if there is none. Raises RegistryError."""

    async def ask(client: ZKClient) -> Holder | None:
        with suppress(exc.NoNode):
            return Holder.load(await client.get_data(path))
        return None

    return await session.call(ask)


async def give_back(session: ZooKeeperSession, path: str) -> None:
    """Delete the node if it belongs to this session. Raises RegistryError."""

    async def delete(client: ZKClient) -> None:
        with suppress(exc.NoNode):
            await client.delete(path, force=True)

    if await owns(session, path):
        await session.call(delete)


async def members(
    session: ZooKeeperSession, folder: str, on_event: Callable[[str], None] | None = None
) -> dict[int, Holder]:
    """Return the holders of the ids of one kind. Raises RegistryError.

    `on_event` is called when one comes or goes, until the connection breaks. After that, ask again.
    """

    async def ask(client: ZKClient) -> list[str]:
        if on_event is not None:
            client.session.add_watch_callback(WatchEvent.CHILDREN_CHANGED, folder, on_event)
        try:
            await client.send(SyncRequest(path=folder))
            return list(await client.get_children(folder, watch=on_event is not None))
        except exc.NoNode:
            await _make_folder(client, folder)
            return list(await client.get_children(folder, watch=on_event is not None))

    names = await session.call(ask)
    ids = [node for node in range(NODES) if str(node) in names]
    holders = await asyncio.gather(*[holder_of(session, f"{folder}/{node}") for node in ids])
    return {node: holder for node, holder in zip(ids, holders, strict=True) if holder is not None}


async def _make_folder(client: ZKClient, path: str) -> None:
    """Make a folder and its parents. ZooKeeper would remove empty folders made by aiozk's `ensure_path`."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        folder = "/" + "/".join(parts[:depth])
        if not await client.exists(folder):
            with suppress(exc.NodeExists):
                await client.create(folder)
