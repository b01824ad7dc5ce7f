"""A cluster whose calls and whose database go over TLS: two people talk, and nobody without a certificate gets in."""

import asyncio
import json
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conversation import converse
from tools.services.certificates import Authority
from tools.services.places import ROOT
from tools.testing.cluster import LiveCluster, new_numbers
from tools.testing.server import BOUND, until

pytestmark = pytest.mark.slow

TEXTS = 100


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def sealed(authority: Authority) -> Iterator[LiveCluster]:
    """A cluster of two connectors and two group processes with [rpc.tls] and [store.tls]."""
    cluster = LiveCluster(f"test-cluster-{os.getpid()}-tls")
    pair = authority.issue("process")
    settings = {
        "FSHARECHAT_RPC__TLS__CA": str(authority.certificate),
        "FSHARECHAT_RPC__TLS__CERTIFICATE": str(pair.certificate),
        "FSHARECHAT_RPC__TLS__KEY": str(pair.key),
        "FSHARECHAT_STORE__TLS__CA": str(ROOT / ".cache/services" / cluster.name / "mariadb/tls/ca.pem"),
    }
    try:
        yield cluster.up(2, 2, settings=settings)
    finally:
        cluster.down()


async def test_two_people_talk_also_when_certificates_are_renewed(
    sealed: LiveCluster, authority: Authority
) -> None:
    await talk(sealed)

    host, port = sealed.info()["members"]["group-0"]["addresses"]["rpc"].split(":")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await answered(host, int(port), ssl.create_default_context(cafile=str(authority.certificate)))

    old = shown(host, int(port))
    authority.issue("process")
    for pid in sealed.pids().values():
        assert pid is not None
        os.kill(pid, signal.SIGHUP)
    await until(lambda: all(map(renewed, map(sealed.log, sealed.names()))), "a process has renewed nothing")
    assert shown(host, int(port)) != old
    sealed.restart("group-1")  # its callers connect again, and it calls others
    await talk(sealed)


async def talk(sealed: LiveCluster) -> None:
    await converse(
        sealed.at(0),
        sealed.code_for,
        elsewhere=sealed.at(1),
        online=sealed.until_known,
        anna_by="tcp",
        ben_by="ws",
        numbers=new_numbers(2),
        texts=TEXTS,
    )
    assert sealed.faults() == []


def renewed(log: str) -> bool:
    lines = (json.loads(line) for line in log.splitlines() if line.startswith("{"))
    return any(line["event"] == "certificate renewed" and line["section"] == "rpc.tls" for line in lines)


def shown(host: str, port: int) -> str:
    """Return the certificate that a new connection is shown."""
    return ssl.get_server_certificate((host, port))


async def answered(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """Return the first byte that a caller gets. With TLS 1.3 a refusal comes behind the handshake."""
    async with asyncio.timeout(BOUND):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            return await reader.readexactly(1)
        finally:
            writer.close()
