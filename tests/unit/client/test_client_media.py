"""Files go to the media store and come back, in pieces, whatever they are called (section 8, media types)."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from fsharechat.client import Client, MediaError, NotAPicture, Options, RequestError, TooLarge, group, media
from fsharechat.client.media import safe_name
from fsharechat.client.thumbnail import thumbnail
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import MediaType, SubSignal
from tests.unit.client.fake_media import MediaStore
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, ME, TIMEOUT, FakePeer
from tools.testing.slow_opening import give_up_while_opening

FAST = Options.fast()


@pytest.fixture
async def store(peer: FakePeer) -> AsyncIterator[MediaStore]:
    async with MediaStore() as started:
        peer.rule = started.rule
        yield started


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (800, 400)) -> bytes:
    data = BytesIO()
    Image.new(mode, size, 1 if mode == "P" else "red").save(data, kind)
    return data.getvalue()


async def test_a_file_comes_back_under_its_address(
    peer: FakePeer, transport: str, store: MediaStore, tmp_path: Path
) -> None:
    path = tmp_path / "报告 '1' & 2.pdf"
    data = bytes(range(256)) * 4096  # several pieces
    path.write_bytes(data)
    seen: list[tuple[int, int]] = []
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        await client.media.send_file(FRIEND, path, on_progress=lambda done, total: seen.append((done, total)))
        content = peer.asked(SubSignal.MS)[0].content
        size = await client.media.download(content.remote_media_url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert (content.type, content.media_type) == (5, 4)
    assert (content.searchable_content, content.content) == ("报告 '1' & 2.pdf", str(size))
    assert content.remote_media_url.startswith(f"{store.url}/b4/4-{ME}-")
    assert content.remote_media_url.endswith("报告 '1' & 2.pdf")
    assert list(store.types.values()) == ["application/pdf"]
    assert seen[0] == (262144, len(data))
    assert seen[-1] == (len(data), len(data))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of 1,000 bytes go in parts, and nobody waits before going on."""
    monkeypatch.setattr(media, "PARTS_FROM", 1000)
    monkeypatch.setattr(media, "PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("small_parts")
async def test_a_large_file_goes_on_where_it_broke(peer: FakePeer, store: MediaStore) -> None:
    data, seen = os.urandom(1000), []
    store.parts_of, store.failing = 400, [503, 500]
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        address = await client.media.upload(
            MediaType.FILE, data, name="a.bin", on_progress=lambda done, total: seen.append((done, total))
        )
    assert list(store.files.values()) == [data]
    assert store.lengths == [400, 400, 400, 200]
    assert seen[-1] == (1000, 1000)
    assert {(one.key, one.size) for one in peer.asked(SubSignal.GMURL)} == {
        (address.rpartition("/")[2], 1000)
    }


@pytest.mark.usefixtures("small_parts")
async def test_a_large_file_ends_where_going_on_is_of_no_use(peer: FakePeer, store: MediaStore) -> None:
    store.parts_of, store.failing = 400, [507]
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(MediaError) as raised:
            await client.media.upload(MediaType.FILE, bytes(1000))
    assert (raised.value.status, store.lengths) == (507, [400])


@pytest.mark.usefixtures("small_parts")
async def test_a_server_without_parts_gets_a_large_file_in_one_piece(
    peer: FakePeer, store: MediaStore
) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        await client.media.upload(MediaType.FILE, bytes(1000))
    assert (list(store.files.values()), store.lengths) == ([bytes(1000)], [])


async def test_a_picture_has_a_thumbnail(peer: FakePeer, store: MediaStore) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        await client.media.send_image(group("g1"), picture(), name="red.png", to=["a"])
    (message,) = peer.asked(SubSignal.MS)
    assert list(message.to) == ["a"]
    content = message.content
    assert (content.type, content.media_type, content.searchable_content) == (3, 1, "[图片]")
    with Image.open(BytesIO(content.data)) as small:
        assert (small.format, small.size) == ("JPEG", (200, 100))
    assert len(content.data) < 10_000
    assert list(store.types.values()) == ["image/png"]


async def test_voices_and_videos_say_their_length(peer: FakePeer, store: MediaStore) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        await client.media.send_voice(FRIEND, b"sound", 2.6, name="a.amr")
        await client.media.send_video(FRIEND, b"moves", 9, picture=picture(), name="a.mp4")
    voice, video = (message.content for message in peer.asked(SubSignal.MS))
    assert (voice.type, voice.media_type, voice.content) == (2, 2, '{"duration": 3}')
    assert (video.type, video.media_type, video.content) == (6, 3, '{"duration": 9}')
    assert video.data


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "L", "CMYK"])
async def test_thumbnails_of_pictures_of_all_kinds(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture("TIFF" if mode == "CMYK" else "PNG", mode))
    assert (await thumbnail(path)).startswith(b"\xff\xd8")


