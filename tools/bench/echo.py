"""A bare echo of frames, in a process of its own: `python -m tools.bench.echo`. It prints its port.

It stands for what any server of such frames costs on a machine: to read them, tell them apart, and write.
"""

import asyncio
import sys
from typing import cast

import uvloop

from tools.wire import frames


class EchoProtocol(asyncio.Protocol):
    """Sends each frame back, those of one chunk together."""

    def __init__(self) -> None:
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        out, position = [], 0
        while (frame := frames.decode(data, position)) is not None:
            signal, sub_signal, message_id, start, position = frame
            out.append(frames.encode(signal, sub_signal, message_id, data[start:position]))
        self._rest = data[position:]
        self._transport.write(b"".join(out))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(EchoProtocol, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
