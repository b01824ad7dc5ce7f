"""Files over HTTP, in pieces: only a few pieces are in memory, however large the file is."""

import asyncio
import contextlib
import os
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from fsharechat.client.errors import MediaError, TooLarge
from fsharechat.opened_file import OpenedFile

CHUNK = 256 << 10
CONNECT_TIMEOUT = 10.0

Progress = Callable[[int, int], None]
"""Gets the bytes done so far and their total. The total is 0 if the server does not tell it."""


class Transfer:
    """Uploads and downloads.

    Each method raises MediaError if the other side refuses, stands still or cannot be reached, and OSError for the
    files of this machine. Cancelling stops a transfer at once.
    """

    def __init__(self, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """`timeout` is how many seconds a transfer may stand still."""
        self._timeout = timeout
        self._tls = tls if tls is not None else True

    async def put(
        self,
        url: str,
        file: BinaryIO,
        content_type: str,
        on_progress: Progress | None = None,
        part: tuple[int, int] | None = None,
    ) -> int:
        """Upload a seekable file to a signed URL, or a `part`: its offset and length. Return the size of the file."""
        size = await size_of(file)
        offset, length = part or (0, size)
        await asyncio.to_thread(file.seek, offset)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout) as patience:

                def sent(done: int) -> None:
                    patience.reschedule(loop.time() + self._timeout)
                    if on_progress is not None:
                        on_progress(offset + done, size)

                headers = {"Content-Length": str(length), "Content-Type": content_type}
                await self._put(url, _pieces(file, length, sent) if length else b"", headers)
        except TimeoutError:
            raise MediaError(f"the upload stood still for {self._timeout:g} s") from None
        return size

    async def _put(self, url: str, data: AsyncIterator[bytes] | bytes, headers: dict[str, str]) -> None:
        signed = URL(url, encoded=True)  # no character may change
        with _http_errors():
            async with (
                self._session() as session,
                session.put(
                    signed, data=data, headers=headers, ssl=self._tls, allow_redirects=False
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise MediaError(f"the media store refuses the file with {answer.status}", answer.status)

    async def stream(
        self, address: str, *, max_bytes: int, on_progress: Progress | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the file at an http or https address, in pieces. Raises TooLarge beyond `max_bytes`."""
        try:
            url = URL(address)
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise MediaError(f"not the address of a file: {address!r}")
        with _http_errors():
            async with self._session() as session, session.get(url, ssl=self._tls) as answer:
                if answer.status != 200:
                    raise MediaError(f"the media store answers with {answer.status}", answer.status)
                total = answer.content_length or 0
                if total > max_bytes:
                    raise TooLarge(f"the file has {total} bytes, more than {max_bytes}")
                done = 0
                async for chunk in answer.content.iter_chunked(CHUNK):
                    done += len(chunk)
                    if done > max_bytes:
                        raise TooLarge(f"the file has more than {max_bytes} bytes")
                    if on_progress is not None:
                        on_progress(done, total)
                    yield chunk

    async def get(
        self, address: str, path: Path, *, max_bytes: int, on_progress: Progress | None = None
    ) -> int:
        """Download into a file, and return its size. The file appears when it is complete."""
        temporary = path.with_name(f".{secrets.token_hex(8)}.part")
        part = OpenedFile(temporary)
        try:
            file = await asyncio.to_thread(part.open, "xb")
            size = 0
            pieces = self.stream(address, max_bytes=max_bytes, on_progress=on_progress)
            async with contextlib.aclosing(pieces):
                async for chunk in pieces:
                    await asyncio.to_thread(file.write, chunk)
                    size += len(chunk)
            await asyncio.to_thread(file.close)
            await asyncio.to_thread(temporary.replace, path)
        except BaseException:
            # In a thread: it waits for a disk that is slow to open the file, and the client must go on meanwhile.
            await asyncio.shield(asyncio.to_thread(part.discard))
            raise
        return size

    def _session(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self._timeout)
        return aiohttp.ClientSession(timeout=timeout, headers={"Accept-Encoding": "identity"})


async def size_of(file: BinaryIO) -> int:
    """Return the size of a seekable file."""
    return await asyncio.to_thread(file.seek, 0, os.SEEK_END)


async def _pieces(file: BinaryIO, size: int, sent: Callable[[int], None]) -> AsyncIterator[bytes]:
    done = 0
    while done < size:
        chunk = await asyncio.to_thread(file.read, min(CHUNK, size - done))
        if not chunk:
            raise OSError("the file became shorter while it was uploaded")
        yield chunk
        done += len(chunk)
        sent(done)  # the next piece is read when this one has gone out


@contextlib.contextmanager
def _http_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise MediaError("the media store does not answer") from error
    except aiohttp.ClientError as error:
        raise MediaError(f"the media store cannot be reached: {error}") from error
