"""Clients that send to each other at a steady rate, and remember all messages sent and received."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self, TypeVar

from fsharechat.client import (
    Client,
    ClientError,
    Credentials,
    Disconnected,
    MessageRecalled,
    MessagesRead,
    Options,
    RequestError,
    RequestTimeout,
    SendUnconfirmed,
    group,
    login,
    private,
)
from fsharechat.client.models import Event
from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ConversationType, SubSignal
from tools.testing.server import Where

from .inbox import read_inbox
from .ledger import Ledger, LedgerEntry, Read
from .waiting import until_done

T = TypeVar("T")

SUPER_CODE = "66666"
TRANSPORTS = ("tcp", "ws")
FIRST_NUMBER = 13_700_000_000
MOST_CLIENTS = 1_000
SWARMS = 100_000
"""Each swarm has new users: a cluster may know messages of an earlier swarm."""
PATIENCE = 600.0
"""How long a message is sent again, s: longer than any outage of the cluster."""
LOGIN_SECONDS = 120.0
LOGINS_AT_A_TIME = 16
PAUSE = 0.2
NEIGHBOURS = (1, 7, 50)
"""The receivers to which each client sends in turn, counted from its own number."""
GROUP_SIZE = 10
"""How many clients share a group."""
GROUP_EVERY = 4
"""Every n-th message of a client goes to its group."""
RECALL_EVERY = 10
"""Every n-th message of a client is recalled."""
READ_SECONDS = 20.0
"""How often a client reports what it has read, s."""

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
    follow_reports=True,
)


class SwarmMember(Client):
    """A device that numbers its messages. It sends one at a time, so they have an order."""

    def __init__(
        self, number: int, ledger: Ledger, credentials: Credentials, transport: str, addresses: Sequence[str]
    ) -> None:
        self.number = number
        self.transport = transport
        self.home = addresses[0]
        self.begin = 0
        """The head of the inbox before the first message of this run."""
        self.came: list[tuple[int, int, int]] = []
        """Sender, number and id of received messages, in their order."""
        self.group_id = ""
        self._members: Sequence[SwarmMember] = ()
        self._numbers: Mapping[str, int] = {}
        self._mates: frozenset[int] = frozenset()
        self._ledger = ledger
        self._attempts: Counter[int] = Counter()
        self._unread: dict[str, tuple[int, set[str]]] = {}
        super().__init__(
            credentials,
            tcp=addresses if transport == "tcp" else None,
            ws=addresses if transport == "ws" else None,
            on_message=self._take,
            on_event=self._note,
            options=OPTIONS,
        )

    def meet(
        self, members: Sequence["SwarmMember"], numbers: Mapping[str, int], mates: frozenset[int]
    ) -> None:
        """Learn of the others: the numbers of the users, and the members of the same group."""
        self._members, self._numbers, self._mates = members, numbers, mates - {self.number}

    async def run(self, period: float, stop: asyncio.Event) -> None:
        """Send a message every `period` seconds until `stop`, and return when all are acknowledged."""
        due = time.monotonic() + random.uniform(0, period)
        number = 0
        while not await _stopped(stop, due - time.monotonic()):
            due += period
            number += 1
            sent = await self._say(number)
            if number % RECALL_EVERY == 0:
                await self._take_back(sent)

    async def read_on(self, stop: asyncio.Event) -> None:
        """Report from time to time what was read, until `stop` and the last report."""
        seconds = random.uniform(0, READ_SECONDS)
        while not await _stopped(stop, seconds):
            await self._say_read()
            seconds = READ_SECONDS
        await self._say_read()

    async def request(
        self, sub_signal: SubSignal, body: Body, *, within: float | None = None, turn: int | None = None
    ) -> Body:
        if isinstance(body, pb.Message) and sub_signal is SubSignal.MS:
            self._attempts[body.local_message_id] += 1
            if self._attempts[body.local_message_id] > 1:
                self._ledger.resent.append(time.monotonic())
        return await super().request(sub_signal, body, within=within, turn=turn)

    async def go_home(self) -> None:
        """Leave a foreign connector. The way back is through the list of addresses."""
        connection = self._link.connection
        if self.address != self.home and connection is not None:
            await connection.close()

    async def _say(self, number: int) -> LedgerEntry:
        local_id = self._ledger.first_local_id + number
        if number % GROUP_EVERY == 0:
            target, to = group(self.group_id), self._mates
        else:
            step = NEIGHBOURS[number % len(NEIGHBOURS)]
            other = self._members[(self.number + step) % len(self._members)]
            target, to = private(other.user_id), frozenset({other.number})
        text, sent = self._ledger.begin(self.number, number, to)
        receipt = await self._persist(lambda: self.send(target, text, local_id=local_id))
        self._ledger.acknowledge(sent, receipt.message_id)
        return sent

    async def _take_back(self, sent: LedgerEntry) -> None:
        await self._persist(lambda: self.recall(sent.message_id))
        sent.recalled = time.monotonic()

    async def _say_read(self) -> None:
        unread, self._unread = self._unread, {}
        for group_id, (date, senders) in unread.items():
            for conversation in [group(group_id)] if group_id else map(private, senders):
                await self._report(conversation, date, senders)
                for sender in senders if group_id else [conversation.target]:
                    read = self._ledger.reads.setdefault(
                        (self.number, self._numbers[sender], group_id), Read(0)
                    )
                    read.date = max(read.date, date)

    async def _report(self, conversation: pb.Conversation, date: int, senders: set[str]) -> None:
        tos = senders if conversation.type == ConversationType.GROUP else ()
        await self._persist(lambda: self.reports.read(conversation, date, tos))

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it is acknowledged."""
        while True:
            try:
                return await attempt()
            except (Disconnected, RequestError, RequestTimeout, SendUnconfirmed):
                # Over WebSocket a refusal has no reason, so the client leaves the resend to us.
                self._ledger.refused.append(time.monotonic())
                await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))

    def _take(self, message: pb.Message) -> None:
        if not self._ledger.is_ours(message):
            return
        sent = self._ledger.find(message)
        if sent is None or self.number not in sent.to:
            self._ledger.strange.append(f"{self.number} got {message.content.searchable_content!r}")
            return
        sent.came.setdefault(self.number, time.monotonic())
        sent.ids.add(message.message_id)
        self.came.append((sent.sender, sent.number, message.message_id))
        in_group = message.conversation.type == ConversationType.GROUP
        key = message.conversation.target if in_group else ""
        date, senders = self._unread.get(key, (0, set()))
        self._unread[key] = max(date, message.server_timestamp), senders | {message.from_user}

    def _note(self, event: Event) -> None:
        match event:
            case MessagesRead(user_id, conversation, date):
                in_group = conversation.type == ConversationType.GROUP
                key = self._numbers[user_id], self.number, conversation.target if in_group else ""
                read = self._ledger.reads.setdefault(key, Read(0))
                read.learnt = max(read.learnt, date)
            case MessageRecalled(message_id):
                self._ledger.told_of_recalls.add((self.number, message_id))


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until `stop`. Return whether `stop` came."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await stop.wait()
    except TimeoutError:
        pass
    return stop.is_set()


