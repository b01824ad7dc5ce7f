"""Media from client to client: asked for over TCP and WebSocket, put and read over HTTP."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from fsharechat.blobs import BUCKETS
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, MediaType, SubSignal
from tests.e2e.deployment import Faults
from tests.e2e.in_process import Boot, Booted
from tools.testing.server import until
from tools.wire.clients import TcpWire, WebWire
from tools.wire.half_upload import half_upload

TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "ws"])
KEYS = ["1-2-3-photo.png", "年终 报告 \"final\" 'v2'.docx", "../../../../etc/passwd", "a b+c&d=100%.txt"]


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as http:
        yield http


async def ask(wire: TcpWire | WebWire, kind: int, key: str) -> pb.GetMinioUploadUrlResult | None:
    """Ask for an address to put a file to; return None when it is refused."""
    if isinstance(wire, TcpWire):
        request = pb.GetMinioUploadUrlRequest(type=kind, key=key)
        code, payload = await wire.request(SubSignal.GMURL, request.SerializeToString())
        if code != Code.SUCCESS:
            assert (code, payload) == (Code.INVALID_PARAMETER, b"")
            return None
        return pb.GetMinioUploadUrlResult.FromString(payload)
    content = await wire.request("GMURL", {"mediaType": kind, "key": key})
    if content == "":
        return None
    answer = orjson.loads(content)
    assert answer.keys() == {"domain", "url", "server", "port"}
    return pb.GetMinioUploadUrlResult(**answer)


@TRANSPORTS
@pytest.mark.parametrize("kind", list(MediaType))
async def test_what_one_puts_everybody_reads(
    server: Booted, http: ClientSession, transport: str, kind: MediaType
) -> None:
    wire = await server.online(transport, "alice")
    for key in KEYS:
        upload = await ask(wire, kind, key)
        assert upload is not None
        assert f"/{BUCKETS[kind]}" in upload.domain
        assert f"http://{upload.server}:{upload.port}" == server.node.addresses["http"]
        async with http.put(upload.url, data=key.encode()) as answer:
            assert answer.status == 200
        async with http.get(f"{upload.domain}/{key}") as answer:
            assert (answer.status, await answer.read()) == (200, key.encode())


@TRANSPORTS
async def test_who_gets_a_file_does_not_replace_it(
    server: Booted, http: ClientSession, transport: str
) -> None:
    ann, bob = await server.online(transport, "ann"), await server.online(transport, "bob")
    for key in KEYS:
        domains = {}
        for name, wire in (("ann", ann), ("bob", bob), ("ann again", ann)):
            upload = await ask(wire, MediaType.FILE, key)
            assert upload is not None
            domains[name] = upload.domain
            async with http.put(upload.url, data=name.encode()) as answer:
                assert answer.status == 200
        assert domains["ann"] == domains["ann again"] != domains["bob"]
        for name, content in (("ann", b"ann again"), ("bob", b"bob")):
            async with http.get(f"{domains[name]}/{key}") as answer:
                assert (answer.status, await answer.read()) == (200, content)


@TRANSPORTS
async def test_a_wrong_type_or_key_is_refused(server: Booted, transport: str) -> None:
    wire = await server.online(transport, "alice")
    for kind, key in ((7, "a.png"), (-1, "a.png"), (1, ""), (1, "a/.."), (1, "a.html")):
        assert await ask(wire, kind, key) is None
    assert await ask(wire, 1, "a.png") is not None


@TRANSPORTS
@pytest.mark.parametrize("most", [0, 2])
async def test_how_many_files_a_user_uploads_in_a_day_is_a_setting(
    boot: Boot, transport: str, most: int
) -> None:
    server = await boot(limits={"uploads_per_day": most})
    ann = await server.online(transport, "ann")
    for n in range(most or 5):
        assert await ask(ann, MediaType.FILE, f"{n}.txt") is not None
    if isinstance(ann, TcpWire):
        body = pb.GetMinioUploadUrlRequest(type=MediaType.FILE, key="more.txt").SerializeToString()
        code, _ = await ann.request(SubSignal.GMURL, body)
        assert code == (Code.TOO_OFTEN if most else Code.SUCCESS)
    else:
        assert (await ask(ann, MediaType.FILE, "more.txt") is None) == bool(most)
    assert await ask(await server.online(transport, "bob"), MediaType.FILE, "a.txt") is not None


async def test_an_upload_that_breaks_off_is_the_clients_own_trouble(
    server: Booted, http: ClientSession, tmp_path: Path
) -> None:
    wire = await server.online_tcp("alice")
    upload = await ask(wire, MediaType.VIDEO, "film.mp4")
    assert upload is not None
    incoming = tmp_path / "data" / "media" / "incoming"
    async with half_upload(upload.url, 1_000_000, bytes(1000)):
        await until(lambda: len(list(incoming.iterdir())) == 1, "the upload does not begin")
    await until(lambda: list(incoming.iterdir()) == [], "the upload is left")
    async with http.get(f"{upload.domain}/film.mp4") as answer:
        assert answer.status == 404


async def test_the_size_and_the_address_are_settings(boot: Boot, http: ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await boot(
        api={"port": port}, blobs={"max_bytes": 1000, "public_url": f"http://localhost:{port}"}
    )
    upload = await ask(await server.online_web("alice"), MediaType.FILE, "a.txt")
    assert upload is not None
    assert (upload.server, upload.port) == ("localhost", port)
    for size, status in ((1000, 200), (1001, 413)):
        async with http.put(upload.url, data=bytes(size)) as answer:
            assert answer.status == status
    async with http.get(f"{upload.domain}/a.txt") as answer:
        assert len(await answer.read()) == 1000


async def test_a_restart_changes_no_address(tmp_path: Path, faults: Faults, http: ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = {"api": {"port": free.getsockname()[1]}}
    async with Booted.run(tmp_path / "data", faults, at) as server:
        upload = await ask(await server.online_tcp("alice"), MediaType.FILE, "a.txt")
        assert upload is not None
    for content in (b"first", b"second"):
        async with Booted.run(tmp_path / "data", faults, at), http.put(upload.url, data=content) as answer:
            assert answer.status == 200
        async with Booted.run(tmp_path / "data", faults, at), http.get(f"{upload.domain}/a.txt") as answer:
            assert await answer.read() == content
