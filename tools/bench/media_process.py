"""A media server in a process of its own, which the benchmark speaks to over standard input and output.

Each line in is a JSON array, [call, argument, …]; each line out is the answer. `state` is a call too.
"""

import asyncio
import resource
import sys
from typing import Any

import orjson
import uvloop

from fsharechat.mediaserver import Candidate, MediaEvents
from roles.media.sfu import Limits, Sfu
from roles.media.udp import UdpPort

HOST = "127.0.0.1"


class _Nobody(MediaEvents):
    """Nobody wants to hear anything."""

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None: ...

    def on_gone(self, room: str, participant: str, peer: str) -> None: ...

    def on_closed(self, room: str, reason: str) -> None: ...


async def serve(room_limit: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    limits = Limits(max_kbps=2000, room_limit=room_limit, worker_mbps=100_000)
    async with Sfu(UdpPort(HOST, 0), HOST, limits, _Nobody()) as sfu:
        while line := await reader.readline():
            name, *arguments = orjson.loads(line)
            answer = _state(sfu) if name == "state" else await getattr(sfu, name)(*arguments)
            sys.stdout.write(orjson.dumps(answer).decode() + "\n")
            sys.stdout.flush()


def _state(sfu: Sfu) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": used.ru_utime + used.ru_stime,
        "rss": used.ru_maxrss * 1024,
        "sent": sfu.port.sent,
        "sent_bytes": sfu.port.sent_bytes,
        "dropped": sfu.port.dropped,
        "forwarded": sfu.forwarded,
    }


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
