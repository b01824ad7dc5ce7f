"""Who may call: processes that know the cluster secret, and nobody else."""

import asyncio
import secrets
import socket
from dataclasses import replace
from struct import pack

import pytest
from structlog.testing import capture_logs

from fsharechat.protocol import frames
from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, RpcError, codec
from fsharechat.rpc.codec import NEWEST
from tests.unit.rpc.rpc_cluster import BY_HAND, PATIENT, SECRET, Cluster
from tests.unit.rpc.rpc_kit import call, echo
from tests.unit.rpc.rpc_raw import RawCallees, RawCaller
from tools.testing.logs import lines, until_logged
from tools.testing.server import BOUND


async def test_an_empty_secret_stops_the_start(cluster: Cluster) -> None:
    cluster.secret = ""
    with pytest.raises(RpcError, match="cluster_secret"):
        await cluster.make(listen=False).open()


async def test_a_wildcard_is_no_address_for_others(cluster: Cluster) -> None:
    rpc = cluster.make(listen=True, host="0.0.0.0")
    with pytest.raises(RpcError, match=r"\[rpc\] host"):
        await rpc.open()


@pytest.mark.parametrize("advertise", ["localhost", "127.0.0.1", "127.0.0.1:{port}"])
async def test_others_are_told_what_is_advertised(cluster: Cluster, advertise: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = cluster.make(listen=True, host="0.0.0.0", port=port, advertise=advertise.format(port=port))
    await group.open()
    host = advertise.partition(":")[0]
    assert group.address == f"{host}:{port}"
    await cluster.announce(group.address)
    await group.serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert (await caller.call(call(b"open"))).payload == b"open"


async def test_behind_nat_host_and_port_are_others_than_it_listens_on(cluster: Cluster) -> None:
    rpc = cluster.make(listen=True, advertise="[2001:db8::7]:9000")
    await rpc.open()
    assert rpc.address == "[2001:db8::7]:9000"


async def test_a_port_that_is_taken_is_named(cluster: Cluster) -> None:
    port = int((await cluster.group()).address.rpartition(":")[2])
    with pytest.raises(RpcError, match=rf"\[rpc\] port {port} on 127.0.0.1: .*in use"):
        await cluster.make(listen=True, port=port).open()


async def test_what_did_not_open_can_be_opened_later(cluster: Cluster) -> None:
    holder = await cluster.group()
    rpc = cluster.make(listen=True, port=int(holder.address.rpartition(":")[2]))
    with pytest.raises(RpcError):
        await rpc.open()
    await holder.close()
    await rpc.open()
    await cluster.announce(rpc.address)
    await rpc.serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    assert (await caller.call(call(b"open"))).payload == b"open"


async def test_only_who_serves_has_an_address(cluster: Cluster) -> None:
    group = await cluster.group()
    host, _, port = group.address.rpartition(":")
    assert host == "127.0.0.1"
    assert 0 < int(port) < 65_536
    assert "process" in (await cluster.caller()).address


async def test_with_another_secret_nobody_gets_through(cluster: Cluster) -> None:
    desk = cluster.desk()
    group = await cluster.group()
    await group.serve(desk)
    cluster.secret = "another secret"
    with capture_logs() as logs:
        stranger = await cluster.caller()
        await until_logged(logs, "group process not reached")
        await until_logged(logs, "rpc connection closed")
    assert "cluster secret" in lines(logs, "group process not reached")[0]["reason"]
    assert "cluster secret" in lines(logs, "rpc connection closed")[0]["reason"]
    assert SECRET not in str(logs)
    assert await stranger.call(call()) == Reply(Code.SERVER_ERROR)
    cluster.secret = SECRET
    friend = await cluster.caller()
    await asyncio.wait_for(friend.wait_ready(), BOUND)
    assert desk.calls == []


async def test_the_same_failure_is_told_once(cluster: Cluster) -> None:
    await (await cluster.group()).serve(echo)
    cluster.secret = "another secret"
    with capture_logs() as logs:
        await cluster.caller()
        await until_logged(logs, "rpc connection closed", 3)
    assert len(lines(logs, "group process not reached")) == 1


@pytest.mark.parametrize("kind", ["nothing", "its own", "random"])
async def test_a_callee_that_does_not_know_the_secret_gets_no_call(cluster: Cluster, kind: str) -> None:
    async with RawCallees() as callees:
        with capture_logs() as logs:
            await cluster.announce(callees.address)
            caller = await cluster.caller()
            raw = await callees.next()
            nonce = secrets.token_bytes(codec.NONCE_SIZE)
            raw.writer.write(codec.encode_challenge(codec.Challenge(NEWEST, nonce), NEWEST))
            proof = codec.decode_proof((await raw.frame()).body)
            mac = {"nothing": bytes(32), "its own": proof.mac, "random": secrets.token_bytes(32)}[kind]
            raw.writer.write(codec.encode_accepted(codec.Accepted(mac, 1 << 20)))
            raw.writer.write(codec.encode_notice(codec.ServiceNotice.SERVING))
            assert await raw.closed() == b""
            await until_logged(logs, "group process not reached")
        assert "does not know the cluster secret" in lines(logs, "group process not reached")[0]["reason"]
        assert await caller.call(call()) == Reply(Code.SERVER_ERROR)


async def test_a_callee_cannot_skip_the_handshake(cluster: Cluster) -> None:
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        caller = await cluster.caller()
        raw = await callees.next()
        raw.writer.write(codec.encode_notice(codec.ServiceNotice.SERVING))
        assert await raw.closed() == b""
        assert await caller.call(call()) == Reply(Code.SERVER_ERROR)


async def test_another_version_is_told(cluster: Cluster) -> None:
    async with RawCallees() as callees:
        with capture_logs() as logs:
            await cluster.announce(callees.address)
            await cluster.caller()
            raw = await callees.next()
            raw.writer.write(frames.encode(Signal.AUTH, codec.AuthStep.CHALLENGE, 0, b"\x09anything"))
            await until_logged(logs, "group process not reached")
        assert "version 9" in lines(logs, "group process not reached")[0]["reason"]


async def test_a_proof_does_not_serve_twice(cluster: Cluster) -> None:
    await (group := await cluster.group()).serve(echo)
    first, second = await RawCaller.connect(group.address), await RawCaller.connect(group.address)
    nonce = bytes(32)
    mac = codec.caller_mac(SECRET.encode(), (await first.challenge()).nonce, nonce)
    proof = codec.encode_proof(codec.Proof(nonce, mac, 1 << 20), NEWEST)
    first.writer.write(proof)
    assert (await first.frame()).sub_signal == codec.AuthStep.ACCEPTED
    await second.challenge()
    second.writer.write(proof)
    assert (await second.frame()).signal == Signal.DISCONNECT
    assert await second.closed() == b""
    first.close()


CALL = codec.encode_call(1, Call(18, "ann", "phone", b""), 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        CALL,
        codec.encode_probe(codec.Probe.PING),
        codec.encode_notice(codec.ServiceNotice.DRAIN_HEARD),
        frames.encode(Signal.AUTH, codec.AuthStep.PROOF, 0, b"short"),
        frames.encode(Signal.AUTH, codec.AuthStep.PROOF, 0, bytes(codec.HANDSHAKE_BODY + 1)),
        pack(">BBBiBH", 0xF8, 2, Signal.AUTH, codec.HANDSHAKE_BODY + 1, 1, 0),
    ],
    ids=[
        "http",
        "a call",
        "a ping",
        "a notice",
        "a short proof",
        "a long proof",
        "the start of a long proof",
    ],
)
async def test_a_stranger_is_shown_out(cluster: Cluster, data: bytes) -> None:
    desk = cluster.desk()
    group = await cluster.group()
    await group.serve(desk)
    with capture_logs() as logs:
        stranger = await RawCaller.connect(group.address)
        await stranger.challenge()
        stranger.writer.write(data)
        assert await stranger.closed() == b""
        await until_logged(logs, "rpc connection closed")
    assert len(logs) == 1
    assert "no handshake" not in logs[0]["reason"]  # at once, not when the time for the handshake is over
    assert desk.calls == []


