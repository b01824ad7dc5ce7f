"""The bounds of the HTTP port: connections, slow heads, and bodies of which nothing moves."""

import asyncio
import itertools
import logging
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web

from fsharechat.settings_schema import ApiSettings
from roles.api import listener
from roles.api.listener import Listener, moved_bytes
from tools.testing.server import until

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
STALLED = 100.0
CHUNK = bytes(1 << 16)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """Serves GET / (a line), PUT / (which takes a body), GET /much (which never ends) and GET /file."""

    def __init__(
        self,
        max_connections: int = 100,
        idle_seconds: float = 3600,
        per_address: int = 0,
        file: Path | None = None,
    ) -> None:
        self._file = file
        self.requests = 0
        """Those with a body, either way."""
        app = web.Application()
        app.router.add_get("/file", self._send)
        app.router.add_get("/", self._line)
        app.router.add_put("/", self._take)
        app.router.add_get("/much", self._much)
        settings = ApiSettings(
            port=0, idle_seconds=idle_seconds, stalled_seconds=STALLED, connections_per_address=per_address
        )
        self.listener = Listener(app, settings, max_connections)
        self.transport: asyncio.Transport | None = None
        """That of the last request with a body, either way."""
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._at = await self.listener.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await self.listener.close()

    async def connect(self) -> Streams:
        reader, writer = await asyncio.open_connection(*self._at)
        self._writers.append(writer)
        return reader, writer

    async def empty(self) -> None:
        await until(lambda: self.listener.connections == 0, "the connection is there still")

    @property
    def idle(self) -> bool:
        """Whether there is a connection that could go."""
        return self.listener._idle.next_out() is not None

    def moved(self) -> tuple[int, int] | None:
        return moved_bytes(self.transport) if self.transport is not None else None

    async def _line(self, _: web.Request) -> web.Response:
        return web.Response(text="hello\n")

    async def _send(self, request: web.Request) -> web.FileResponse:
        assert self._file is not None
        return web.FileResponse(self._file)

    async def _take(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.transport = request.transport
        return web.Response(text=str(len(await request.read())))

    async def _much(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.transport = request.transport
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(CHUNK)


async def answered(streams: Streams) -> bool:
    """Ask, and return whether there is an answer; False when the connection is closed instead."""
    reader, writer = streams
    writer.write(GET)
    try:
        return (await reader.readuntil(b"hello\n")).startswith(b"HTTP/1.1 200")
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


async def test_when_there_is_no_room_the_oldest_idle_connection_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = (f"192.0.2.{n}" for n in itertools.count(1))
    monkeypatch.setattr(listener, "_remote", lambda transport: next(addresses))
    async with Port(max_connections=3) as port:
        used, silent, asked = await port.connect(), await port.connect(), await port.connect()
        assert await answered(used)
        assert await answered(asked)
        assert await answered(await port.connect())
        assert await silent[0].read() == b""
        assert (port.listener.connections, port.listener.refused) == (3, 1)
        assert await answered(used)  # which makes it the youngest
        assert await answered(await port.connect())
        assert not await answered(asked)
        assert await answered(used)


async def test_an_address_with_many_idle_connections_loses_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = iter(["192.0.2.1", *["192.0.2.66"] * 20, "192.0.2.2"])
    monkeypatch.setattr(listener, "_remote", lambda transport: next(addresses))
    async with Port(max_connections=5) as port:
        first = await port.connect()
        many = [await port.connect() for _ in range(20)]
        assert await answered(await port.connect())
        assert await answered(first)
        for reader, _ in many[:17]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert await answered(many[-1])


async def test_a_connection_with_a_request_under_way_stays_and_with_those_alone_a_new_one_is_closed() -> None:
    async with Port(max_connections=2) as port:
        download, upload = await port.connect(), await port.connect()
        download[1].write(b"GET /much HTTP/1.1\r\nHost: h\r\n\r\n")
        upload[1].write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        await until(lambda: port.requests == 2, "the requests did not arrive")
        assert not await answered(await port.connect())
        assert (port.listener.connections, port.listener.refused) == (2, 1)
        upload[1].write(b"body")
        assert (await upload[0].readuntil(b"\r\n\r\n4")).startswith(b"HTTP/1.1 200")
        assert await answered(await port.connect())
        assert await upload[0].read() == b""
        await download[0].readexactly(8 << 20)


async def test_a_file_that_is_being_sent_is_not_idle(tmp_path: Path) -> None:
    async with Port(max_connections=1, file=tmp_path / "file") as port:
        (tmp_path / "file").write_bytes(bytes(32 << 20))
        reader, writer = await port.connect()
        writer.write(b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert not await answered(await port.connect())
        await reader.readexactly(32 << 20)
        await until(lambda: port.idle, "it is under way still")
        assert await answered(await port.connect())


async def test_a_connection_that_goes_makes_room() -> None:
    async with Port(max_connections=2) as port:
        first, second = await port.connect(), await port.connect()
        assert await answered(first)
        assert await answered(second)
        second[1].close()
        await until(lambda: port.listener.connections == 1, "the closed connection is counted still")
        assert await answered(await port.connect())
        assert await answered(first)
        assert port.listener.refused == 0


async def test_an_address_has_no_more_connections_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_remote", lambda transport: "192.0.2.7")
    async with Port(per_address=2) as port:
        first, second = await port.connect(), await port.connect()
        assert await answered(first)
        assert await answered(second)
        assert not await answered(await port.connect())
        assert not await answered(await port.connect())
        assert port.listener.refused == 2
        monkeypatch.setattr(listener, "_remote", lambda transport: "192.0.2.8")
        assert await answered(await port.connect())
        monkeypatch.setattr(listener, "_remote", lambda transport: "192.0.2.7")
        second[1].close()
        await until(lambda: port.listener.connections == 2, "the closed connection is counted still")
        assert await answered(await port.connect())


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [(b"", 0.1), (GET[:-2], 0.1), (GET + GET[:-2], 0.5)],
    ids=["nothing", "slow head", "slow second head"],
)
async def test_a_connection_without_a_whole_head_is_closed(sent: bytes, seconds: float) -> None:
    async with Port(idle_seconds=seconds) as port:
        reader, writer = await port.connect()
        writer.write(sent)
        received = await reader.read()
        assert received.count(b"hello") == sent.count(GET)
        await port.empty()


async def test_a_head_that_comes_bit_by_bit_is_not_waited_for_longer() -> None:
    async with Port(idle_seconds=0.2) as port:
        reader, writer = await port.connect()
        writer.write(b"GET / HTTP/1.1\r\nX: ")

        def gone() -> bool:
            writer.write(b"y")
            return reader.at_eof() or reader.exception() is not None

        await until(gone, "it is waited for still")


async def test_a_connection_that_is_used_stays() -> None:
    async with Port(idle_seconds=3600) as port:
        streams = await port.connect()
        for now in range(0, 1000, 50):
            assert await answered(streams)
            port.listener.sweep(float(now))
        assert port.listener.connections == 1


async def test_an_upload_is_cut_off_when_it_stalls_and_not_while_it_moves() -> None:
    async with Port() as port:
        _, writer = await port.connect()
        writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        await until(lambda: port.transport is not None, "the request did not arrive")
        now = 0.0
        for _ in range(10):
            before = port.moved()
            writer.write(b"x")
            await until(lambda before=before: port.moved() != before, "the byte did not arrive")  # type: ignore[misc]
            port.listener.sweep(now := now + STALLED)
        port.listener.sweep(now + STALLED - 1)
        assert port.transport is not None
        assert not port.transport.is_closing()
        port.listener.sweep(now + STALLED)
        await port.empty()


async def test_a_download_is_cut_off_when_nobody_reads_it_and_not_while_somebody_does() -> None:
    async with Port() as port:
        reader, writer = await port.connect()
        writer.write(b"GET /much HTTP/1.1\r\nHost: h\r\n\r\n")
        now = 0.0
        for _ in range(5):
            before = port.moved()
            await reader.readexactly(4 << 20)
            await until(lambda before=before: port.moved() != before, "nothing more was read")  # type: ignore[misc]
            port.listener.sweep(now := now + STALLED)
        assert port.transport is not None
        assert not port.transport.is_closing()
        clock = itertools.count(now, STALLED)

        def cut() -> bool:
            port.listener.sweep(next(clock))
            return port.listener.connections == 0

        await until(cut, "the stalled download is there still")  # as nobody reads, the buffers fill


@pytest.mark.parametrize(
    "sent",
    [b"no HTTP at all\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nno header\r\n\r\n"],
    ids=str,
)
async def test_what_is_no_request_is_refused_without_a_traceback(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Port(idle_seconds=0.2) as port:
        reader, writer = await port.connect()
        writer.write(sent)
        received = await reader.read()
        assert not received or received.startswith(b"HTTP/1.0 400")
    assert caplog.text == ""
