"""A slow line between clients and a server, like real ones, with packets of 1,500 bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tools.wire.port import StreamPort

SEGMENT = 1460
"""The data in a packet of 1,500 bytes. With loopback's own 65,536 the kernel takes far more at once."""

RECEIVE_BUFFER = 64 * 1024
_STEP = 8 * 1024

Dial = Callable[[str, int], Awaitable[socket.socket]]


async def _dial(host: str, port: int) -> socket.socket:
    dialled = socket.socket()
    dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
    return await connected(dialled, host, port)


async def connected(dialled: socket.socket, host: str, port: int) -> socket.socket:
    """Connect a socket with a small receive buffer."""
    dialled.setblocking(False)
    dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    try:
        await asyncio.get_running_loop().sock_connect(dialled, (host, port))
    except BaseException:
        dialled.close()
        raise
    return dialled


@asynccontextmanager
async def slow_line(address: str, bits_per_second: float, dial: Dial = _dial) -> AsyncIterator[str]:
    """Return a host:port that leads to `address` (host:port too), with a rate limit for each connection's data from
    there.

    `dial` connects to the server.
    """
    host, _, port = address.rpartition(":")

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(sock=await dial(host, int(port)), limit=_STEP)
        try:
            await asyncio.gather(
                _carry(reader, far_writer, 0),
                _carry(far_reader, writer, 8 / bits_per_second),
            )
        finally:
            for end in (writer, far_writer):
                end.transport.abort()

    async with StreamPort(connect) as line:
        yield line.address


async def narrow_socket(address: str) -> socket.socket:
    """Return a connected socket with small packets and a small receive buffer."""
    host, _, port = address.rpartition(":")
    return await _dial(host, int(port))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds_a_byte: float) -> None:
    with suppress(OSError):  # either side may go away first
        while data := await reader.read(_STEP):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(len(data) * seconds_a_byte)
        if not writer.transport.is_closing():
            writer.write_eof()
