"""The services of a connector, and their life."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from fsharechat.bus import Bus
from fsharechat.open_files import most_connections
from fsharechat.registry import Lease
from fsharechat.rooms import AddressRoom
from fsharechat.rpc import Rpc
from fsharechat.settings import Settings
from fsharechat.settings_schema import ConnectorSettings
from fsharechat.tasks import repeat, spawn
from roles.connector.admission import Admission, Visit
from roles.connector.connection import ConnectionServices
from roles.connector.events import EventReader, Recalls
from roles.connector.identity import NodeIdentity
from roles.connector.limits import RequestFlow
from roles.connector.tables import SessionTable

SWEEP_SECONDS = 1.0


class Hub:
    def __init__(
        self,
        settings: Settings,
        lease: Lease,
        rpc: Rpc,
        bus: Bus,
        open_files: int,
        time: Callable[[], float] | None = None,
    ) -> None:
        """`open_files` is the limit of open files of this process; `time` is that of the loop if it is None."""
        self._time = time or asyncio.get_running_loop().time
        self.identity = NodeIdentity(lease, rpc, bus)
        self.flow = RequestFlow(settings, rpc, self._time)
        self.table = SessionTable(settings.connector, self.identity, self.flow, rpc)
        self.recalls = Recalls(self._time)
        self.events = EventReader(self.table, self.identity, self.recalls)
        self.admission = _admission(settings.connector, open_files)
        self.connections = ConnectionServices(settings.connector, self._time, self.table)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.identity.start(self.events.take, self.table.close_all)
        self._tasks = [
            spawn("sweep", repeat(SWEEP_SECONDS, self.sweep)),
            spawn("marks of devices", repeat(SWEEP_SECONDS, self.table.marks.keep)),
            *self.table.heads.start(),
            spawn("connector's node id", self.identity.follow()),
        ]

    async def stop(self) -> None:
        """Read no more, finish the requests under way, then close every session. When cancelled, close them at once.

        A frame that has begun is sent to its end, as long as the client takes it.
        """
        self.flow.draining = True
        for session in self.table.sessions:
            session.transport.pause()
        try:
            await self.flow.drained()
        finally:
            self.table.stop()
            for task in self._tasks:
                task.cancel()
        await self.table.marks.keep(all=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connections.slow.finished(self._time)

    def admit(self, connected: socket.socket, peer: tuple[Any, ...]) -> Visit | None:
        """Count a new connection from `peer`. Returns None if there are too many, or none are taken."""
        if self.identity.suspended:
            return None
        return self.admission.enter(connected, peer, self._time())

    async def sweep(self) -> None:
        """Look at everything that has a time, and at every connection."""
        now = self._time()
        self.flow.buckets.sweep(now)
        self.recalls.forget_old(now)
        self.admission.sweep(now)
        self.connections.slow.look(now)
        self.connections.breaks.forget_old(now)
        await self.table.sweep(now)


def _admission(settings: ConnectorSettings, open_files: int) -> Admission:
    most = most_connections("[connector] max_connections", settings.max_connections, open_files)
    # Strangers alone must not be able to use up the open files.
    strangers = min(settings.max_unauthenticated, max(1, most // 2))
    room = AddressRoom(settings.connections_per_address, settings.trusted_proxies)
    return Admission(room, most, strangers, settings.authenticate_seconds)
