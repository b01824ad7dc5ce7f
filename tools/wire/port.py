"""A port whose connections end with it."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Self

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class StreamPort:
    """Listens on this machine, and runs `serve` for each connection, which ends when that returns.

    asyncio's own servers leave a connection open whose `serve` was cancelled, even before it began. The garbage
    collector then finds it in the middle of another test.
    """

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self.address = ""
        """host:port, once it is open."""
        self._serve = serve
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> str:
        """Return the address to connect to."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
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
