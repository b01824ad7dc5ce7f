"""10 % of the events and of the notifications get lost: every message arrives all the same (docs/architecture.md,
"The life of a message"). And without the head check, or without the repeated notification, it would not.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fsharechat.node import Node
from fsharechat.settings import Settings
from fsharechat.store.cursors import Log
from roles import connector
from roles.connector import hub as hub_module
from tests.chaos.losses import LosingBus, LostNotifications, WatchedHub, is_lost
from tools.testing.devices import FAST, Handset, check_same, log_in
from tools.testing.server import BOUND, SUPER_CODE, ServerAddresses, until

pytestmark = pytest.mark.slow

PAIRS = 20
TEXTS = 150
UNANSWERED = 4
NEVER = 1_000_000
PATIENT = replace(FAST, request_timeout=BOUND)


class Pair:
    """One user who sends to another. All devices but the one that sends are to get every text."""

    def __init__(self, number: int, sender: Handset, listeners: Sequence[Handset], to: str) -> None:
        self._number = number
        self._sender = sender
        self._to = to
        self.listeners = listeners
        self.texts: list[str] = []
        self.last_word = f"pair {number}, last word"

    async def send_many(self) -> None:
        await self._send([f"pair {self._number}, text {n}" for n in range(TEXTS)])

    async def say_last_word(self) -> None:
        await self._send([self.last_word])

    async def _send(self, texts: list[str]) -> None:
        self.texts += texts
        await self._sender.send_all(self._to, texts, UNANSWERED)

    def texts_at(self, listener: Handset) -> list[str]:
        return listener.texts_of(self._sender.user_id)


@dataclass
class World:
    hub: WatchedHub
    bus: LosingBus
    notifications: LostNotifications
    pairs: list[Pair]

    async def send(self) -> None:
        """Send it all; return when it is acknowledged and the server believes that every device has it.

        The last word of each pair comes when nothing else is under way that could bring it along.
        """
        async with asyncio.TaskGroup() as tasks:
            for pair in self.pairs:
                tasks.create_task(pair.send_many())
        await until(self.hub.all_is_told, lambda: f"still missing: {self.missing()}")
        for pair in self.pairs:
            await pair.say_last_word()

    def missing(self) -> dict[str, int]:
        """Return how many texts each device lacks, without those that lack none."""
        found = {
            listener.credentials.client_id: len(pair.texts) - len(listener.received)
            for pair in self.pairs
            for listener in pair.listeners
        }
        return {device: count for device, count in found.items() if count}

    async def until_all_is_known(self) -> None:
        """Wait until the connector knows that everything is stored, whether or not the devices do."""
        wanted = dict.fromkeys(self.hub.table.users, len(self.pairs[0].texts))
        await until(
            lambda: {uid: user.heads[Log.INBOX] for uid, user in self.hub.table.users.items()} == wanted,
            lambda: f"the heads are {[user.heads[Log.INBOX] for user in self.hub.table.users.values()]}",
        )

    async def until_all_has_come(self) -> None:
        """Wait for everything, and see that it came once and in order."""
        await until(lambda: not self.missing(), lambda: f"missing: {self.missing()}")
        for pair in self.pairs:
            for listener in pair.listeners:
                check_same(pair.texts_at(listener), pair.texts, "what came")
                assert len(set(listener.ids())) == len(pair.texts)

    def lost_last_words(self) -> list[Pair]:
        """Return the pairs whose last word the bus lost."""
        return [pair for pair in self.pairs if pair.last_word in self.bus.lost]

    def report(self) -> str:
        texts = sum(len(pair.texts) for pair in self.pairs)
        lost, sent = self.notifications.lost.total(), self.notifications.sent.total()
        return f"{texts} messages; lost: {len(self.bus.lost)} events, {lost} of {sent} notifications"


@asynccontextmanager
async def world(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    head_check_seconds: float,
    notify_repeat_seconds: float,
) -> AsyncIterator[World]:
    """Boot a server that loses things, with all pairs connected, and let the checks that follow a CONNECT pass."""
    hubs: list[WatchedHub] = []

    def watched(*args: object) -> WatchedHub:
        hubs.append(WatchedHub(*args))
        return hubs[0]

    notifications = LostNotifications()
    notifications.install(monkeypatch)
    monkeypatch.setattr(connector, "Hub", watched)
    monkeypatch.setattr(hub_module, "SWEEP_SECONDS", 0.05)
    node = Node(
        Settings.model_validate(
            {
                "node": {"data": tmp_path / "data"},
                "connector": {
                    "tcp_port": 0,
                    "ws_port": 0,
                    "head_check_seconds": head_check_seconds,
                    "notify_repeat_seconds": notify_repeat_seconds,
                },
                "api": {"port": 0},
                "media": {"listen": "127.0.0.1:0"},
                "codes": {"super_code": SUPER_CODE},
                "limits": {"requests": 0},
            }
        )
    )
    bus = node.bus = LosingBus()
    async with node, AsyncExitStack() as stack:
        at = ServerAddresses(*(node.addresses[name] for name in ServerAddresses._fields))
        pairs = [await _pair(stack, at, n) for n in range(PAIRS)]
        hub = hubs[0]
        due = len(hub.table.sessions)
        await until(lambda: hub.heads.checked >= due, lambda: f"only {hub.heads.checked} checks of devices")
        yield World(hub, bus, notifications, pairs)


async def _pair(stack: AsyncExitStack, at: ServerAddresses, n: int) -> Pair:
    async def device(number: str, client_id: str, transport: str) -> Handset:
        credentials = await log_in(at, number, f"{client_id}-{n}")
        return await stack.enter_async_context(Handset(credentials, at, transport, options=PATIENT))

    sender_number, receiver_number = f"138000000{n:02}", f"139000000{n:02}"
    sender = await device(sender_number, "sender", ("tcp", "ws")[n % 2])
    listeners = [
        await device(sender_number, "sender tablet", ("ws", "tcp")[n % 2]),
        await device(receiver_number, "receiver", "tcp"),
        await device(receiver_number, "receiver tablet", "ws"),
    ]
    return Pair(n, sender, listeners, listeners[1].user_id)


async def test_everything_arrives_within_one_head_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, monkeypatch, head_check_seconds=0.5, notify_repeat_seconds=0.1) as it:
        await it.send()
        assert it.lost_last_words()
        await it.hub.heads.last_check()  # the first that begins after the last send
        await it.until_all_is_known()
        await it.until_all_has_come()
        assert it.notifications.lost
        with capsys.disabled():
            print(f"\n{it.report()}; missing 0 after one head check")


async def test_without_the_head_check_something_would_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, monkeypatch, head_check_seconds=NEVER, notify_repeat_seconds=0.1) as it:
        await it.send()
        await until(it.hub.all_is_told, lambda: f"still missing: {it.missing()}")
        devices = {d.credentials.client_id for pair in it.lost_last_words() for d in pair.listeners}
        assert devices
        await until(lambda: it.missing().keys() == devices, lambda: f"missing: {it.missing()}, not {devices}")
        with capsys.disabled():
            print(f"\n{it.report()}; missing {sum(it.missing().values())} without a head check")
        await it.hub.heads.check(list(it.hub.table.users))
        await it.until_all_has_come()


async def test_without_the_repeated_notification_something_would_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world(tmp_path, monkeypatch, head_check_seconds=0.2, notify_repeat_seconds=NEVER) as it:
        hub = it.hub
        async with asyncio.TaskGroup() as tasks:
            for pair in it.pairs:
                tasks.create_task(pair.send_many())
        await it.until_all_is_known()
        never_told = [
            listener
            for pair in it.pairs
            for listener in pair.listeners
            if is_lost("MN", listener.credentials.client_id, 0)
        ]
        assert never_told
        assert [len(listener.received) for listener in never_told] == [0] * len(never_told)
        with capsys.disabled():
            print(f"\n{it.report()}; missing {sum(it.missing().values())} without repeated notifications")
        hub.table.settings = hub.table.settings.model_copy(update={"notify_repeat_seconds": 0.1})
        await it.until_all_has_come()
