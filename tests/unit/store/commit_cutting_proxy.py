"""A proxy before MySQL that cuts a connection at its COMMIT: a real server cannot be made to do it at that moment."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from tools.wire.port import StreamPort

Cut = Literal["before", "after"]


@dataclass
class CommitCuttingProxy:
    """Forwards bytes; each of `cuts` ends the connection of one COMMIT, before or after the server has it."""

    host: str
    port: int
    cuts: list[Cut] = field(default_factory=list)
    commits: int = 0
    queries: int = 0
    """How often the server was asked something by one short text."""
    refusing: bool = False
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.listener = StreamPort(self._serve)

    def drop(self) -> None:
        """End all connections now."""
        for client in self._clients:
            client.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            return
        to_reader, to_writer = await asyncio.open_connection(self.host, self.port)
        back = asyncio.create_task(_copy(to_reader, writer))
        self._clients.add(writer)
        try:
            while data := await reader.read(65536):
                self.queries += data[4:5] == b"\x03"
                is_commit = data.endswith(b"COMMIT")
                self.commits += is_commit
                cut = self.cuts.pop(0) if is_commit and self.cuts else None
                if cut == "before":
                    return
                if cut == "after":
                    back.cancel()  # the answer must not reach the client
                    to_writer.write(data)
                    await to_writer.drain()
                    await to_reader.read(1)  # the server has answered: it is committed
                    return
                to_writer.write(data)
                await to_writer.drain()
        except ConnectionError:
            pass  # one side is gone, so the other goes too
        finally:
            back.cancel()
            self._clients.discard(writer)
            to_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
