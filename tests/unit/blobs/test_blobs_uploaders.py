"""Whose file it is: every media store keeps what one user uploads out of the reach of all others."""

import asyncio
from collections.abc import Iterable

import pytest
from yarl import URL

from fsharechat.blobs import BUCKETS, KeyRefused, Upload
from fsharechat.protocol.signals import MediaType
from tests.unit.blobs.blobs_kit import MediaStore

BUCKET = BUCKETS[MediaType.FILE]
KEYS = ["photo 1.png", "年终 报告.docx", "folder/a.txt", "../up.txt", "a?b#c.txt", "100%41.txt", "~tilde.txt"]


def folder_of(upload: Upload) -> str:
    """Return the folder of who uploads: the segment behind the bucket."""
    return URL(upload.url).path.partition(f"/{BUCKET}/")[2].partition("/")[0]


async def read(media: MediaStore, upload: Upload, key: str) -> bytes:
    return (await media.ask("GET", f"{upload.domain}/{key}")).body


@pytest.mark.parametrize("kind", list(MediaType))
async def test_who_knows_a_key_does_not_replace_the_file(media: MediaStore, kind: MediaType) -> None:
    for key in KEYS:
        mine = await media.blobs.upload_url(kind, key, "ann")
        assert await media.upload(mine, b"mine") == 200
        other = await media.blobs.upload_url(kind, key, "bob")
        assert await media.upload(other, b"other") == 200
        assert other.domain != mine.domain
        if "?" not in key:  # such an address finds the folder of media alone, and only percent-encoded
            assert await read(media, mine, key) == b"mine"
            assert await read(media, other, key) == b"other"


def keys_that_lead_to(folder: str, key: str) -> Iterable[str]:
    for up in ("", "../", "../../", "..\\", "%2e%2e/", "%2e%2e%2f", "./", "x/../../"):
        yield f"{up}{folder}/{key}"
        yield f"{up}{BUCKET}/{folder}/{key}"
        yield f"{up}{folder}\\{key}"
        yield f"{up}{folder}%2f{key}"
    yield f"{folder.replace('~', '%7e')}/{key}"


@pytest.mark.parametrize("key", ["photo.png", "../up.png"])
async def test_no_key_leads_into_the_folder_of_another(media: MediaStore, key: str) -> None:
    mine = await media.blobs.upload_url(MediaType.FILE, key, "ann")
    assert await media.upload(mine, b"mine") == 200
    inside = URL(mine.url).path.partition(f"/{BUCKET}/")[2].partition("/")[2]
    attempts = 0
    for wanted in keys_that_lead_to(folder_of(mine), inside):
        for uid in ("bob", "ann"):
            try:
                upload = await media.blobs.upload_url(MediaType.FILE, wanted, uid)
            except KeyRefused:
                continue
            attempts += 1
            assert await media.upload(upload, b"not mine") == 200, wanted
            assert await read(media, mine, key) == b"mine", wanted
    assert attempts > 30


async def test_a_url_is_good_for_the_folder_of_who_asked_alone(media: MediaStore) -> None:
    mine = await media.blobs.upload_url(MediaType.FILE, "a.txt", "ann")
    other = await media.blobs.upload_url(MediaType.FILE, "a.txt", "bob")
    assert await media.upload(mine, b"mine") == 200
    altered = other.url.replace(folder_of(other), folder_of(mine))
    assert URL(altered).path == URL(mine.url).path
    assert (await media.ask("PUT", altered, b"not mine")).status in (400, 403)
    up = other.url.replace(f"{folder_of(other)}/", f"{folder_of(other)}/%2e%2e/{folder_of(mine)}/")
    assert (await media.ask_as_is("PUT", up, b"not mine")).status in (400, 403)
    assert await read(media, mine, "a.txt") == b"mine"


async def test_who_uploaded_a_file_replaces_it_at_its_address(media: MediaStore) -> None:
    first = await media.blobs.upload_url(MediaType.PORTRAIT, "me.png", "ann")
    assert await media.upload(first, b"one") == 200
    async with media.expiring_after(60) as after_a_restart:
        again = await after_a_restart.upload_url(MediaType.PORTRAIT, "me.png", "ann")
    assert again.domain == first.domain
    assert await media.upload(again, b"two") == await media.upload(again, b"two") == 200
    assert await read(media, first, "me.png") == b"two"


async def test_two_who_upload_a_key_at_once_have_a_file_each(media: MediaStore) -> None:
    people = [f"user{n}" for n in range(8)]
    uploads = await asyncio.gather(*(media.blobs.upload_url(MediaType.FILE, "a.txt", uid) for uid in people))
    files = [uid.encode() * 10_000 for uid in people]
    assert set(await asyncio.gather(*map(media.upload, uploads, files))) == {200}
    assert [await read(media, upload, "a.txt") for upload in uploads] == files


@pytest.mark.parametrize("key", ["old.txt", "../old.txt"])
async def test_what_is_in_no_users_folder_is_read_and_replaced_by_none(media: MediaStore, key: str) -> None:
    """The server's own files are there, and those of versions that had no folders for users."""
    address = await media.blobs.put(MediaType.FILE, key, b"old", "text/plain")
    inside = address.partition(f"/{BUCKET}/")[2]
    for wanted in (key, f"../{key}", f"../../{key}", inside, f"../{inside}", f"../../{BUCKET}/{inside}"):
        upload = await media.blobs.upload_url(MediaType.FILE, wanted, "bob")
        assert await media.upload(upload, b"not old") == 200
        assert (await media.ask("GET", address)).body == b"old", wanted
