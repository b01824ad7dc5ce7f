"""What every media store does, whichever it is."""

import asyncio
import hashlib
from urllib.parse import quote

import pytest
from yarl import URL

from fsharechat.blobs import BUCKETS, KeyRefused
from fsharechat.protocol.signals import MediaType
from tests.unit.blobs.blobs_kit import MediaStore
from tools.testing.server import BOUND

ODD_KEYS = [
    "a b.png",
    "  leading.txt",
    "文件 报告(最终版).docx",
    'it\'s "quoted" `here`.txt',
    "a+b&c=d;e,f@g!h$i*j.txt",
    "<script>[x]{y}|z^.txt",
    "100%.txt",
    "folder/in/folder.txt",
    "😀.gif",
    "no-extension",
    ".hidden",
    "a..b...c",
    "x" * 250,
    "文" * 80,
]
"""Keys that arrive as they are, percent-encoded or not."""

MOVING_KEYS = [
    "../escape.txt",
    "../../../../../../etc/passwd",
    "a/../b.txt",
    "a/../../b.txt",
    "./here.txt",
    "a/./b.txt",
    "../a/../../b/../c d.txt",
    "~somebody/file.txt",
]
"""Keys with segments that HTTP clients take away."""

UNADDRESSABLE = [
    "",
    " ",
    "/",
    "/absolute",
    "//host/share",
    "a//b",
    "folder/",
    "..",
    "../..",
    "a/..",
    "a/.",
    ".",
    "?",
    "#top",
    "%2e%2e%2fescape",
    "a%2f..%2fb",
    "nul\0.txt",
    "line\nend.txt",
    "tab\t.txt",
    "%00.txt",
    "%0a.txt",
    "%ff.txt",
    "\x7f",
    "x" * 1025,
    "文" * 342,
]


