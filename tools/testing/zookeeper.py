"""A real ZooKeeper for tests that stop it, and a wire to it that can be cut."""

import asyncio
import os
from contextlib import suppress

from tools.testing.services import Services


class ZooKeeper:
    """One server in a set of its own: stopped and started again it keeps its data and its port."""

    def __init__(self) -> None:
        self._services = Services(f"test-zookeeper-{os.getpid()}")
        self.url = ""
        self.port = 0

    def up(self) -> None:
        self._services("zookeeper")
        self.url = self._services.url("zookeeper")
        self.port = self._services.port("zookeeper")

    def down(self) -> None:
        self._services.down()

    async def stop(self) -> None:
        await asyncio.to_thread(self._services.stop, "zookeeper")

    async def start(self) -> None:
        await asyncio.to_thread(self._services.start, "zookeeper")


class Wire:
    """Takes connections for the server at `port` of this machine, until it is cut."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0
        self._to = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def mend(self) -> None:
        """Take connections, on the same port as before, and carry what comes."""
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Close every connection, and refuse others."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._open.set()
        if self._serving:
            await asyncio.wait(self._serving)

    def fall_silent(self) -> None:
        """Take connections and what they send, and pass nothing on."""
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with suppress(OSError):
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
            ends = {writer, other_writer}
            self._writers |= ends
            try:
                await asyncio.gather(self._carry(reader, other_writer), self._carry(other_reader, writer))
            finally:
                self._writers -= ends
                other_writer.close()
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
        writer.close()
