"""Devices that may no longer be connected: those of a blocked user, or those logged out."""

import asyncio
from collections.abc import Collection

import structlog

from fsharechat.bus import Bus, Kick, Presence
from fsharechat.errors import StoreError
from fsharechat.protocol.signals import UserStatus
from fsharechat.store import sessions
from fsharechat.store.store import Store
from fsharechat.tasks import TaskSet
from roles.group.presence import PresenceTable

log = structlog.get_logger(__name__)

WATCH_SECONDS = 30.0
"""How long new devices are watched, s. By then a CONNECT allowed before the expulsion is announced, or has failed."""


class Expulsion:
    """Ends connections on any connector. Connections that are just being made end when they are announced."""

    retry_seconds = 1.0
    """Time between tries for a connected device, s, if the store does not answer."""

    def __init__(self, store: Store, bus: Bus, presence: PresenceTable) -> None:
        self._store = store
        self._bus = bus
        self._presence = presence
        self._watched: dict[str, float] = {}
        self._looks = TaskSet()
        self._loop = asyncio.get_running_loop()

    def kick(self, uid: str, client_ids: Collection[str] | None = None) -> list[str]:
        """End the connections of a user's devices, or of some of them. Return which devices were connected."""
        devices = self._presence.devices(uid)
        kicked = [client_id for client_id in devices if client_ids is None or client_id in client_ids]
        for client_id in kicked:
            node, epoch = devices[client_id]
            self._bus.deliver(node, [Kick(uid, client_id, epoch)])
        return kicked

    def watch(self, uid: str) -> None:
        """For a while, check each device of a user that connects: does the store still allow it?"""
        now = self._loop.time()
        self._watched = {known: until for known, until in self._watched.items() if until > now}
        self._watched[uid] = now + WATCH_SECONDS

    def recheck(self, uid: str, client_id: str) -> None:
        """End the connection of a device, or one that is just being made, unless the store still allows it."""
        self.watch(uid)
        place = self._presence.devices(uid).get(client_id)
        if place is not None:
            self._begin_look(Presence(uid, client_id, *place))

    def on_presence(self, presence: Presence) -> None:
        """Take the news that a device has come or gone."""
        if presence.online and self._watched and self._watched.get(presence.uid, 0) > self._loop.time():
            self._begin_look(presence)

    def _begin_look(self, presence: Presence) -> None:
        self._looks.spawn("expulsion", self._look(presence))

    async def _look(self, presence: Presence) -> None:
        uid, client_id = presence.uid, presence.client_id
        while True:
            try:
                found = await self._store.read(sessions.find, uid, client_id)
                break
            except StoreError as error:
                log.warning("store failed a request", method="expulsion", error=str(error))
            await asyncio.sleep(self.retry_seconds)
            if self._presence.devices(uid).get(client_id) != (presence.node, presence.epoch):
                return
        if found is None or found[1] == UserStatus.BLOCKED:
            self._bus.deliver(presence.node, [Kick(uid, client_id, presence.epoch)])
