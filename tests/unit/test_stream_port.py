"""The port that tests listen on leaves no connection open."""

import asyncio
from contextlib import suppress

from tools.testing.server import BOUND
from tools.wire.port import StreamPort, connection


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_connections_end_with_the_port() -> None:
    async with asyncio.timeout(BOUND):
        port = StreamPort(never)
        async with connection(await port.open()):
            while not port._open:
                await asyncio.sleep(0)
            [served] = port._open.values()
            await port.close()
            assert served.transport.is_closing()


async def test_a_connection_ends_whose_service_was_cancelled_before_it_began() -> None:
    accepted: list[asyncio.StreamWriter] = []

    class Hasty(StreamPort):
        def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            super()._accept(reader, writer)
            accepted.append(writer)
            [task] = self._open
            task.cancel()

    async with asyncio.timeout(BOUND), Hasty(never) as port, connection(port.address) as (reader, _):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    assert [served.transport.is_closing() for served in accepted] == [True]


async def test_what_was_written_arrives() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(1 << 22))

    async with asyncio.timeout(BOUND), StreamPort(say) as port, connection(port.address) as (reader, _):
        assert len(await reader.read()) == 1 << 22
