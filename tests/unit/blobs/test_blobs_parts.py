"""Files that go up in parts: what breaks off goes on, and what nobody finishes goes away."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from fsharechat.blobs import PART_BYTES, UNFINISHED_SECONDS, UploadPart, directory
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.protocol.signals import MediaType
from tests.unit.blobs.blobs_kit import MAX_BYTES, MediaStore
from tools.testing.server import until
from tools.wire.half_upload import half_upload

DATA = os.urandom(300_000)
FILE = MediaType.FILE


async def next_part(
    media: MediaStore, key: str = "a.bin", size: int = len(DATA), uid: str = "ann"
) -> UploadPart:
    return await media.blobs.next_part(FILE, key, uid, size)


async def send_half_and_break(part: UploadPart, incoming: Path) -> None:
    """Send half of a part, and cut the connection when it is there."""
    half = DATA[part.offset : part.offset + part.length // 2]
    async with half_upload(part.upload.url, part.length, half) as (_, writer):
        await until(lambda: len(half) - 8192 <= sum(path.stat().st_size for path in incoming.iterdir()))
        writer.close()
        await until(lambda: len(half) == sum(path.stat().st_size for path in incoming.iterdir()))


async def test_a_part_that_breaks_off_goes_on_where_it_broke(folder: MediaStore, tmp_path: Path) -> None:
    assert not await folder.blobs.is_begun(FILE, "a.bin", "ann", len(DATA))
    part = await next_part(folder)
    assert (part.offset, part.length) == (0, len(DATA))
    await send_half_and_break(part, tmp_path / "media" / "incoming")
    assert await folder.blobs.is_begun(FILE, "a.bin", "ann", len(DATA))
    address = f"{part.upload.domain}/a.bin"
    assert (await folder.ask("GET", address)).status == 404
    rest = await next_part(folder)
    assert rest.offset == len(DATA) // 2
    assert await folder.upload(rest.upload, DATA[rest.offset :]) == 200
    whole = await next_part(folder)
    assert (whole.offset, whole.length) == (len(DATA), 0)
    answer = await folder.ask("GET", address)
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(DATA).digest()
    assert list(folder.quota.had.values()) == [len(DATA)]


async def test_large_files_have_several_parts(media: MediaStore) -> None:
    """Over every media store: what was sent is asked for, by somebody who has forgotten everything."""
    size = 1000 if isinstance(media.blobs, DirectoryBlobs) else PART_BYTES + 1000
    data = os.urandom(size)
    key = f"{time.time_ns()} parts.bin"
    lengths = []
    while (part := await next_part(media, key, size)).length:
        assert await media.upload(part.upload, data[part.offset : part.offset + part.length]) == 200
        lengths.append(part.length)
    assert (part.offset, sum(lengths), max(lengths) <= PART_BYTES) == (size, size, True)
    answer = await media.ask("GET", f"{part.upload.domain}/{key}".replace(" ", "%20"))
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(data).digest()
    assert (await next_part(media, key, size)).length == 0
    await media.blobs.sweep()


async def test_a_part_is_only_what_its_address_says(folder: MediaStore) -> None:
    part = await next_part(folder, size=1000)
    for old, new in (
        ("size=1000", "size=2000"),
        ("offset=0", "offset=1"),
        ("offset=0&", ""),
        ("size=1000&", ""),
        ("&size=1000&offset=0", "%0A1000%0A0"),  # the bytes that were signed, as one number
    ):
        altered = part.upload.url.replace(old, new)
        assert (await folder.ask_as_is("PUT", altered, DATA[:1000])).status == 403, new
    assert await folder.upload(part.upload, DATA[:1001]) == 413
    large = await next_part(folder, "large.bin", MAX_BYTES + 1)
    assert await folder.upload(large.upload, b"x") == 413

    async def pieces() -> object:
        yield b"x"

    assert await folder.upload(part.upload, pieces()) == 411


async def test_parts_that_nobody_finishes_go_away(folder: MediaStore, tmp_path: Path) -> None:
    part = await next_part(folder)
    incoming = tmp_path / "media" / "incoming"
    await send_half_and_break(part, incoming)
    rest = await next_part(folder)
    await folder.blobs.sweep()
    (left,) = incoming.iterdir()
    old = time.time() - UNFINISHED_SECONDS - 10
    os.utime(left, (old, old))
    await folder.blobs.sweep()
    assert list(incoming.iterdir()) == []
    assert await folder.upload(rest.upload, DATA[rest.offset :]) == 409
    assert (await next_part(folder)).offset == 0


async def test_a_user_has_no_more_unfinished_bytes_than_one_file_may_have(
    folder: MediaStore, tmp_path: Path
) -> None:
    size = MAX_BYTES // 2
    for number, uid in enumerate(("bob", "ann", "ann", "ann")):
        part = await next_part(folder, f"{number}.bin", size, uid)
        assert await folder.upload(part.upload, b"x" * 1000) == 200
        path = max((tmp_path / "media" / "incoming").iterdir(), key=lambda one: one.stat().st_mtime_ns)
        with path.open("r+b") as file:
            file.truncate(size - 1)
        os.utime(path, (number + 1, number + 1))
    offsets = [
        (await next_part(folder, f"{number}.bin", size, uid)).offset
        for number, uid in enumerate(("bob", "ann", "ann", "ann"))
    ]
    assert offsets == [size - 1, 0, size - 1, size - 1]


async def test_a_user_has_only_so_many_unfinished_files(
    folder: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MOST_UNFINISHED", 2)
    for number in range(3):
        part = await next_part(folder, f"{number}.bin", 10)
        assert await folder.upload(part.upload, b"12345") == 200
    assert [(await next_part(folder, f"{number}.bin", 10)).offset for number in range(3)] == [0, 5, 5]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_file_whose_last_step_is_missing_is_put_into_its_place(
    folder: MediaStore, tmp_path: Path, times: int
) -> None:
    part = await next_part(folder, size=10)
    assert await folder.upload(part.upload, b"01234") == 200
    (path,) = (tmp_path / "media" / "incoming").iterdir()
    path.write_bytes(b"0123456789")  # as a kill before the last step leaves it
    for _ in range(times):
        assert (await next_part(folder, size=10)).length == 0
    assert (await folder.ask("GET", f"{part.upload.domain}/a.bin")).body == b"0123456789"
