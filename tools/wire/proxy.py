"""TCP connections that a test can cut and stop."""

import asyncio
import socket
from collections.abc import Sequence

from tools.wire.port import StreamPort


class Proxy:
    """Forwards connections to `target` (host:port) until it is told otherwise."""

    def __init__(self, target: str, sock: socket.socket | None = None) -> None:
        """`sock` is a bound socket to listen on, in place of one with a free port."""
        self.address = ""
        """Its address, once it is open."""
        self._target = target.rpartition(":")
        self._moving, self._answering = asyncio.Event(), asyncio.Event()
        self.go()
        self._port = StreamPort(self._forward, sock=sock)
        self._writers: set[asyncio.StreamWriter] = set()
        self.refusing = False
        self.connections = 0
        self.seen = bytearray()
        """The bytes that have come to it."""
        self.cut_at = 0
        """All connections break once when so many bytes have come to it. 0: they do not."""

    async def open(self) -> str:
        """Return the address to connect to."""
        self.address = await self._port.open()
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
        self.cut()
        await self._port.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection(self._target[0], int(self._target[2]))
        except OSError:  # nobody is there
            writer.transport.abort()
            return
        finally:
            self._writers.discard(writer)
        self._writers |= {writer, back}
        if writer.transport.is_closing():  # it was cut meanwhile
            back.transport.abort()
        try:
            await asyncio.gather(
                self._move(reader, back, (self._moving,)),
                self._move(there, writer, (self._moving, self._answering)),
            )
        finally:
            back.close()
            self._writers -= {writer, back}

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
