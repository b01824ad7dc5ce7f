"""A port whose connections end with it, and a connection that ends with a block."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class StreamPort:
    """Listens on this machine, and runs `serve` for each connection, which ends when that returns.

    asyncio's own servers leave a connection open whose `serve` was cancelled, even before it began. The garbage
    collector then finds it in the middle of another test.
    """

    def __init__(
        self, serve: Serve, tls: ssl.SSLContext | None = None, sock: socket.socket | None = None
    ) -> None:
        """`sock` is a bound socket to listen on, in place of one with a free port. It closes with the port."""
        self.address, self.number = "", 0
        """host:port and the port alone, once it is open."""
        self._serve = serve
        self._tls = tls
        self._sock = sock
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> str:
        """Return the address to connect to."""
        where: dict[str, Any] = {"sock": self._sock} if self._sock else {"host": "127.0.0.1", "port": 0}
        self._server = await asyncio.start_server(self._accept, ssl=self._tls, **where)
        host, self.number = self._server.sockets[0].getsockname()
        self.address = f"{host}:{self.number}"
        return self.address

    async def close(self) -> None:
        """Break all connections, and take no more. Raises what `serve` has raised."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in self._open:
            task.cancel()
        ends = await asyncio.gather(*self._open, return_exceptions=True)
        for failure in ends:
            if isinstance(failure, Exception):
                raise failure

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was accepted before the port was closed
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        writer = self._open.pop(task)
        if task.cancelled():
            writer.transport.abort()
        else:
            writer.close()  # what was written still goes out


@asynccontextmanager
async def connection(address: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Streams]:
    """Connect to host:port. The connection ends with the block, whatever happens in it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
