"""Media of a cluster: every process has the same, whichever a client comes to."""

import asyncio

import pytest
from aiohttp import ClientSession

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import MediaType, SubSignal
from tools.testing.cluster import MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in

pytestmark = pytest.mark.slow


async def test_what_is_put_by_one_api_process_is_read_from_the_other(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    (number,) = new_numbers(1)
    apis = [it.at(api).http for api in (0, 1)]
    key = f"{number} 文件.txt"
    domains = set()
    async with ClientSession() as http:
        for transport, connector in (("tcp", 0), ("ws", 1)):
            credentials = await log_in(it.at(connector), number, transport)
            async with Handset(credentials, it.at(connector), transport) as device:
                upload = await device.request(
                    SubSignal.GMURL, pb.GetMinioUploadUrlRequest(type=MediaType.FILE, key=key)
                )
            assert isinstance(upload, pb.GetMinioUploadUrlResult)
            assert upload.url.startswith(apis[0])
            domains.add(upload.domain)
            for api in apis:
                url = upload.url.replace(apis[0], api)
                async with http.put(url, data=f"{transport} {api}".encode()) as answer:
                    assert answer.status == 200
                for other in apis:
                    address = f"{upload.domain.replace(apis[0], other)}/{key}"
                    async with http.get(address) as answer:
                        assert await answer.text() == f"{transport} {api}"
    assert len(domains) == 1


async def test_a_user_has_one_folder_whichever_group_process_is_asked(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    request = pb.GetMinioUploadUrlRequest(type=MediaType.PORTRAIT, key="me.png")
    domains: list[str] = []
    for number in new_numbers(2):
        found = set()
        for connector in (0, 1):
            credentials = await log_in(it.at(connector), number, "tcp")
            async with Handset(credentials, it.at(connector), "tcp") as device:
                # So many at once that each group process gets some.
                asked = [device.request(SubSignal.GMURL, request) for _ in range(40)]
                for upload in await asyncio.gather(*asked):
                    assert isinstance(upload, pb.GetMinioUploadUrlResult)
                    found.add(upload.domain)
        assert len(found) == 1
        domains += found
    assert len(set(domains)) == 2
