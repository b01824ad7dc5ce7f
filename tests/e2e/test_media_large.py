"""Large files, and media stores elsewhere, with a server in a process of its own."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import MediaType, SubSignal
from tools.services.service import free_port
from tools.testing.devices import FAST, Handset, log_in
from tools.testing.server import Server, run_command, until
from tools.testing.services import Services
from tools.wire.half_upload import half_upload
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow

BLOCK = secrets.token_bytes(1 << 20)
BLOCKS = 200
MOST_GROWTH = 32 << 20
"""Bytes that the server's memory may grow by: a sixth of the file, and room for what any load brings."""

STORES = ["directory", "minio", "versity"]


def settings_for(store: str, services: Services) -> dict[str, str]:
    """Return the settings of a server that keeps media there."""
    if store == "directory":
        return {}
    variables = services(store).variables(store)
    return {key.removeprefix("FSHARECHAT_"): value for key, value in variables.items()}


async def upload_url(server: Server, key: str) -> pb.GetMinioUploadUrlResult:
    async with Handset(
        await log_in(server.at, "13800000001", "phone"), server.at, "tcp", options=FAST
    ) as device:
        request = pb.GetMinioUploadUrlRequest(type=MediaType.VIDEO, key=key)
        upload = await device.request(SubSignal.GMURL, request)
    assert isinstance(upload, pb.GetMinioUploadUrlResult)
    return upload


class Memory:
    """The resident memory of a process, and the most that it was since `begin`."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def begin(self) -> int:
        (self._folder / "clear_refs").write_text("5")
        return self._read("VmRSS")

    def most(self) -> int:
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) << 10


@pytest.mark.parametrize("store", STORES)
async def test_a_large_file_goes_both_ways_with_flat_memory(
    services: Services, tmp_path: Path, store: str
) -> None:
    async def film() -> AsyncIterator[bytes]:
        for number in range(BLOCKS):
            yield number.to_bytes(4, "big") + BLOCK[4:]

    expected = hashlib.sha256()
    for number in range(BLOCKS):
        expected.update(number.to_bytes(4, "big") + BLOCK[4:])
    key = f"a film {secrets.token_hex(4)}.mp4"
    async with Server(tmp_path / "data", settings_for(store, services)) as server, ClientSession() as http:
        upload = await upload_url(server, key)
        memory = Memory(server.pid)
        before = memory.begin()
        headers = {"Content-Length": str(BLOCKS * len(BLOCK))}
        async with http.put(upload.url, data=film(), headers=headers) as answer:
            assert answer.status == 200
        put = memory.most() - before
        found = hashlib.sha256()
        async with http.get(f"{upload.domain}/{key}") as answer:
            assert answer.status == 200
            async for chunk in answer.content.iter_any():
                found.update(chunk)
        got = memory.most() - before
    assert found.digest() == expected.digest()
    print(f"{store}: {BLOCKS} MiB; memory grew by {put >> 10} KiB at the upload, {got >> 10} KiB in all")
    assert got < MOST_GROWTH


@pytest.mark.parametrize("store", STORES[1:])
async def test_a_wrong_credential_stops_the_start_and_fails_the_check(
    services: Services, tmp_path: Path, store: str
) -> None:
    right = settings_for(store, services)
    wrong = {**right, "BLOBS__SECRET_KEY": "wrong"}
    for settings, code, said in ((right, 0, "ok   blobs: "), (wrong, 1, "FAIL blobs: ")):
        done = await asyncio.to_thread(run_command, tmp_path / "data", "check", settings=settings)
        assert done[0] == code, done
        assert said + right["BLOBS__URL"] in done[1]
    assert "access_key and secret_key" in done[1]
    code, output, errors = await asyncio.to_thread(run_command, tmp_path / "data", settings=wrong)
    assert (code, output) == (1, "")
    assert errors.splitlines()[-1].startswith(f"fsharechat: [blobs] {right['BLOBS__URL']}: bucket ")
    assert "Traceback" not in errors


async def test_a_stop_in_the_middle_of_an_upload_leaves_nothing(tmp_path: Path) -> None:
    incoming = tmp_path / "data" / "media" / "incoming"
    async with Server(tmp_path / "data", {"NODE__DRAIN_SECONDS": "0.2"}) as server:
        upload = await upload_url(server, "half a film.mp4")
        async with half_upload(upload.url, 1_000_000, BLOCK[:1000]):
            await until(lambda: len(list(incoming.iterdir())) == 1, "the upload does not begin")
            await server.stop()
    assert [path for path in incoming.parent.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("store", ["directory", "minio"])
async def test_a_large_file_goes_on_where_its_connection_broke(
    tmp_path: Path, services: Services, store: str
) -> None:
    settings = settings_for(store, services)
    port = free_port()
    proxy = Proxy(settings["BLOBS__URL"].removeprefix("http://") if settings else f"127.0.0.1:{port}")
    settings = {**settings, "API__PORT": str(port), "BLOBS__PUBLIC_URL": f"http://{await proxy.open()}"}
    proxy.cut_at = 14 << 20
    data = BLOCK * 20

    async with Server(tmp_path / "data", settings) as server:
        async with Handset(
            await log_in(server.at, "13800000001", "phone"), server.at, "tcp", options=FAST
        ) as device:
            address = await device.media.upload(MediaType.FILE, data, name="a.bin")
        sent = len(proxy.seen)
        async with ClientSession() as http, http.get(address) as answer:
            assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
    await proxy.close()
    assert not proxy.cut_at, "the connection did not break"
    assert sent < len(data) + (8 << 20), "the first part was not sent again"
