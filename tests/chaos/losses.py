"""What a bus and a network may lose, lost on purpose, and the same at each run."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

import pytest

from fsharechat.bus import Deliver, Event
from fsharechat.bus.memory import MemoryBus
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from fsharechat.store.cursors import Log
from roles.connector.heads import HeadCheck
from roles.connector.hub import Hub
from roles.connector.tables import SessionTable
from roles.connector.tcp import TcpConnection
from roles.connector.websocket import WebSocketConnection
from tools.testing.devices import text_of
from tools.testing.server import until

SEED = 29
"""One with which the last word of some pairs and the first notification to some devices are lost."""


def is_lost(*what: object) -> bool:
    """Tell whether something is among the 10 % that get lost; whatever the timing, it is the same things."""
    return crc32(repr((SEED, *what)).encode()) % 10 == 0


class LosingBus(MemoryBus):
    """Loses 10 % of the events that announce stored messages."""

    def __init__(self) -> None:
        super().__init__()
        self.carried = 0
        self.lost: set[str] = set()
        """The texts whose events were lost."""

    def deliver(self, node: int, events: Sequence[Event]) -> None:
        super().deliver(node, [event for event in events if self._carries(event)])

    def _carries(self, event: Event) -> bool:
        if isinstance(event, Deliver):
            text = text_of(pb.Message.FromString(event.body))
            if is_lost("event", text):
                self.lost.add(text)
                return False
            self.carried += 1
        return True


class LostNotifications:
    """Loses 10 % of the MN frames to each device."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for kind in (TcpConnection, WebSocketConnection):
            monkeypatch.setattr(kind, "send_notification", self._losing(kind.send_notification))

    def _losing(self, send: Callable[[Any, int, bytes], None]) -> Callable[[Any, int, bytes], None]:
        def send_notification(connection: Any, sub_signal: int, body: bytes) -> None:
            device = connection._session.client_id
            if sub_signal == SubSignal.MN:
                number = self.sent[device]
                self.sent[device] += 1
                if is_lost("MN", device, number):
                    self.lost[device] += 1
                    return
            send(connection, sub_signal, body)

        return send_notification


class WatchedHeads(HeadCheck):
    """Head checks that can be counted, and stopped."""

    def __init__(self, table: SessionTable) -> None:
        super().__init__(table)
        self.checked = 0
        """How many users the checks so far were for, each counted as often as it was checked."""
        self._last: asyncio.Event | None = None
        self._last_has_begun = False

    async def check(self, uids: list[str]) -> None:
        if self._last is None:
            await super().check(uids)
            self.checked += len(uids)
        elif not self._last_has_begun and set(uids) >= self._host.users.keys():
            self._last_has_begun = True
            await super().check(uids)
            self._last.set()

    async def last_check(self) -> None:
        """Wait for the next check of all users; after it there is none any more."""
        self._last = asyncio.Event()
        await until(self._last.is_set, "no head check")


class WatchedHub(Hub):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heads = self.table.heads = WatchedHeads(self.table)

    def all_is_told(self) -> bool:
        """Tell whether, by what the hub knows, every device has everything."""
        return all(
            session.logs is not None
            and session.logs.user.heads[Log.INBOX] <= session.logs.inbox.covered
            and session.logs.inbox.told_at is None
            for session in self.table.sessions
        )
