"""Clients that send to each other at a steady rate, and remember all they sent and got."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from fsharechat.client import Client, ClientError, Credentials, Options, RequestError, SendUnconfirmed, login
from fsharechat.client.transport import Body, Transport
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal

SUPER_CODE = "66666"
TRANSPORTS = ("tcp", "ws")
FIRST_NUMBER = 13_700_000_000
PATIENCE = 600.0
"""Seconds for which a message is sent again: however long the cluster is away, nobody gives up."""
LOGIN_SECONDS = 120.0
LOGINS_AT_A_TIME = 16
PAUSE = 0.2
NEIGHBOURS = (1, 7, 50)
"""To whom each client sends in turn, counted from its own number."""

OPTIONS = Options(
    connect_timeout=5.0,
    request_timeout=5.0,
    send_timeout=PATIENCE,
    ping_interval=5.0,
    ping_timeout=5.0,
    heartbeat_interval=5.0,
    backoff_first=0.1,
    backoff_max=1.0,
    backoff_reset=1.0,
)


@dataclass(slots=True)
class Sent:
    """One message, from the first attempt to its arrival. Times are those of `time.monotonic`."""

    sender: int
    number: int
    to: int
    started: float
    acknowledged: float | None = None
    message_id: int = 0
    arrived: float | None = None
    ids: set[int] = field(default_factory=set)
    """Under which ids it was seen: more than one is a message stored twice."""


class Ledger:
    """What the whole swarm sent. `run` marks the texts, so that those of an earlier run do not count."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self.first_local_id = secrets.randbits(62)
        self.messages: dict[str, Sent] = {}
        self.resent: list[float] = []
        """When a message was sent again."""
        self.refused: list[float] = []
        """When a send got an error code."""
        self.strange: list[str] = []
        """What nobody sent, or somebody else got."""

    def unacknowledged(self) -> int:
        return sum(sent.acknowledged is None for sent in self.messages.values())

    def missing(self) -> list[Sent]:
        """What was acknowledged and has not arrived."""
        return [
            sent for sent in self.messages.values() if sent.acknowledged is not None and sent.arrived is None
        ]


class Member(Client):
    """A device that numbers what it sends. One message at a time, so that they have an order."""

    def __init__(
        self, number: int, ledger: Ledger, credentials: Credentials, transport: str, addresses: Sequence[str]
    ) -> None:
        self.number = number
        self.transport = transport
        self.home = addresses[0]
        self.at = ""
        """The address of the connection, the one that stands or the one that is tried."""
        self.begin = 0
        """The head of the inbox before the first message of this run."""
        self.came: list[tuple[int, int, int]] = []
        """Sender, number and id of what came, in that order."""
        self._ledger = ledger
        self._attempts: Counter[int] = Counter()
        over = {transport: addresses}
        super().__init__(credentials, on_message=self._take, options=OPTIONS, **over)

    async def run(self, members: Sequence["Member"], period: float, stop: asyncio.Event) -> None:
        """Send a message every `period` seconds until `stop`, and return when all are acknowledged."""
        due = time.monotonic() + random.uniform(0, period)
        number = 0
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                pass
            if stop.is_set():
                return
            due += period
            number += 1
            other = members[(self.number + NEIGHBOURS[number % len(NEIGHBOURS)]) % len(members)]
            await self._say(number, other)

    async def request(self, sub_signal: SubSignal, body: Body, *, within: float | None = None) -> Body:
        if isinstance(body, pb.Message) and sub_signal is SubSignal.MS:
            self._attempts[body.local_message_id] += 1
            if self._attempts[body.local_message_id] > 1:
                self._ledger.resent.append(time.monotonic())
        return await super().request(sub_signal, body, within=within)

    async def go_home(self) -> None:
        """Leave a connector that is not this client's own; the way back is through the list of addresses."""
        connection = self._link.connection
        if self.at != self.home and connection is not None:
            await connection.close()

    def _transport_to(self, address: str) -> Transport:
        self.at = address
        return super()._transport_to(address)

    async def _say(self, number: int, other: "Member") -> None:
        text = f"{self._ledger.run} {self.number} {number} {other.number}"
        sent = self._ledger.messages[text] = Sent(self.number, number, other.number, time.monotonic())
        while True:
            try:
                receipt = await self.send(other.user_id, text, local_id=self._ledger.first_local_id + number)
                break
            except (RequestError, SendUnconfirmed):
                # Over WebSocket a refusal does not say why, so the client leaves it to us to send it again.
                self._ledger.refused.append(time.monotonic())
                await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))
        sent.acknowledged = time.monotonic()
        sent.message_id = receipt.message_id
        sent.ids.add(receipt.message_id)

    def _take(self, message: pb.Message) -> None:
        text = message.content.searchable_content
        if not text.startswith(self._ledger.run):
            return
        sent = self._ledger.messages.get(text)
        if sent is None or sent.to != self.number:
            self._ledger.strange.append(f"{self.number} got {text!r}")
            return
        sent.arrived = sent.arrived or time.monotonic()
        sent.ids.add(message.message_id)
        self.came.append((sent.sender, sent.number, message.message_id))


