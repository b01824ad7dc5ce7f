"""Idle connections in a process of their own: `python -m tools.bench.holder`.

It reads a Held as JSON, prints "ready" when all are connected, and holds them until its input ends. Then it prints
what disturbed them, one line each.
"""

import asyncio
import gc
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import orjson
import uvloop

from tools.wire.bodies import WireAccount

from .link import BenchError, BenchPeer
from .load import connect, link_of
from .server import Address, with_tools

_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Held:
    """The connections of one process: one for each of `accounts`."""

    transport: str
    address: Address
    accounts: Sequence[WireAccount]


@asynccontextmanager
async def holding(held: Held) -> AsyncIterator[None]:
    """Hold connections while the context is open. Raises BenchError if one is refused, lost, or told of a message."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tools.bench.holder"),
        env=with_tools(),
        stdin=pipe,
        stdout=pipe,
        limit=_LINE,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    try:
        stdin.write(orjson.dumps(asdict(held)) + b"\n")
        if (line := await stdout.readline()) != b"ready\n":
            raise BenchError(f"idle connections could not be made: {line.decode()}")
        yield
        stdin.close()
        if faults := (await stdout.read()).decode():
            raise BenchError(f"idle connections were disturbed:\n{faults}")
    finally:
        stdin.close()
        await process.wait()


async def _hold() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    found = orjson.loads(sys.stdin.buffer.readline())
    host, port = found["address"]
    faults: list[str] = []
    links = [
        link_of(found["transport"], WireAccount(**account), BenchPeer(f"idle connection {number}", faults))
        for number, account in enumerate(found["accounts"])
    ]
    gc.freeze()
    try:
        await connect([(link, (host, port)) for link in links])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
        print("\n".join(faults), end="", flush=True)
    except BenchError as error:
        print(error, flush=True)
    finally:
        for link in links:
            link.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_hold())
