"""Media beside the other things that the api role serves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from fsharechat import settings_schema as s
from fsharechat.node import Node
from fsharechat.protocol.signals import MediaType
from tests.unit.api.api_kit import Site

ORIGIN = "https://chat.example"


async def test_clients_are_sent_to_where_the_api_listens(site: Site) -> None:
    upload = await site.node.blobs.upload_url(MediaType.IMAGE, "a.png", "ann")
    assert upload.domain.startswith(site.node.addresses["http"] + "/media/")
    large = bytes(200_000)  # more than any other request may have
    async with site.http.put(upload.url, data=large) as answer:
        assert answer.status == 200
    async with site.http.get(f"{upload.domain}/a.png") as answer:
        assert await answer.read() == large


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example"])
async def test_pages_of_allowed_origins_alone_may_put_and_read(site: Site, origin: str) -> None:
    upload = await site.node.blobs.upload_url(MediaType.IMAGE, "a.png", "ann")
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type",
    }
    allowed = {origin} if origin == ORIGIN else set()
    async with site.http.options(upload.url, headers=preflight) as answer:
        assert answer.status == (204 if allowed else 403)
        assert set(answer.headers.getall("Access-Control-Allow-Origin", [])) == allowed
        if allowed:
            assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
            assert answer.headers["Access-Control-Allow-Headers"] == "content-type"
    for method, url, status in (
        ("PUT", upload.url, 200),
        ("PUT", upload.url + "0", 403),
        ("GET", f"{upload.domain}/a.png", 200),
        ("GET", f"{upload.domain}/none.png", 404),
    ):
        async with site.http.request(method, url, data=b"x" * 10, headers={"Origin": origin}) as answer:
            assert answer.status == status
            assert set(answer.headers.getall("Access-Control-Allow-Origin", [])) == allowed


def _settings(folder: Path, **sections: Any) -> s.Settings:
    """Return settings of a server in a folder, with ports that are free."""
    return s.Settings(
        node=s.NodeSettings(data=folder / "data"),
        connector=s.ConnectorSettings(tcp_port=0, ws_port=0),
        media=s.MediaSettings(listen="127.0.0.1:0"),
        **sections,
    )


@pytest.mark.parametrize(
    ("host", "public_url", "warned"),
    [("127.0.0.1", "", False), ("0.0.0.0", "", True), ("0.0.0.0", "https://media.example", False)],
)
async def test_an_address_that_leads_nowhere_is_warned_of(
    tmp_path: Path, sqlite_file: Callable[[str], Path], host: str, public_url: str, warned: bool
) -> None:
    sqlite_file("data/fsharechat.db")
    settings = _settings(
        tmp_path, api=s.ApiSettings(host=host, port=0), blobs=s.BlobsSettings(public_url=public_url)
    )
    with capture_logs() as logs:
        async with Node(settings) as node:
            upload = await node.blobs.upload_url(MediaType.IMAGE, "a.png", "ann")
    assert ("[blobs] public_url is not set" in [line["event"] for line in logs]) == warned
    assert upload.domain.startswith(f"{public_url or node.addresses['http']}/media/")
    assert upload.server == (public_url.removeprefix("https://") or host)


async def test_the_bytes_of_a_day_are_counted_in_the_store(
    tmp_path: Path, sqlite_file: Callable[[str], Path]
) -> None:
    sqlite_file("data/fsharechat.db")
    settings = _settings(
        tmp_path, api=s.ApiSettings(port=0), limits=s.LimitsSettings(upload_bytes_per_day=1000)
    )
    async with Node(settings) as node, ClientSession() as http:
        for size, uid, status in ((600, "ann", 200), (401, "ann", 507), (401, "bob", 200), (400, "ann", 200)):
            upload = await node.blobs.upload_url(MediaType.IMAGE, "a.png", uid)
            async with http.put(upload.url, data=bytes(size)) as answer:
                assert (answer.status, uid) == (status, uid)
