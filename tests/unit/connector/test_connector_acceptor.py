"""The ports: connections are counted before their TLS handshake, on the server's loop as on asyncio's own."""

import asyncio
import resource
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from structlog.testing import capture_logs

from fsharechat.rooms import AddressRoom
from roles.connector import acceptor as acceptor_module
from roles.connector.acceptor import Acceptor
from roles.connector.admission import Admission, Visit
from tools.services.certificates import Authority
from tools.testing.server import until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Each test runs on each of them (conftest.py)."""


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._visit.ended()


class Port:
    """An acceptor and who admits for it."""

    def __init__(self, strangers: int, context: ssl.SSLContext | None, seconds: float) -> None:
        self.admission = Admission(AddressRoom(0, ()), 1000, strangers, 3600)
        self.acceptor = Acceptor(self.admit, Echo, context, seconds)
        self.number = 0
        self.writers: list[asyncio.StreamWriter] = []

    def admit(self, connected: socket.socket, peer: tuple[Any, ...]) -> Visit | None:
        return self.admission.enter(connected, peer, 0.0)

    async def silent(self) -> asyncio.StreamReader:
        """Connect and say nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number)
        self.writers.append(writer)
        return reader

    async def echoed(self, tls: ssl.SSLContext | None, data: bytes = b"hello") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number, ssl=tls)
        writer.write(data)
        try:
            return await reader.readexactly(len(data))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(
    strangers: int = 100, context: ssl.SSLContext | None = None, seconds: float = 3600
) -> AsyncIterator[Port]:
    port = Port(strangers, context, seconds)
    port.number = (await port.acceptor.listen("127.0.0.1", 0))[1]
    yield port
    await port.acceptor.close()
    for writer in port.writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    await until(lambda: port.admission.connections == 0, "connections that are gone are counted")


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the context of a server, and that of its clients."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=authority.certificate)


async def test_silent_connections_are_counted_and_the_oldest_goes(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    for server, client in ((None, None), tls):
        async with serving(4, server) as port:
            silent = [await port.silent() for _ in range(10)]
            for reader in silent[:6]:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            assert port.admission.strangers == 4
            assert await port.echoed(client) == b"hello"
            with suppress(ConnectionError):
                assert await silent[6].read() == b""
            await until(lambda port=port: port.admission.connections == 3, "the echo is counted still")  # type: ignore[misc]
            assert not any(reader.at_eof() for reader in silent[7:])


async def test_what_comes_with_the_handshake_arrives(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    async with serving(context=server) as port:
        data = bytes(range(256)) * 1000
        assert await asyncio.gather(*(port.echoed(client, data) for _ in range(20))) == [data] * 20


async def test_small_answers_do_not_wait_for_more(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with serving() as port:
        seen: list[int] = []

        class Look(Echo):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                served = transport.get_extra_info("socket")
                seen.append(served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        port.acceptor._protocol = Look
        assert await port.echoed(None) == b"hello"
        assert [bool(value) for value in seen] == [True]


async def test_a_handshake_that_fails_is_one_line_and_nobody_is_counted(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(context=tls[0]) as port:
        with capture_logs() as logs:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await port.echoed(None, b"GET / HTTP/1.1\r\n\r\n")
            await port.silent()
            port.writers[0].close()  # and who only looks whether somebody listens is none
            await until(lambda: port.admission.connections == 0, "who failed is counted still")
        assert [(line["event"], line["reason"][:5]) for line in logs] == [("connection closed", "TLS: ")]
        with pytest.raises(ssl.SSLError):
            await port.echoed(ssl.create_default_context())
        await until(lambda: port.admission.connections == 0, "who does not trust us is counted still")


async def test_a_handshake_has_its_time(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with serving(context=tls[0], seconds=0.1) as port:
        with suppress(ConnectionError):
            assert await (await port.silent()).read() == b""
        await until(lambda: port.admission.connections == 0, "it is counted still")


async def test_closing_ends_handshakes(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async with serving(context=tls[0]) as port:
        reader = await port.silent()
        await until(lambda: port.admission.connections == 1, "it is not accepted")
        await port.acceptor.close()
        assert port.admission.connections == 0
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_closing_ends_a_connection_that_was_accepted_just_now() -> None:
    async with serving() as port:
        with socket.create_connection(("127.0.0.1", port.number), timeout=10) as client:
            port.acceptor._accept(port.acceptor._listening[0])
            assert port.admission.connections == 1
            await port.acceptor.close()  # before the connection's task has run for the first time
            assert port.admission.connections == 0
            assert client.recv(1) == b""


async def test_connections_are_accepted_again_when_files_may_be_opened_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acceptor_module, "RETRY_SECONDS", 0.02)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving() as port:
        loop = asyncio.get_running_loop()
        with socket.socket() as client, capture_logs() as logs:
            client.setblocking(False)
            # The next file would have the lowest free number: nothing above it may be opened.
            with socket.socket() as probe:
                lowest = probe.fileno()
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                await loop.sock_connect(client, ("127.0.0.1", port.number))
                await until(lambda: logs != [], "there were files left")
                assert port.admission.connections == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await loop.sock_sendall(client, b"late")
            assert await loop.sock_recv(client, 10) == b"late"
        assert {line["event"] for line in logs} == {"connections not accepted"}
        await until(lambda: port.admission.connections == 0, "it is counted still")


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with serving() as port:
        with pytest.raises(OSError, match="in use"):
            await Acceptor(port.admit, Echo, None, 1).listen("127.0.0.1", port.number)
