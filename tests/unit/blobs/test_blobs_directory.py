"""The folder of media: what it lets in, what it shows, and what it leaves behind."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fsharechat.blobs import BUCKETS, BlobsError
from fsharechat.protocol.signals import MediaType
from tests.unit.blobs.blobs_kit import MAX_BYTES, MediaStore, make_directory, raw_get
from tools.testing.server import until
from tools.testing.slow_opening import give_up_while_opening
from tools.wire.half_upload import half_upload

BUCKET = BUCKETS[MediaType.FILE]


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "../../secret",
        "../../../../../../../../etc/passwd",
        "%2e%2e/%2e%2e/secret",
        "..%2f..%2fsecret",
        "..%5c..%5csecret",
        "%252e%252e%252fsecret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "secret%00.png",
        "~/../../secret",
        "./../../secret",
        "incoming/../../../secret",
    ],
)
async def test_nothing_outside_is_read(folder: MediaStore, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "media" / "secret").write_text("secret")
    (tmp_path / "media" / BUCKET / "secret").write_text("secret")
    domain = (await folder.blobs.upload_url(MediaType.FILE, "x", "ann")).domain
    answer = await raw_get(f"{domain}/{path}")
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer
    assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


async def test_nothing_outside_is_written(folder: MediaStore, tmp_path: Path) -> None:
    for key in ("../../../out", "..\\..\\out", "a/../../../out", "C:\\out", "%2e%2e/%2e%2e/out"):
        assert await folder.upload(await folder.blobs.upload_url(MediaType.FILE, key, "ann"), b"x") == 200
    assert len(files(tmp_path)) == len(files(tmp_path / "media" / BUCKET)) == 5
    assert all(len(path.name) == 64 for path in files(tmp_path))


@pytest.mark.parametrize("key", ["what?.png", "c#1.png", "100%41.txt", "a\\b.png", "..\\x.png", "trailing "])
async def test_what_an_address_would_lose_of_a_key_does_not_matter(folder: MediaStore, key: str) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, key, "ann")
    assert await folder.upload(upload, key.encode()) == 200
    assert (await folder.ask("GET", f"{upload.domain}/{key}")).body == key.encode()
    for address in (f"{upload.domain}/{quote(key)}", f"{upload.domain}/{quote(key, safe='')}"):
        assert (await folder.ask_as_is("GET", address)).body == key.encode()


async def test_a_query_of_a_client_does_not_matter(folder: MediaStore) -> None:
    upload = await folder.blobs.upload_url(MediaType.IMAGE, "a.png", "ann")
    await folder.upload(upload, b"x")
    assert (await folder.ask("GET", f"{upload.domain}/a.png?t=1&w=100")).body == b"x"


async def test_a_file_that_is_too_large_is_refused(folder: MediaStore, tmp_path: Path) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "large.bin", "ann")

    async def without_length() -> AsyncIterator[bytes]:
        for _ in range(MAX_BYTES // 65_536):
            yield bytes(65_536)
        yield b"x"

    assert await folder.upload(upload, without_length()) == 413
    async with half_upload(upload.url, MAX_BYTES + 1, bytes(MAX_BYTES // 2)) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    await until(lambda: files(tmp_path) == [], "something is left")
    assert await folder.upload(upload, bytes(MAX_BYTES)) == 200


async def test_an_upload_that_breaks_off_leaves_nothing(folder: MediaStore, tmp_path: Path) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "broken.bin", "ann")
    incoming = tmp_path / "media" / "incoming"
    for existing in (0, 1):
        async with half_upload(upload.url, 100_000, bytes(50_000)):
            await until(lambda: len(files(incoming)) == 1, "the upload does not begin")
            assert len(files(tmp_path)) == 1 + existing
        await until(lambda: files(incoming) == [], "the upload is left")
        answer = await folder.ask("GET", f"{upload.domain}/broken.bin")
        assert (answer.status, answer.body) == ((200, b"whole") if existing else (404, answer.body))
        assert await folder.upload(upload, b"whole") == 200


@pytest.mark.parametrize("what", ["put", "read"])
async def test_who_goes_away_while_a_file_is_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    blobs = make_directory(tmp_path / "media", "http://nowhere")
    await blobs.open()
    await blobs.put(MediaType.FILE, "old.bin", b"old", "")

    async def read() -> None:
        async for _ in blobs.read(MediaType.FILE, "old.bin"):
            pass

    work = read() if what == "read" else blobs.put(MediaType.FILE, "new.bin", b"new", "")
    await give_up_while_opening(work, monkeypatch)
    assert files(tmp_path / "media" / "incoming") == []


async def test_a_file_is_the_old_one_until_the_new_one_is_whole(folder: MediaStore, tmp_path: Path) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "new.bin", "ann")
    assert await folder.upload(upload, b"old") == 200
    async with half_upload(upload.url, 1000, b"x" * 500) as (reader, writer):
        await until(lambda: len(files(tmp_path / "media" / "incoming")) == 1, "the upload does not begin")
        assert (await folder.ask("GET", f"{upload.domain}/new.bin")).body == b"old"
        writer.write(b"x" * 500)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    assert (await folder.ask("GET", f"{upload.domain}/new.bin")).body == b"x" * 1000


async def test_a_compressed_upload_is_refused(folder: MediaStore) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "bomb.txt", "ann")
    answer = await folder.ask("PUT", upload.url, b"x", **{"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert (await folder.ask("GET", f"{upload.domain}/bomb.txt")).status == 404


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SHOWN = [
    ("a.png", b"", "image/png"),
    ("a.JPG", b"<script>", "image/jpeg"),
    ("voice.amr", b"", "audio/amr"),
    ("film.mp4", b"", "video/mp4"),
    ("no extension", PNG, "image/png"),
    ("avatar", b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
    ("odd.xyz", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ("a.html", b"GIF89a<script>alert(1)</script>", "image/gif"),
]
NOT_SHOWN = [
    ("page.html", b"<script>alert(1)</script>"),
    ("page.HTM", b"<html>"),
    ("no extension", b"<html>"),
    ("a.svg", b"<svg onload='alert(1)'/>"),
    ("a.xml", b"<?xml version='1.0'?>"),
    ("a.pdf", b"%PDF-1.7"),
    ("a.js", b"alert(1)"),
    ("a.txt", b"text"),
    ("a.png.html", b"<html>"),
    ("short", b"x"),
]


@pytest.mark.parametrize(("key", "data", "content_type"), SHOWN)
async def test_pictures_and_sound_are_shown_as_what_they_are(
    folder: MediaStore, key: str, data: bytes, content_type: str
) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, key, "ann")
    assert (await folder.ask("PUT", upload.url, data, **{"Content-Type": "text/html"})).status == 200
    for method in ("GET", "HEAD"):
        answer = await folder.ask(method, f"{upload.domain}/{key}")
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Content-Disposition" not in answer.headers


@pytest.mark.parametrize(("key", "data"), NOT_SHOWN)
async def test_nothing_else_is_shown_as_a_page(folder: MediaStore, key: str, data: bytes) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, key, "ann")
    assert (await folder.ask("PUT", upload.url, data, **{"Content-Type": "text/html"})).status == 200
    for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=0-0"})):
        answer = await folder.ask(method, f"{upload.domain}/{key}", **headers)
        assert answer.status in (200, 206)
        assert answer.headers["Content-Type"] in ("application/octet-stream", "image/svg+xml")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert "sandbox" in answer.headers["Content-Security-Policy"]


async def test_processes_that_share_the_folder_and_the_key_are_one(
    folder: MediaStore, tmp_path: Path
) -> None:
    domain = (await folder.blobs.upload_url(MediaType.FILE, "x", "ann")).domain
    address = domain.partition("/media/")[0]
    second = make_directory(tmp_path / "media", address)
    await second.open()
    assert (
        await folder.upload(await second.upload_url(MediaType.FILE, "from elsewhere.txt", "ann"), b"x") == 200
    )
    own = await second.put(MediaType.PORTRAIT, "group.png", b"y", "image/png")
    assert (await folder.ask("GET", own)).body == b"y"
    stranger = make_directory(tmp_path / "media", address, key=b"another key")
    assert await folder.upload(await stranger.upload_url(MediaType.FILE, "a.txt", "ann"), b"x") == 403


async def test_the_url_of_another_deployment_is_refused_without_reading(folder: MediaStore) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "a.bin", "ann")
    bad = upload._replace(url=upload.url[:-1] + ("0" if upload.url[-1] != "0" else "1"))
    async with half_upload(bad.url, 1000, bytes(500)) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "query", ["", "?expires=x&signature=y", "?expires=9999999999&signature=é", "?signature="]
)
async def test_a_url_without_a_signature_takes_nothing(folder: MediaStore, query: str) -> None:
    domain = (await folder.blobs.upload_url(MediaType.FILE, "a", "ann")).domain
    assert (await folder.ask("PUT", f"{domain}/a{query}", b"x")).status == 403


async def test_other_buckets_are_not_there(folder: MediaStore) -> None:
    domain = (await folder.blobs.upload_url(MediaType.FILE, "a", "ann")).domain
    for path in ("incoming/a", "minio-bucket-secret-name/a", BUCKET, f"{BUCKET}/"):
        assert (await folder.ask("GET", f"{domain.rpartition('/')[0]}/{path}")).status == 404


async def test_what_a_killed_process_left_is_removed_at_a_later_start(tmp_path: Path) -> None:
    blobs = make_directory(tmp_path / "media", "http://x")
    await blobs.open()
    old, young = (tmp_path / "media" / "incoming" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    await blobs.open()
    assert files(tmp_path) == [young]


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "media"):
        with pytest.raises(BlobsError, match="file"):
            await make_directory(root, "http://x").open()


async def test_a_folder_that_goes_away_is_an_error_that_has_a_name(
    folder: MediaStore, tmp_path: Path
) -> None:
    upload = await folder.blobs.upload_url(MediaType.FILE, "a", "ann")
    (tmp_path / "media").rename(tmp_path / "gone")
    assert await folder.upload(upload, b"x") == 500
    with pytest.raises(BlobsError, match="incoming"):
        await folder.blobs.put(MediaType.FILE, "a", b"x", "text/plain")
