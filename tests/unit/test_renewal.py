"""Certificates towards the store, the bus and other processes follow their files while connections are open."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fsharechat import urls
from fsharechat.bus.kafka_access import Access
from fsharechat.renewal import Renewal
from fsharechat.settings_types import ServiceTls
from fsharechat.store.mysql_connection import Hosts
from fsharechat.tls import TlsError
from tools.services.certificates import Authority
from tools.testing.logs import until_logged
from tools.testing.server import BOUND
from tools.wire.port import StreamPort, Streams, connection

Made = tuple[ssl.SSLContext, Callable[[], float | None]]


def of_the_store(tls: ServiceTls) -> Made:
    hosts = Hosts(urls.parse("mysql://user:password@127.0.0.1/db", "mysql", 3306), tls)
    context = hosts._tls()
    assert context is not None
    return context, hosts.renew


def of_the_bus(tls: ServiceTls) -> Made:
    access = Access("127.0.0.1:9092", tls=tls)
    return access.options["ssl_context"], access.renew


class Service:
    """A server that wants a certificate of its clients, and knows the name in each that it was shown."""

    def __init__(self, authority: Authority) -> None:
        self.shown: list[str] = []
        pair = authority.issue("server")
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(*pair)

    async def __aenter__(self) -> "Service":
        self._port = StreamPort(self._serve, self._context)
        await self._port.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._port.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = dict(part[0] for part in writer.get_extra_info("peercert")["subject"])
        self.shown.append(subject["commonName"])
        while line := await reader.readline():
            writer.write(line)

    def connect(self, context: ssl.SSLContext) -> AbstractAsyncContextManager[Streams]:
        return connection(self._port.address, context)


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"hello\n")
    return await reader.readline() == b"hello\n"


def put(authority: Authority, folder: Path, name: str) -> ServiceTls:
    """Put a certificate of that name, and its key, where the settings have them."""
    made = authority.issue(name)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    for file, there in zip(made, (certificate, key), strict=True):
        new = there.with_suffix(".new")
        new.write_bytes(file.read_bytes())
        new.replace(there)
    return ServiceTls(certificate=str(certificate), key=str(key), ca=str(authority.certificate))


@pytest.mark.parametrize("make", [of_the_store, of_the_bus])
async def test_new_connections_show_the_new_certificate_and_open_ones_stay(
    make: Callable[[ServiceTls], Made], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    context, renew = make(put(authority, tmp_path, "old"))
    async with asyncio.timeout(BOUND), Service(authority) as service:
        async with service.connect(context) as first:
            assert await echoes(*first)
            put(authority, tmp_path, "new")
            assert renew() is not None
            async with service.connect(context) as second:
                assert await echoes(*second)
            assert await echoes(*first)
        assert service.shown == ["old", "new"]


@pytest.mark.parametrize("make", [of_the_store, of_the_bus])
@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("certificate.pem", b"no PEM", "certificate: must be the path of a PEM file with a certificate"),
        ("key.pem", b"no PEM", "key: must be the path of a PEM file with a private key"),
        ("key.pem", None, "key: must be the key of the certificate"),
    ],
)
async def test_files_that_do_not_fit_leave_the_old_certificate_in_use(
    make: Callable[[ServiceTls], Made], tmp_path: Path, file: str, content: bytes | None, reason: str
) -> None:
    authority = Authority(tmp_path / "authority")
    context, renew = make(put(authority, tmp_path, "old"))
    (tmp_path / file).write_bytes(authority.issue("other").key.read_bytes() if content is None else content)
    with pytest.raises(TlsError, match=reason):
        renew()
    async with asyncio.timeout(BOUND), Service(authority) as service:
        async with service.connect(context) as streams:
            assert await echoes(*streams)
        assert service.shown == ["old"]


async def test_a_broken_file_is_one_line_and_looked_at_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    file.write_bytes(b"good")

    def renew() -> float:
        if file.read_bytes() == b"bad":
            raise TlsError("it is bad")
        return 0.0

    renewal = Renewal("rpc.tls", [str(file)], renew, look_seconds=3600)
    renewal.watch()
    with capture_logs() as logs:
        file.write_bytes(b"bad")
        renewal.look()
        (line,) = await until_logged(logs, "certificate not renewed")
        assert (line["section"], line["reason"]) == ("rpc.tls", "it is bad")
        renewal.look()
        file.write_bytes(b"better")
        renewal.look()
        (line,) = await until_logged(logs, "certificate renewed")
        assert (line["section"], line["expires"]) == ("rpc.tls", "1970-01-01T00:00:00+00:00")
    assert len(logs) == 2
    await renewal.close()