def content(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest() * 3


@pytest.mark.parametrize("kind", list(MediaType))
async def test_a_file_is_where_its_domain_and_key_say(media: MediaStore, kind: MediaType) -> None:
    upload = await media.blobs.upload_url(kind, "picture one.png", "ann")
    assert await media.upload(upload, b"bytes") == 200
    assert media.blobs.bucket_url(kind).endswith(f"/{BUCKETS[kind]}")
    assert upload.domain.startswith(f"{media.blobs.bucket_url(kind)}/")
    answer = await media.ask("GET", f"{upload.domain}/picture one.png")
    assert (answer.status, answer.body) == (200, b"bytes")
    assert URL(upload.url).host == upload.server
    assert URL(upload.url).port == URL(upload.domain).port == upload.port


@pytest.mark.parametrize("key", ODD_KEYS, ids=ascii)
async def test_an_odd_key_is_found_encoded_or_not(media: MediaStore, key: str) -> None:
    upload = await media.blobs.upload_url(MediaType.FILE, key, "ann")
    assert await media.upload(upload, content(key)) == 200
    assert (await media.ask("GET", f"{upload.domain}/{key}")).body == content(key)
    for safe in ("/", ""):
        encoded = f"{upload.domain}/{quote(key, safe=safe)}"
        assert (await media.ask_as_is("GET", encoded)).body == content(key)


@pytest.mark.parametrize("key", MOVING_KEYS, ids=ascii)
async def test_a_key_that_would_move_away_stays_in_its_bucket(media: MediaStore, key: str) -> None:
    upload = await media.blobs.upload_url(MediaType.FILE, key, "ann")
    assert await media.upload(upload, content(key)) == 200
    for address in (f"{upload.domain}/{key}", f"{upload.domain}/{quote(key)}"):
        assert f"/{BUCKETS[MediaType.FILE]}/" in URL(address).path
        assert (await media.ask("GET", address)).body == content(key)


async def test_no_two_keys_are_one_file(media: MediaStore) -> None:
    keys = [*ODD_KEYS, *MOVING_KEYS, "escape.txt", "etc/passwd", "b.txt", "here.txt", "a/b.txt"]
    uploads = [await media.blobs.upload_url(MediaType.GENERAL, key, "ann") for key in keys]
    for key, upload in zip(keys, uploads, strict=True):
        assert await media.upload(upload, content(key)) == 200
    for key, upload in zip(keys, uploads, strict=True):
        assert (await media.ask("GET", f"{upload.domain}/{key}")).body == content(key)


async def test_a_key_cannot_name_the_folder_of_another(media: MediaStore) -> None:
    victim = await media.blobs.upload_url(MediaType.FILE, "../a.txt", "ann")
    own_folder = URL(victim.url).path.partition(BUCKETS[MediaType.FILE] + "/")[2]
    attacker = await media.blobs.upload_url(MediaType.FILE, own_folder, "ann")
    assert await media.upload(victim, b"mine") == await media.upload(attacker, b"not mine") == 200
    assert (await media.ask("GET", f"{victim.domain}/../a.txt")).body == b"mine"


@pytest.mark.parametrize("key", UNADDRESSABLE, ids=lambda key: ascii(key)[:24])
async def test_a_key_that_no_address_leads_to_is_refused(media: MediaStore, key: str) -> None:
    with pytest.raises(KeyRefused):
        await media.blobs.upload_url(MediaType.FILE, key, "ann")


@pytest.mark.parametrize("kind", [MediaType.IMAGE, MediaType.VOICE, MediaType.VIDEO, MediaType.PORTRAIT])
async def test_a_page_is_no_picture_or_sound(media: MediaStore, kind: MediaType) -> None:
    for key in ("a.html", "a.HTM", "../a.js", "a.b.xhtml"):
        with pytest.raises(KeyRefused):
            await media.blobs.upload_url(kind, key, "ann")
        await media.blobs.upload_url(MediaType.FILE, key, "ann")


async def test_what_is_not_there_is_not_found(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.IMAGE, "never put.png", "ann")
    # An S3 server does not tell strangers what is not there.
    assert (await media.ask("GET", f"{upload.domain}/never put.png")).status in (403, 404)
    assert (await media.ask("HEAD", f"{upload.domain}/never put.png")).status in (403, 404)


async def test_a_file_is_replaced_only_by_who_has_a_url_for_it(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.IMAGE, "replaced.png", "ann")
    address = f"{upload.domain}/replaced.png"
    assert await media.upload(upload, b"one") == 200
    assert (await media.ask("PUT", address, b"two")).status == 403
    assert (await media.ask("DELETE", address)).status in (403, 405)
    assert (await media.ask("POST", address, b"two")).status in (400, 403, 405)
    assert (await media.ask("GET", address)).body == b"one"
    again = await media.blobs.upload_url(MediaType.IMAGE, "replaced.png", "ann")
    assert await media.upload(again, b"three") == 200
    assert (await media.ask("GET", address)).body == b"three"


async def test_an_altered_url_is_refused(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.IMAGE, "mine.png", "ann")
    url = URL(upload.url)
    altered = [url.with_path(url.path.replace("mine.png", "yours.png")).with_query(url.query)]
    bucket = url.path.replace(BUCKETS[MediaType.IMAGE], BUCKETS[MediaType.FILE])
    altered.append(url.with_path(bucket).with_query(url.query))
    for name, value in url.query.items():
        other = {"expires": "9999999999", "X-Amz-Expires": "7200"}.get(name, f"{value[:-1]}0{value[-1]}")
        altered += [url.update_query({name: other}), url.without_query_params(name)]
    for one in altered:
        answer = await media.ask("PUT", one, b"x")
        assert answer.status in (400, 403), one
    assert (await media.ask("GET", f"{upload.domain}/mine.png")).status in (403, 404)
    assert await media.upload(upload, b"x") == 200


async def test_an_expired_url_is_refused(media: MediaStore) -> None:
    async with media.expiring_after(1) as blobs:
        upload = await blobs.upload_url(MediaType.IMAGE, "late.png", "ann")
        status, tries = 200, 0
        async with asyncio.timeout(BOUND):
            while status == 200:
                status, tries = await media.upload(upload, b"in time"), tries + 1
    assert status == 403
    assert tries > 1
    assert (await media.ask("GET", f"{upload.domain}/late.png")).body == b"in time"


async def test_a_part_of_a_file_can_be_read(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.VIDEO, "film.mp4", "ann")
    assert await media.upload(upload, bytes(range(100))) == 200
    address = f"{upload.domain}/film.mp4"
    for wanted, expected in (("10-19", range(10, 20)), ("90-", range(90, 100)), ("-5", range(95, 100))):
        answer = await media.ask("GET", address, Range=f"bytes={wanted}")
        assert (answer.status, answer.body) == (206, bytes(expected))
        assert answer.headers["Content-Range"] == f"bytes {expected[0]}-{expected[-1]}/100"
    assert (await media.ask("GET", address, Range="bytes=100-")).status == 416
    head = await media.ask("HEAD", address)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "100")
    assert head.headers["Accept-Ranges"] == "bytes"


async def test_what_a_client_has_is_not_sent_again(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.IMAGE, "cached.png", "ann")
    assert await media.upload(upload, b"one") == 200
    address = f"{upload.domain}/cached.png"
    tag = (await media.ask("GET", address)).headers["ETag"]
    answer = await media.ask("GET", address, **{"If-None-Match": tag})
    assert (answer.status, answer.body) == (304, b"")
    assert await media.upload(upload, b"other") == 200
    answer = await media.ask("GET", address, **{"If-None-Match": tag})
    assert (answer.status, answer.body) == (200, b"other")


async def test_an_empty_file_is_a_file(media: MediaStore) -> None:
    upload = await media.blobs.upload_url(MediaType.FILE, "empty.txt", "ann")
    assert await media.upload(upload, b"") == 200
    answer = await media.ask("GET", f"{upload.domain}/empty.txt")
    assert (answer.status, answer.body) == (200, b"")


async def test_the_server_keeps_files_of_its_own(media: MediaStore) -> None:
    for key in ("group portrait.png", "../portrait.png"):
        for data in (b"first", b"second"):
            address = await media.blobs.put(MediaType.PORTRAIT, key, data, "image/png")
            answer = await media.ask("GET", address)
            assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, data, "image/png")
        assert address.startswith(media.blobs.bucket_url(MediaType.PORTRAIT))
        assert address.endswith(f"/{key}")
    with pytest.raises(KeyRefused):
        await media.blobs.put(MediaType.PORTRAIT, "", b"x", "image/png")


async def test_it_opens_over_what_is_there(media: MediaStore) -> None:
    address = await media.blobs.put(MediaType.FILE, "kept.txt", b"kept", "text/plain")
    await media.blobs.open()
    assert (await media.ask("GET", address)).body == b"kept"