class Swarm:
    """All clients, half of them over each transport, and spread over the connectors."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        """`addresses` are those of the connectors by transport, and those of the api processes as "http"."""
        self.ledger = Ledger()
        self.members: list[SwarmMember] = []
        self._addresses = addresses
        self._open: list[SwarmMember] = []
        self._first_number = FIRST_NUMBER + MOST_CLIENTS * secrets.randbelow(SWARMS)
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def log_in(self, count: int) -> Self:
        """Log in and connect so many clients."""
        room = asyncio.Semaphore(LOGINS_AT_A_TIME)

        async def one(number: int) -> SwarmMember:
            async with room:
                transport = TRANSPORTS[number % len(TRANSPORTS)]
                credentials = await self._credentials(number)
                addresses = self._addresses[transport]
                first = number // len(TRANSPORTS) % len(addresses)
                order = [*addresses[first:], *addresses[:first]]
                member = SwarmMember(number, self.ledger, credentials, transport, order)
                self._open.append(member)
                await member.connect(patience=LOGIN_SECONDS)
                return member

        self.members = await asyncio.gather(*(one(number) for number in range(count)))
        numbers = {member.user_id: member.number for member in self.members}
        for first in range(0, count, GROUP_SIZE):
            await self._make_group(self.members[first : first + GROUP_SIZE], numbers)
        for member in self.members:
            member.begin = (await member.pull(0)).head
        return self

    async def inbox(self, number: int) -> tuple[list[pb.Message], int]:
        """Return the messages to a user in this run, as a new device reads them, and the last seq."""
        member = self.members[number]
        credentials = await self._credentials(number, "reader")
        addresses = self._addresses[member.transport]
        where = Where(tcp=addresses) if member.transport == "tcp" else Where(ws=addresses)
        return await read_inbox(credentials, member.begin, where, OPTIONS, LOGIN_SECONDS)

    async def _make_group(self, mates: Sequence[SwarmMember], numbers: Mapping[str, int]) -> None:
        owner, *others = mates
        name = f"group of {owner.number}"
        group_id = await owner.groups.create(name, [member.user_id for member in others])
        for member in mates:
            member.group_id = group_id
            member.meet(self.members, numbers, frozenset(mate.number for mate in mates))

    async def _credentials(self, number: int, device: str = "swarm") -> Credentials:
        """Log in at one api process after the other until one answers."""
        addresses = self._addresses["http"]
        async with asyncio.timeout(LOGIN_SECONDS):
            for attempt in range(1 << 30):
                try:
                    at = addresses[(number + attempt) % len(addresses)]
                    return await login(at, str(self._first_number + number), SUPER_CODE, f"{device}-{number}")
                except (ClientError, OSError):
                    await asyncio.sleep(PAUSE)
        raise AssertionError("the time-out comes first")

    def start(self, rate: float) -> None:
        """Send `rate` messages a second, all clients together."""
        self._running = asyncio.get_running_loop().create_task(self._run(len(self.members) / rate))

    async def _run(self, period: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for member in self.members:
                tasks.create_task(member.run(period, self._stop))
                tasks.create_task(member.read_on(self._stop))

    async def spread(self) -> None:
        """Send clients that went to other connectors back to their own."""
        await asyncio.gather(*(member.go_home() for member in self.members))

    def check(self) -> None:
        """Raise the error that ended the sending, or a client, if any."""
        if self._running is not None and self._running.done():
            self._running.result()

    async def stop(self, seconds: float) -> bool:
        """Send nothing more, and wait until everything is acknowledged and has arrived. False: time is over."""
        self._stop.set()
        return await until_done(self._all_is_done, self.check, seconds)

    def _all_is_done(self) -> bool:
        acknowledged = self._running is not None and self._running.done()
        connected = self.connected() == len(self.members)
        ledger = self.ledger
        return acknowledged and connected and not (ledger.missing() or ledger.unread() or ledger.untold())

    async def close(self) -> None:
        self._stop.set()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await asyncio.gather(*(member.close() for member in self._open))

    def connected(self) -> int:
        return sum(member.connected for member in self.members)
