"""TCP connections that a test can cut and stop."""

import asyncio
from collections.abc import Sequence


class Proxy:
    """Forwards connections to `target` (host:port) until it is told otherwise."""

    def __init__(self, target: str) -> None:
        self.address = ""
        """Its address, once it is open."""
        self._target = target.rpartition(":")
        self._moving, self._answering = asyncio.Event(), asyncio.Event()
        self.go()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.connections = 0
        self.seen = bytearray()
        """The bytes that have come to it."""
        self.cut_at = 0
        """All connections break once when so many bytes have come to it. 0: they do not."""

    async def open(self) -> str:
        """Return the address to connect to."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self.address

    def cut(self, refuse: bool = True) -> None:
        """Break all connections, as if the process were killed; with `refuse`, new ones too."""
        self.refusing = refuse
        for writer in list(self._writers):
            writer.transport.abort()

    def stop(self) -> None:
        """Forward nothing, as if the process were stopped: connections open, but nothing is read."""
        self._moving.clear()

    def mute(self) -> None:
        """Forward requests, but no answers."""
        self._answering.clear()

    def go(self) -> None:
        self.refusing = False
        self._moving.set()
        self._answering.set()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(self._target[0], int(self._target[2]))
        except OSError:  # nobody is there
            writer.transport.abort()
            return
        if self.refusing:  # it was cut meanwhile
            writer.transport.abort()
            back.transport.abort()
            return
        for source, sink, gates in (
            (reader, back, (self._moving,)),
            (there, writer, (self._moving, self._answering)),
        ):
            self._writers.add(sink)
            task = asyncio.create_task(self._move(source, sink, gates))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _move(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gates: Sequence[asyncio.Event]
    ) -> None:
        try:
            while data := await reader.read(65536):
                await _open(gates)
                self.seen += data
                if 0 < self.cut_at <= len(self.seen):
                    self.cut_at = 0
                    self.cut(refuse=False)
                    return
                writer.write(data)
                await writer.drain()
            await _open(gates)  # the end of a connection is not forwarded either
        except ConnectionError:
            writer.transport.abort()
        finally:
            writer.close()
            self._writers.discard(writer)


async def _open(gates: Sequence[asyncio.Event]) -> None:
    for gate in gates:
        await gate.wait()
