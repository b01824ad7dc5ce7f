"""Calls over TLS: between processes with certificates of one authority, and no others."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Reply, RpcError, tcp_server
from fsharechat.settings_types import RpcTls
from fsharechat.tls import TlsError
from tests.unit.rpc.rpc_cluster import SECRET, Cluster, process_tls, until
from tests.unit.rpc.rpc_kit import call, echo
from tools.services.certificates import Authority
from tools.testing.server import BOUND
from tools.wire.port import StreamPort, connection

Test = Callable[..., Coroutine[Any, Any, None]]


def on_both_loops(test: Test) -> Callable[..., None]:
    """Run a test on the loop of tests and on that of the server: their TLS is not the same."""
    parameters = [each for each in signature(test).parameters.values() if each.name != "cluster"]

    def run(loop_factory: Callable[[], asyncio.AbstractEventLoop], **fixtures: object) -> None:
        async def within() -> None:
            async with Cluster() as cluster:
                await test(cluster, **fixtures)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(within())

    update_wrapper(run, test)
    del run.__dict__["__wrapped__"]
    run.__dict__["__signature__"] = Signature(
        [Parameter("loop_factory", Parameter.POSITIONAL_OR_KEYWORD), *parameters]
    )
    loops = pytest.mark.parametrize(
        "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    return loops(run)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "stranger")


def reason(logs: list[Any], event: str) -> str:
    return next((str(line["reason"]) for line in logs if line["event"] == event), "")


async def refused(cluster: Cluster, callee: RpcTls, caller: RpcTls) -> tuple[str, str]:
    """Have a process without luck call another; return why, as the caller and as the callee logs it."""
    cluster.tls = callee
    await (await cluster.group()).serve(echo)
    cluster.tls = caller
    with capture_logs() as logs:
        rpc = await cluster.caller()
        told = ("group process not reached", "rpc connection closed")
        await until(lambda: all(reason(logs, event) for event in told))
        assert await rpc.call(call()) == Reply(Code.SERVER_ERROR)
    assert SECRET not in str(logs)
    return reason(logs, told[0]), reason(logs, told[1])


@on_both_loops
async def test_calls_go_over_tls_and_nothing_else(cluster: Cluster, authority: Authority) -> None:
    cluster.tls = process_tls(authority, "group")
    group, wire = await cluster.wired_group()
    await group.serve(echo)
    cluster.tls = process_tls(authority, "connector")
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    body = b"what nobody is to read" * 1000
    assert (await caller.call(call(body))).payload == body
    assert body[:22] not in wire.seen
    assert len(wire.seen) > 2 * len(body)


@on_both_loops
async def test_a_caller_without_tls(
    cluster: Cluster, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp_server, "PATIENCE", 0.05)
    there, here = await refused(cluster, process_tls(authority), RpcTls())
    assert there == "it speaks TLS only, and we have no certificate ([rpc.tls])"
    assert here == "it does not begin with TLS, without which nobody may call ([rpc.tls])"


@on_both_loops
async def test_a_callee_without_tls(cluster: Cluster, authority: Authority) -> None:
    there, here = await refused(cluster, RpcTls(), process_tls(authority))
    assert there == "it speaks no TLS ([rpc.tls])"
    assert here == "it speaks TLS, and we have no certificate ([rpc.tls])"


@on_both_loops
async def test_a_caller_of_another_authority(
    cluster: Cluster, authority: Authority, stranger: Authority
) -> None:
    caller = process_tls(stranger).model_copy(update={"ca": str(authority.certificate)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsharechat.tls.prove", lambda *_, **__: None)
        there, here = await refused(cluster, process_tls(authority), caller)
    assert there == "it hung up after the TLS handshake: it may not trust our certificate ([rpc.tls])"
    assert here == "its certificate is not signed by our ca ([rpc.tls])"


@on_both_loops
async def test_a_callee_of_another_authority(
    cluster: Cluster, authority: Authority, stranger: Authority
) -> None:
    there, here = await refused(cluster, process_tls(stranger), process_tls(authority))
    assert there == "its certificate is not signed by our ca ([rpc.tls])"
    assert here == "it hung up in the TLS handshake: it may not trust our certificate ([rpc.tls])"


@on_both_loops
async def test_a_certificate_that_has_expired(cluster: Cluster, authority: Authority) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsharechat.tls.prove", lambda *_, **__: None)
        there, here = await refused(
            cluster, process_tls(authority, "old", days=-1), process_tls(authority, "new")
        )
    assert there == "its certificate has expired ([rpc.tls])"
    assert here == "it hung up in the TLS handshake: it may not trust our certificate ([rpc.tls])"


@on_both_loops
async def test_another_secret_is_refused_over_tls_too(cluster: Cluster, authority: Authority) -> None:
    cluster.tls = process_tls(authority)
    await (await cluster.group()).serve(echo)
    cluster.secret = "another secret"
    with capture_logs() as logs:
        await cluster.caller()
        await until(lambda: bool(reason(logs, "rpc connection closed")))
        await until(lambda: bool(reason(logs, "group process not reached")))
    assert "cluster secret" in reason(logs, "rpc connection closed")
    assert "cluster secret" in reason(logs, "group process not reached")


@on_both_loops
async def test_who_stands_between_with_a_certificate_of_the_authority_proves_nothing(
    cluster: Cluster, authority: Authority
) -> None:
    cluster.tls = process_tls(authority, "group")
    group = cluster.make(listen=True)
    await group.open()
    await group.serve(echo)
    between = process_tls(authority, "between")

    def context(side: int) -> ssl.SSLContext:
        made = ssl.SSLContext(side)
        made.check_hostname = False
        made.load_verify_locations(between.ca)
        made.load_cert_chain(between.certificate, between.key)
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    async def move(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with connection(group.address, context(ssl.PROTOCOL_TLS_CLIENT)) as (there, back):
            ways = [asyncio.create_task(move(reader, back)), asyncio.create_task(move(there, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async with StreamPort(relay, context(ssl.PROTOCOL_TLS_SERVER)) as middle:
        await cluster.announce(middle.address)
        with capture_logs() as logs:
            await cluster.caller()
            await until(lambda: bool(reason(logs, "group process not reached")))
        assert "cluster secret" in reason(logs, "group process not reached")


@on_both_loops
async def test_the_address_counts_where_it_is_to(cluster: Cluster, authority: Authority) -> None:
    cluster.tls = process_tls(authority, "group")  # names no address
    await (await cluster.group()).serve(echo)
    named = authority.issue("named")
    files = {"certificate": str(named.certificate), "key": str(named.key), "ca": str(authority.certificate)}
    cluster.tls = RpcTls(**files, verify_host=True)
    with capture_logs() as logs:
        caller = await cluster.caller()
        await until(lambda: bool(reason(logs, "group process not reached")))
        assert "127.0.0.1" in reason(logs, "group process not reached")
        await (await cluster.group()).serve(echo)  # its certificate names the address
        await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert (await caller.call(call(b"open"))).payload == b"open"


@on_both_loops
async def test_a_certificate_that_others_would_refuse_stops_the_start(
    cluster: Cluster, authority: Authority, stranger: Authority
) -> None:
    cluster.tls = process_tls(authority, days=-1)
    for listen in (True, False):
        with pytest.raises(RpcError, match=r"\[rpc.tls\] certificate = '.*process.pem' has expired"):
            await cluster.make(listen=listen).open()
    cluster.tls = process_tls(stranger).model_copy(update={"ca": str(authority.certificate)})
    with pytest.raises(RpcError, match=r"\[rpc.tls\] certificate = '.*' is not signed by ca = '.*ca.pem'"):
        await cluster.make(listen=False).open()


@on_both_loops
async def test_connections_without_a_handshake_do_not_outlive_the_process(
    cluster: Cluster, authority: Authority
) -> None:
    cluster.tls = process_tls(authority)
    group = await cluster.group()
    async with asyncio.timeout(BOUND), connection(group.address) as (reader, _):
        await group.close()
        assert await reader.read() == b""


@on_both_loops
async def test_a_connection_that_was_accepted_just_now_does_not_outlive_the_port(
    cluster: Cluster, authority: Authority
) -> None:
    cluster.tls = process_tls(authority)
    group = await cluster.group()
    host, _, port = group.address.rpartition(":")
    gate = group.server._gate
    assert gate is not None
    with socket.create_connection((host, int(port)), timeout=10) as client:
        gate._accept()
        await gate.close()  # before the handshake's task has run for the first time
        assert client.recv(1) == b""


@on_both_loops
async def test_a_renewed_certificate_is_for_new_connections(cluster: Cluster, authority: Authority) -> None:
    cluster.tls = process_tls(authority, "group")
    group = await cluster.group()
    await group.serve(echo)
    cluster.tls = process_tls(authority, "connector")
    first, second = await cluster.caller(), await cluster.caller()
    await asyncio.wait_for(first.wait_ready(), BOUND)
    process_tls(authority, "group")  # other files in the place of the first
    assert group.renew() is not None
    third = await cluster.caller()
    for caller in (first, second, third):
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        assert (await caller.call(call(b"body"))).payload == b"body"
    assert group.server.connections == 3


@on_both_loops
async def test_a_certificate_that_others_would_refuse_is_not_taken(
    cluster: Cluster, authority: Authority
) -> None:
    cluster.tls = process_tls(authority, "group")
    group = await cluster.group()
    await group.serve(echo)
    process_tls(authority, "group", days=-1)
    with pytest.raises(TlsError, match="has expired"):
        group.renew()
    cluster.tls = process_tls(authority, "connector")
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert (await caller.call(call(b"body"))).payload == b"body"
