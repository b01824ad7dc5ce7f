"""An upload by PUT that is not whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from tools.wire.port import Streams, connection


@asynccontextmanager
async def half_upload(address: str, size: int, data: bytes) -> AsyncIterator[Streams]:
    """Send the head of an upload of `size` bytes to a url, and `data` of it. The connection breaks with the block."""
    url = URL(address, encoded=True)
    async with connection(f"{url.host}:{url.port}") as (reader, writer):
        head = f"PUT {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {size}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        yield reader, writer
