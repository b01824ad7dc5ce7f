"""The head check (docs/architecture.md): devices learn from the store what the bus has lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import orjson
import structlog

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Method, Rpc
from fsharechat.settings_schema import ConnectorSettings
from fsharechat.store.heads import Heads
from fsharechat.tasks import repeat, spawn
from roles.connector.logs import OnlineUser
from roles.connector.session import Session

log = structlog.get_logger(__name__)

HEADS_BATCH = 1000
FRESH_SECONDS = 1.0
"""The heads of a new device are checked so many seconds later, when all processes know its presence."""

AHEAD_SECONDS = 0.5
"""The store has an entry before its event arrives. So many seconds after the check, the event counts as lost.

Without this, a device would be told to fetch messages that it has just sent itself.
"""


class HeadCheckHost(Protocol):
    """The part of the connector that the check needs."""

    settings: ConnectorSettings
    time: Callable[[], float]
    rpc: Rpc

    @property
    def users(self) -> Mapping[str, OnlineUser]: ...
    def session_of(self, device: tuple[str, str]) -> Session | None:
        """Return the session of a device: uid and client id."""


class HeadCheck:
    def __init__(self, host: HeadCheckHost) -> None:
        self._host = host
        self._fresh: deque[tuple[float, str]] = deque()
        self._ahead: deque[tuple[float, str, Heads]] = deque()

    def start(self) -> tuple[asyncio.Task[None], ...]:
        """Begin to check. Return the task; it runs until it is cancelled."""
        return (
            spawn("head check", repeat(self._host.settings.head_check_seconds, self.check_all)),
            spawn("head check of fresh devices", repeat(FRESH_SECONDS / 4, self.look_at_fresh)),
        )

    def connected(self, uid: str) -> None:
        """Check a user in a while."""
        self._fresh.append((self._host.time() + FRESH_SECONDS, uid))

    async def check_all(self) -> None:
        await self.check(list(self._host.users))

    async def look_at_fresh(self) -> None:
        """Check users who connected FRESH_SECONDS ago. Tell devices of heads that were ahead AHEAD_SECONDS ago."""
        due, now = [], self._host.time()
        while self._ahead and self._ahead[0][0] <= now:
            _, uid, heads = self._ahead.popleft()
            if (user := self._host.users.get(uid)) is not None:
                user.catch_up(heads)
        while self._fresh and self._fresh[0][0] <= now:
            due.append(self._fresh.popleft()[1])
        if due:
            await self.check(due)

    async def check(self, uids: list[str]) -> None:
        """Compare the known heads of users with the store. AHEAD_SECONDS says what follows."""
        for start in range(0, len(uids), HEADS_BATCH):
            batch = uids[start : start + HEADS_BATCH]
            await self._check_logs(batch)
            await self._check_devices(batch)

    async def _check_logs(self, uids: list[str]) -> None:
        reply = await self._host.rpc.ask(Method.HEADS, uids)
        if reply.code != Code.SUCCESS:
            log.warning("heads not checked", code=reply.code, users=len(uids))
            return
        due = self._host.time() + AHEAD_SECONDS
        for uid, numbers in orjson.loads(reply.payload).items():
            user, heads = self._host.users.get(uid), Heads(*numbers)
            if user is not None and user.behind(heads):
                self._ahead.append((due, uid, heads))

    async def _check_devices(self, uids: list[str]) -> None:
        """End the connections of devices that were logged out or blocked without an event here."""
        users = (self._host.users.get(uid) for uid in uids)
        known = {(user.uid, client_id) for user in users if user is not None for client_id in user.devices}
        sessions = {device: self._host.session_of(device) for device in known}
        reply = await self._host.rpc.ask(Method.GONE, list(sessions))
        if reply.code == Code.NOT_IMPLEMENTED:
            return  # a group process of an earlier version
        if reply.code != Code.SUCCESS:
            log.warning("devices not checked", code=reply.code, devices=len(sessions))
            return
        for uid, client_id in orjson.loads(reply.payload):
            session = sessions.get((uid, client_id))
            if session is not None and self._host.session_of((uid, client_id)) is session:
                session.refuse("logged out, or blocked")
