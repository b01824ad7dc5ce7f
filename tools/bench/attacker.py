"""A user who does the worst that is allowed, in its own process: `python -m tools.bench.attacker`.

So the attacker's own work does not show in the times of others. It reads a Task as JSON, prints "ready" when it has
begun, and goes on until it is ended.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

import orjson

from fsharechat.client import Client, ClientError, Credentials, Options
from fsharechat.protocol import frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal
from tools.wire.bodies import WireAccount

from .server import Address

ALLOWED = 20.0
"""How many requests of a kind the default limits allow a device in a second, over a long time."""

POISON = "e" + "\u0301" * 200_000
PINGS = 150
"""How many PINGs one chunk has. Ten times the limit would end the connection."""

ATTACKS = {
    "group": "a group of 5,000 flooded",
    "search": "fuzzy searches",
    "ping": "PINGs in chunks",
    "poison": "texts of 200,000 marks",
    "portraits": "new groups with portraits",
}


@dataclass(frozen=True, slots=True)
class Task:
    """The task of an attacker: some of ATTACKS, with a server, a group of the attacker, and other users."""

    attacks: Sequence[str]
    address: Address
    account: WireAccount
    group_id: str
    others: Sequence[str]

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def load(cls, data: bytes) -> "Task":
        found = orjson.loads(data)
        host, port = found["address"]
        return cls(**{**found, "address": (host, port), "account": WireAccount(**found["account"])})


@asynccontextmanager
async def attacking(task: Task) -> AsyncIterator[None]:
    """Run an attacker while the context is open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tools.bench.attacker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(task.dump())
        process.stdin.write_eof()
        await process.stdout.readline()
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def online(address: Address, account: WireAccount) -> AsyncIterator[Client]:
    host, port = address
    credentials = Credentials(account.user_id, account.user_token, account.secret, "", account.client_id)
    options = Options(send_limit=0, request_timeout=30.0)
    async with Client(credentials, tcp=[f"{host}:{port}"], options=options) as client:
        yield client


async def _attack(task: Task) -> None:
    async with online(task.address, task.account) as client, asyncio.TaskGroup() as tasks:
        search = pb.SearchUserRequest(keyword="1", fuzzy=1, page=0)

        async def send(text: str, kind: int, target: str) -> None:
            content = pb.MessageContent(type=1, searchable_content=text, persist_flag=3)
            conversation = pb.Conversation(type=kind, target=target, line=0)
            message = pb.Message(conversation=conversation, from_user=client.user_id, content=content)
            message.local_message_id = secrets.randbits(62)
            await client.request(SubSignal.MS, message)

        requests: dict[str, Callable[[], Awaitable[object]]] = {
            "group": lambda: send("hello", 1, task.group_id),
            "search": lambda: client.request(SubSignal.US, search),
            "poison": lambda: send(POISON, 0, task.others[0]),
            "portraits": lambda: client.groups.create(secrets.token_hex(4), task.others[:8]),
        }
        for attack in task.attacks:
            tasks.create_task(_ping(task.address) if attack == "ping" else _at_the_limit(requests[attack]))
        print("ready", flush=True)


async def _at_the_limit(request: Callable[[], Awaitable[object]]) -> None:
    """Send requests as often as the limits allow, whatever the answers are."""

    async def one() -> None:
        with suppress(ClientError):
            await request()

    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(one())
            await asyncio.sleep(1 / ALLOWED)


async def _ping(address: Address) -> None:
    chunk = b"".join(frames.encode(Signal.PING, 0, n, b'{"interval": 30000}') for n in range(PINGS))
    while True:
        reader, writer = await asyncio.open_connection(*address)
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(1.0)
                await reader.read(1 << 20)
        writer.close()


if __name__ == "__main__":
    asyncio.run(_attack(Task.load(sys.stdin.buffer.read())))
