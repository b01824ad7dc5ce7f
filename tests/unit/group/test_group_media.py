"""GMURL: where a client is told to put a file."""

from pathlib import Path

import pytest
from yarl import URL

from fsharechat.blobs import BUCKETS, PART_BYTES, BlobsError, Upload
from fsharechat.blobs.keys import UPLOADER_FOLDER
from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, MediaType, SubSignal
from fsharechat.settings import Settings
from fsharechat.store import uploads
from fsharechat.store.sessions import DAY_MS
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.group.group_kit import Office


def wanted(kind: int, key: str) -> pb.GetMinioUploadUrlRequest:
    return pb.GetMinioUploadUrlRequest(type=kind, key=key)


@pytest.mark.parametrize("kind", list(MediaType))
async def test_every_media_type_has_its_bucket(office: Office, kind: MediaType) -> None:
    payload = await office.payload("alice", SubSignal.GMURL, wanted(kind, "文件 1.bin"))
    upload = pb.GetMinioUploadUrlResult.FromString(payload)
    bucket, _, folder = upload.domain.rpartition("/")
    assert bucket == f"http://127.0.0.1:8081/media/{BUCKETS[kind]}"
    assert folder.startswith(UPLOADER_FOLDER)
    assert (upload.server, upload.port) == ("127.0.0.1", 8081)
    assert URL(upload.url).with_query(None) == URL(f"{upload.domain}/文件 1.bin")


async def domain(office: Office, uid: str) -> str:
    payload = await office.payload(uid, SubSignal.GMURL, wanted(MediaType.PORTRAIT, "me.png"))
    return pb.GetMinioUploadUrlResult.FromString(payload).domain


