"""A database server that offers no TLS gets no password where TLS is wanted."""

import asyncio
from pathlib import Path

import pytest

from fsharechat import urls
from fsharechat.settings_types import ServiceTls
from fsharechat.store.mysql_connection import Hosts, Unreachable
from tools.services.certificates import Authority
from tools.testing.server import BOUND
from tools.wire.port import StreamPort

CLIENT_SSL = 0x0800
CAPABILITIES = 0xF7FF & ~CLIENT_SSL
GREETING = b"".join(
    (
        b"\x0a8.0.0\0" + b"\1\0\0\0" + b"saltsalt\0",
        CAPABILITIES.to_bytes(2, "little") + b"\x2d" + b"\2\0" + b"\x0f\0" + b"\x15" + b"\0" * 10,
        b"saltsaltsalt\0" + b"mysql_native_password\0",
    )
)


@pytest.mark.parametrize("blocking", [False, True])
async def test_tls_is_not_given_up(tmp_path: Path, blocking: bool) -> None:
    heard = b""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(len(GREETING).to_bytes(3, "little") + b"\0" + GREETING)
        heard = await reader.read(1000)
        ended.set()

    async with asyncio.timeout(BOUND), StreamPort(serve) as port:
        url = urls.parse(f"mysql://user:password@{port.address}/db", "mysql", 3306)
        hosts = Hosts(url, ServiceTls(ca=str(Authority(tmp_path).certificate)))
        if blocking:
            who = {"user": "user", "password": "password"}
            with pytest.raises(Exception, match="it speaks no TLS"):
                await asyncio.to_thread(hosts.connect_blocking, host="127.0.0.1", port=port.number, **who)
        else:
            with pytest.raises(Unreachable, match="it speaks no TLS"):
                await hosts.connect()
        await ended.wait()
    assert heard == b""