class Swarm:
    """All clients, half of them over each transport, and spread over the connectors."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """`addresses`: of the connectors by transport, and of the api processes as "http"."""
        self.ledger = Ledger()
        self.members: list[Member] = []
        self._addresses = addresses
        self._open: list[Member] = []
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def log_in(self, count: int) -> Self:
        """Log in and connect so many clients."""
        room = asyncio.Semaphore(LOGINS_AT_A_TIME)

        async def one(number: int) -> Member:
            async with room:
                transport = TRANSPORTS[number % len(TRANSPORTS)]
                credentials = await self._credentials(number)
                addresses = self._addresses[transport]
                first = number // len(TRANSPORTS) % len(addresses)
                order = [*addresses[first:], *addresses[:first]]
                member = Member(number, self.ledger, credentials, transport, order)
                self._open.append(member)
                await member.connect(patience=LOGIN_SECONDS)
                member.begin = (await member.pull(0)).head
                return member

        self.members = await asyncio.gather(*(one(number) for number in range(count)))
        return self

    async def _credentials(self, number: int) -> Credentials:
        """Log in at one api process after the other until one answers."""
        addresses = self._addresses["http"]
        async with asyncio.timeout(LOGIN_SECONDS):
            for attempt in range(1 << 30):
                try:
                    at = addresses[(number + attempt) % len(addresses)]
                    return await login(at, str(FIRST_NUMBER + number), SUPER_CODE, f"swarm-{number}")
                except (ClientError, OSError):
                    await asyncio.sleep(PAUSE)
        raise AssertionError("the time-out comes first")

    def start(self, rate: float) -> None:
        """Send `rate` messages a second, all clients together."""
        self._running = asyncio.get_running_loop().create_task(self._run(len(self.members) / rate))

    async def _run(self, period: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for member in self.members:
                tasks.create_task(member.run(self.members, period, self._stop))

    async def spread(self) -> None:
        """Have the clients that went elsewhere go back to their own connectors."""
        await asyncio.gather(*(member.go_home() for member in self.members))

    def check(self) -> None:
        """Raise what ended the sending, or a client, if something did."""
        if self._running is not None and self._running.done():
            self._running.result()

    async def stop(self, seconds: float) -> bool:
        """Send nothing more, and wait until all is acknowledged and has arrived. False when time is over first."""
        self._stop.set()
        deadline = time.monotonic() + seconds
        while self.ledger.unacknowledged() or self.ledger.missing() or self.connected() < len(self.members):
            if time.monotonic() > deadline:
                return False
            self.check()
            await asyncio.sleep(0.1)
        return True

    async def close(self) -> None:
        self._stop.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await asyncio.gather(*(member.close() for member in self._open))

    def connected(self) -> int:
        return sum(member.connected for member in self.members)