async def test_every_user_has_a_folder_which_does_not_say_whose_it_is(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    assert await domain(office, ann) == await domain(office, ann) != await domain(office, bob)
    assert ann not in await domain(office, ann)


@pytest.mark.parametrize("kind", [-1, 7, 1 << 30])
async def test_an_unknown_media_type_is_an_invalid_parameter(office: Office, kind: int) -> None:
    assert await office.code("alice", SubSignal.GMURL, wanted(kind, "a.png")) == Code.INVALID_PARAMETER


@pytest.mark.parametrize("key", ["", "a/..", "nul\0.png", "a.html"])
async def test_a_key_that_cannot_be_kept_is_an_invalid_parameter(office: Office, key: str) -> None:
    code = await office.code("alice", SubSignal.GMURL, wanted(MediaType.IMAGE, key))
    assert code == Code.INVALID_PARAMETER


async def test_a_request_without_its_key_is_invalid_data(office: Office) -> None:
    body = wanted(MediaType.IMAGE, "").SerializeToString().removesuffix(b"\x12\x00")
    assert await office.code("alice", SubSignal.GMURL, body) == Code.INVALID_DATA


async def test_a_media_store_that_fails_is_a_server_error(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise BlobsError("away")

    monkeypatch.setattr(office.node.blobs, "upload_url", fail)
    code = await office.code("alice", SubSignal.GMURL, wanted(MediaType.IMAGE, "a.png"))
    assert code == Code.SERVER_ERROR


async def test_without_the_key_of_the_folders_there_is_no_address(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as broken:
        broken.setattr(office.node.store, "write", fail)
        code = await office.code("alice", SubSignal.GMURL, wanted(MediaType.IMAGE, "a.png"))
    assert code == Code.SERVER_ERROR
    assert await domain(office, "alice")


async def test_a_group_process_keeps_files_without_the_api_role(office: Office, tmp_path: Path) -> None:
    await office.node.blobs.open()
    address = await office.node.blobs.put(MediaType.PORTRAIT, "group.png", b"picture", "image/png")
    assert address == f"http://127.0.0.1:8081/media/{BUCKETS[MediaType.PORTRAIT]}/group.png"
    kept = [path.read_bytes() for path in (tmp_path / "data" / "media").rglob("*") if path.is_file()]
    assert kept == [b"picture"]


async def all_but_one_had(office: Office, uid: str) -> None:
    """Let a user have had all addresses of the day but one."""
    had = Settings().limits.uploads_per_day - 1

    def insert(_: Dialect) -> Unit[None]:
        row = (uid, office.now // DAY_MS, had)
        yield Query("INSERT INTO uploads (uid, day, granted) VALUES (?, ?, ?)", row)

    await office.node.store.write(insert)


async def test_who_has_had_all_addresses_of_a_day_gets_more_tomorrow(office: Office) -> None:
    await all_but_one_had(office, "alice")
    request = wanted(MediaType.IMAGE, "a.png")
    await office.payload("alice", SubSignal.GMURL, request)
    assert await office.code("alice", SubSignal.GMURL, request) == Code.TOO_OFTEN
    await office.payload("bob", SubSignal.GMURL, request)
    office.now += DAY_MS
    await office.payload("alice", SubSignal.GMURL, request)


async def test_a_request_without_an_address_costs_none(office: Office) -> None:
    await all_but_one_had(office, "alice")
    for kind, key in ((7, "a.png"), (1, ""), (1, "a.html")):
        assert await office.code("alice", SubSignal.GMURL, wanted(kind, key)) == Code.INVALID_PARAMETER
    await office.payload("alice", SubSignal.GMURL, wanted(MediaType.IMAGE, "a.png"))


async def test_the_retried_call_of_the_last_address_gets_it(office: Office) -> None:
    await all_but_one_had(office, "alice")
    request = wanted(MediaType.IMAGE, "a.png")
    await office.payload("alice", SubSignal.GMURL, request)
    again = await office.ask("alice", SubSignal.GMURL, request, retried=True)
    assert again.code == Code.SUCCESS
    assert await office.code("alice", SubSignal.GMURL, request) == Code.TOO_OFTEN


async def test_who_has_put_too_much_on_an_s3_server_gets_no_more_addresses(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What GMURL makes of an address whose upload nobody sees; the servers are in test_group_upload_sizes.py."""

    async def upload_url(kind: MediaType, key: str, uid: str) -> Upload:
        return Upload("http://s3", "http://s3/x", "s3", 80, f"~u{uid}/{key}")

    monkeypatch.setattr(office.node.blobs, "upload_url", upload_url)
    request = wanted(MediaType.IMAGE, "a.png")
    most = Settings().limits.upload_bytes_per_day
    await office.node.store.write(uploads.add_bytes, "~ualice", most - 1, office.now)
    await office.payload("alice", SubSignal.GMURL, request)
    await office.node.store.write(uploads.add_bytes, "~ualice", 1, office.now)
    assert await office.code("alice", SubSignal.GMURL, request) == Code.TOO_OFTEN
    await office.payload("bob", SubSignal.GMURL, request)
    office.now += DAY_MS
    await office.payload("alice", SubSignal.GMURL, request)


async def test_a_file_with_a_size_goes_in_parts_and_counts_once_it_is_begun(office: Office) -> None:
    await office.node.blobs.open()
    request = wanted(MediaType.FILE, "a.bin")
    plain = pb.GetMinioUploadUrlResult.FromString(await office.payload("alice", SubSignal.GMURL, request))
    assert {field.name for field, _ in plain.ListFields()} == {"domain", "url", "server", "port"}
    in_parts = pb.GetMinioUploadUrlRequest(type=MediaType.FILE, key="a.bin", size=PART_BYTES + 5)
    part = pb.GetMinioUploadUrlResult.FromString(await office.payload("alice", SubSignal.GMURL, in_parts))
    assert (part.domain, part.offset, part.length) == (plain.domain, 0, PART_BYTES)
    below = pb.GetMinioUploadUrlRequest(type=MediaType.FILE, key="a.bin", size=-1)
    assert await office.code("alice", SubSignal.GMURL, below) == Code.INVALID_PARAMETER