async def test_what_is_clear_becomes_white() -> None:
    data = BytesIO()
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(data, "PNG")
    with Image.open(BytesIO(await thumbnail(data.getvalue()))) as small:
        assert small.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"no picture", picture()[:60]])
async def test_what_is_no_picture_is_not_uploaded(peer: FakePeer, store: MediaStore, data: bytes) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(NotAPicture):
            await client.media.send_image(FRIEND, data)
    assert not peer.requests


async def test_an_empty_file_is_a_file(peer: FakePeer, store: MediaStore, tmp_path: Path) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        address = await client.media.upload(MediaType.GENERAL, b"", name="nothing")
        assert await client.media.download(address, tmp_path / "nothing") == 0
    assert (tmp_path / "nothing").read_bytes() == b""


async def test_a_refused_address_and_a_refused_upload(
    peer: FakePeer, transport: str, store: MediaStore
) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        peer.rule = lambda sub, body: (
            0,
            pb.GetMinioUploadUrlResult(domain="d", url=f"{store.url}/b?sig=bad"),
        )
        with pytest.raises(MediaError) as caught:
            await client.media.upload(MediaType.FILE, b"x")
        assert caught.value.status == 403
        peer.rule = lambda sub, body: (251, None)
        with pytest.raises(RequestError):
            await client.media.upload(MediaType.FILE, b"x")


async def test_a_store_that_cannot_be_reached(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (0, pb.GetMinioUploadUrlResult(domain="d", url="http://127.0.0.1:1/x"))
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(MediaError, match="cannot be reached"):
            await client.media.upload(MediaType.FILE, b"x" * 1_000_000)


async def test_an_upload_that_stands_still_ends(
    peer: FakePeer, store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "PAUSE_SECONDS", 0.0)
    store.stall = True
    options = replace(FAST, media_timeout=0.1)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        with pytest.raises(MediaError):
            await client.media.upload(MediaType.FILE, b"x" * 50_000_000)


async def test_an_upload_can_be_cancelled(peer: FakePeer, store: MediaStore) -> None:
    store.stall = True
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        uploading = asyncio.ensure_future(client.media.upload(MediaType.FILE, b"x" * 50_000_000))
        async with asyncio.timeout(TIMEOUT):
            await store.arrived.wait()
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading


@pytest.mark.parametrize("how", ["", "?chunked"])
async def test_a_download_is_bounded_and_leaves_nothing_behind(
    peer: FakePeer, store: MediaStore, tmp_path: Path, how: str
) -> None:
    store.files["big"] = b"x" * 1000
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(TooLarge):
            await client.media.download(f"{store.url}/big{how}", tmp_path / "big", max_bytes=999)
        assert os.listdir(tmp_path) == []
        assert await client.media.download(f"{store.url}/big{how}", tmp_path / "big", max_bytes=1000) == 1000


async def test_a_download_that_fails_keeps_what_was_there(
    peer: FakePeer, store: MediaStore, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(MediaError) as caught:
            await client.media.download(f"{store.url}/missing", tmp_path / "mine")
        assert caught.value.status == 404
        with pytest.raises(FileNotFoundError):
            await client.media.download(f"{store.url}/missing", tmp_path / "no" / "folder")
    assert os.listdir(tmp_path) == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("what", ["download", "upload"])
async def test_who_goes_away_while_a_file_is_opened_leaves_nothing(
    peer: FakePeer, store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store.files["small"] = b"x"
    mine, folder = tmp_path / "mine", tmp_path / "downloads"
    mine.write_text("mine")
    folder.mkdir()
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        work: Coroutine[None, None, object] = (
            client.media.download(f"{store.url}/small", folder / "small")
            if what == "download"
            else client.media.upload(MediaType.FILE, mine)
        )
        await give_up_while_opening(work, monkeypatch)
    assert os.listdir(folder) == []


async def test_a_stream_comes_in_pieces(peer: FakePeer, store: MediaStore) -> None:
    store.files["big"] = bytes(1_000_000)
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        pieces = [piece async for piece in client.media.stream(f"{store.url}/big")]
    assert len(pieces) > 1
    assert sum(map(len, pieces)) == 1_000_000


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "ftp://h/x", "http://", "no address"])
async def test_addresses_that_are_none(peer: FakePeer, tmp_path: Path, address: str) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(MediaError, match="not the address"):
            await client.media.download(address, tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b.png", "a b.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\相片.jpg", "相片.jpg"),
        ("50% off? #1.txt", "50_ off_ _1.txt"),
        ("", "file"),
        ("..", "file"),
        ("line\nbreak", "line_break"),
    ],
)
def test_names_are_fit_for_an_address(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_keep_their_ending() -> None:
    name = safe_name("长" * 200 + ".jpeg")
    assert name.endswith("长.jpeg")
    assert len(name.encode()) <= 120
