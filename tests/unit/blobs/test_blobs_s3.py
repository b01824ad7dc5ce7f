"""What only an S3 server does: being prepared, being elsewhere, and refusing."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
import pytest
from aiohttp import ClientSession
from yarl import URL

from fsharechat.blobs import BUCKETS, BlobsError, BlobsMisconfigured
from fsharechat.blobs.s3 import S3Blobs
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import BlobsSettings as Settings
from tests.unit.blobs.blobs_kit import make_uploaders
from tools.wire.proxy import Proxy

pytestmark = pytest.mark.slow

ORIGIN = "https://chat.example"
BUCKET = BUCKETS[MediaType.FAVORITE]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[S3Blobs]:
    blobs = S3Blobs(settings, (ORIGIN,), make_uploaders())
    try:
        await blobs.open()
        yield blobs
    finally:
        await blobs.close()


@asynccontextmanager
async def operator(settings: Settings) -> AsyncIterator[Any]:
    session = aioboto3.Session(settings.access_key, settings.secret_key)
    async with session.client("s3", endpoint_url=settings.url, region_name=settings.region) as client:
        yield client


async def test_it_makes_what_is_missing_also_when_several_do_so_at_once(s3: Settings) -> None:
    async with opened(s3), operator(s3) as client:
        for bucket in BUCKETS.values():
            objects = (await client.list_objects_v2(Bucket=bucket)).get("Contents", [])
            for one in objects:
                await client.delete_object(Bucket=bucket, Key=one["Key"])
            await client.delete_bucket(Bucket=bucket)
    several = [S3Blobs(s3, (ORIGIN,), make_uploaders()) for _ in range(4)]
    try:
        await asyncio.gather(*(one.open() for one in several))
        for kind in MediaType:
            address = await several[0].put(kind, "a.txt", b"x", "text/plain")
            async with ClientSession() as http, http.get(address) as answer:
                assert (answer.status, await answer.read()) == (200, b"x")
    finally:
        for one in several:
            await one.close()


async def test_a_policy_of_the_operators_own_is_left_as_it_is(s3: Settings) -> None:
    own = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/public/*"],
    }
    async with opened(s3) as blobs, operator(s3) as client, ClientSession() as http:
        await client.put_bucket_policy(
            Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [own]})
        )
        try:
            await blobs.open()
            for key, status in (("public/a.txt", 200), ("a.txt", 403)):
                address = await blobs.put(MediaType.FAVORITE, key, b"x", "text/plain")
                async with http.get(address) as answer:
                    assert answer.status == status
        finally:
            await client.delete_bucket_policy(Bucket=BUCKET)


async def test_strangers_read_files_and_cannot_list_them(s3: Settings) -> None:
    async with opened(s3) as blobs, ClientSession() as http:
        address = await blobs.put(MediaType.FILE, "a.txt", b"x", "text/plain")
        for url in (address.rpartition("/")[0], f"{address.rpartition('/')[0]}?list-type=2"):
            async with http.get(url) as answer:
                assert answer.status == 403


async def test_a_page_of_an_allowed_origin_may_put_a_file(s3: Settings) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    async with opened(s3) as blobs, ClientSession() as http:
        upload = await blobs.upload_url(MediaType.IMAGE, "page.png", "ann")
        async with http.options(upload.url, headers=headers) as answer:
            assert answer.status in (200, 204)
            assert answer.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")
            assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
            assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
        async with http.put(upload.url, data=b"x", headers={"Origin": ORIGIN}) as answer:
            assert answer.status == 200
            assert answer.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")


async def test_clients_are_sent_to_the_public_address(s3: Settings) -> None:
    port = URL(s3.url).port
    elsewhere = s3.model_copy(update={"public_url": f"http://localhost:{port}/"})
    async with opened(elsewhere) as blobs, ClientSession() as http:
        upload = await blobs.upload_url(MediaType.FILE, "../a b.txt", "ann")
        assert (upload.server, upload.port) == ("localhost", port)
        assert upload.url.startswith(f"http://localhost:{port}/minio-bucket-file-name/~")
        async with http.put(upload.url, data=b"x") as answer:
            assert answer.status == 200
        async with http.get(f"{upload.domain}/../a b.txt") as answer:
            assert (answer.url.host, await answer.read()) == ("localhost", b"x")


async def test_a_wrong_credential_is_said_to_be_one(s3: Settings) -> None:
    for wrong in ({"secret_key": "wrong"}, {"access_key": "nobody"}):
        with pytest.raises(
            BlobsMisconfigured, match="are access_key and secret_key those of this server"
        ) as caught:
            async with opened(s3.model_copy(update=wrong)):
                pass
        assert s3.url in str(caught.value)
        assert s3.secret_key not in str(caught.value)


async def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BlobsError, match=url) as caught:
            async with opened(Settings(url=url, access_key="a", secret_key="b")):
                pass
        assert not isinstance(caught.value, BlobsMisconfigured)


async def test_it_opens_when_a_server_that_was_away_has_come(s3: Settings) -> None:
    there = URL(s3.url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        blobs = S3Blobs(
            s3.model_copy(update={"url": "http://{}:{}".format(*taken.getsockname())}), (), make_uploaders()
        )
        with pytest.raises(BlobsError):
            await blobs.open()
        proxy = Proxy(f"{there.host}:{there.port}", taken)
        await proxy.open()
        try:
            await blobs.open()
            address = await blobs.put(MediaType.FILE, "late.txt", b"x", "text/plain")
            async with ClientSession() as http, http.get(address) as answer:
                assert await answer.read() == b"x"
            await blobs.close()
        finally:
            await proxy.close()