async def test_a_stranger_that_says_nothing_is_shown_out(cluster: Cluster) -> None:
    cluster.limits = BY_HAND
    await (group := await cluster.group()).serve(echo)
    stranger = await RawCaller.connect(group.address)
    await stranger.challenge()
    for _ in range(BY_HAND.silent_ticks + 1):
        group.tick()
    assert await stranger.closed() == b""


async def test_a_callee_that_says_nothing_is_told(cluster: Cluster) -> None:
    cluster.limits = replace(PATIENT, silent_ticks=5)
    async with RawCallees() as callees:
        with capture_logs() as logs:
            await cluster.announce(callees.address)
            await cluster.caller()
            raw = await callees.next()
            assert await raw.closed() == b""
            await callees.next()  # it tries again
        assert "no answer" in lines(logs, "group process not reached")[0]["reason"]


@pytest.mark.parametrize(
    "data",
    [
        b"no frame",
        frames.encode(Signal.PUBLISH, 0, 1, b"no call"),
        frames.encode(Signal.PUBLISH, 0, 1, pack(">BBHHqI", 18, 0, 99, 99, 0, 1000)),
        frames.encode(Signal.PUB_ACK, 0, 1, b"\x00"),
        pack(">BBBiBH", 0xF8, 2, Signal.PUBLISH, 5 << 20, 0, 1),
    ],
    ids=["no frame", "a short call", "long ids", "a reply", "a huge call"],
)
async def test_a_caller_that_talks_nonsense_loses_its_connection_alone(cluster: Cluster, data: bytes) -> None:
    group = await cluster.group()
    await group.serve(echo)
    caller = await cluster.caller()
    await asyncio.wait_for(caller.wait_ready(), BOUND)
    with capture_logs() as logs:
        bad = await RawCaller.connect(group.address)
        await bad.shake_hands()
        bad.writer.write(data)
        assert await bad.closed() == b""
        assert await caller.call(call(b"still here")) == Reply(Code.SUCCESS, b"still here")
    assert [line["event"] for line in logs] == ["rpc connection closed"]


async def test_a_callee_that_answers_what_was_not_asked_loses_its_connection(cluster: Cluster) -> None:
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        caller = await cluster.caller()
        raw = await callees.shaken()
        await asyncio.wait_for(caller.wait_ready(), BOUND)
        raw.writer.write(codec.encode_reply(77, Reply(Code.SUCCESS)))
        await raw.closed()  # on a busy machine a ping comes first
        await callees.shaken()
