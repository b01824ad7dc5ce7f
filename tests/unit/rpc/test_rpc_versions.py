"""Processes of several versions together: each pair settles on the highest that both speak."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from structlog.typing import EventDict

from fsharechat.protocol import frames
from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.codec import NEWEST, SPOKEN, Codec, CodecError, range_of
from fsharechat.rpc.tcp import TcpRpc
from fsharechat.versions import Range
from tests.unit.rpc.rpc_cluster import SECRET, Cluster
from tests.unit.rpc.rpc_kit import call, echo
from tests.unit.rpc.rpc_raw import RawCallees, RawCaller
from tools.testing.logs import lines, until_logged
from tools.testing.server import BOUND


class Earlier(Codec):
    """A version in which bodies and answers were written the other way round, but for answers of method 19."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    def encode_call(self, number: int, call: Call, milliseconds: int) -> bytes:
        return codec.encode_call(number, call._replace(body=self._mark + call.body), milliseconds)

    def decode_call(self, body: bytes) -> tuple[Call, int]:
        found, milliseconds = codec.decode_call(body)
        return found._replace(body=self._plain(found.body)), milliseconds

    def encode_reply(self, number: int, method: int, reply: Reply) -> bytes:
        if method == 18:
            reply = reply._replace(payload=self._mark + reply.payload)
        return codec.encode_reply(number, reply)

    def decode_reply(self, method: int, body: bytes) -> Reply:
        reply = codec.decode_reply(body)
        return reply._replace(payload=self._plain(reply.payload)) if method == 18 else reply

    def _plain(self, data: bytes) -> bytes:
        if not data.startswith(self._mark):
            raise CodecError(f"not of version {self._mark!r}")
        return data.removeprefix(self._mark)


ALL = {version: Earlier(b"v%d " % version) for version in range(2, 6)}
"""Four versions, of which each refuses what another has written."""


def spoken(oldest: int, newest: int) -> dict[int, Codec]:
    return {version: ALL[version] for version in range(oldest, newest + 1)}


versions = st.tuples(st.integers(1, 20), st.integers(1, 20)).map(lambda pair: Range(min(pair), max(pair)))


@given(versions, versions)
def test_both_sides_settle_on_the_highest_that_both_speak(one: Range, other: Range) -> None:
    both = {*range(one.oldest, one.newest + 1)} & {*range(other.oldest, other.newest + 1)}
    assert one.settle(other) == other.settle(one) == max(both, default=None)


def test_there_is_a_codec_for_each_version_up_to_the_newest() -> None:
    oldest, newest = range_of(SPOKEN)
    assert newest == NEWEST
    assert sorted(SPOKEN) == [*range(oldest, newest + 1)]


async def meet(
    cluster: Cluster, caller: tuple[int, int], group: tuple[int, int], heard: str
) -> tuple[TcpRpc, list[EventDict]]:
    """Have a process ask one of another release; return it, and what it logged under `heard`."""
    cluster.spoken = spoken(*group)
    await (await cluster.group()).serve(echo)
    cluster.spoken = spoken(*caller)
    with capture_logs() as logs:
        asks = await cluster.caller()
        await until_logged(logs, heard)
    return asks, lines(logs, heard)


@pytest.mark.parametrize(
    ("caller", "group", "settled"),
    [((2, 3), (3, 4), 3), ((3, 4), (2, 3), 3), ((2, 2), (2, 3), 2), ((2, 3), (2, 2), 2), ((2, 5), (3, 5), 5)],
)
async def test_two_releases_talk(
    cluster: Cluster, caller: tuple[int, int], group: tuple[int, int], settled: int
) -> None:
    asks, said = await meet(cluster, caller, group, "group process reached")
    await asyncio.wait_for(asks.wait_ready(), BOUND)
    for method in (18, 19):
        asked = call(b"how are you")._replace(method=method)
        assert await asks.call(asked) == Reply(Code.SUCCESS, b"how are you")
    assert [one["version"] for one in said] == [settled]


@pytest.mark.parametrize(("caller", "group"), [((2, 3), (4, 5)), ((4, 5), (2, 3)), ((2, 2), (3, 3))])
async def test_without_a_common_version_the_caller_is_told(
    cluster: Cluster, caller: tuple[int, int], group: tuple[int, int]
) -> None:
    asks, said = await meet(cluster, caller, group, "group process not reached")
    ours, theirs = Range(*caller), Range(*group)
    assert said[0]["reason"] == (
        f"it speaks version {theirs} of the rpc, we speak {ours}: one of us is of another release"
    )
    assert await asks.call(call()) == Reply(Code.SERVER_ERROR)


# The first release that looked at versions spoke one, 2, and knew of no choice. This is how it wrote, byte by byte.


async def test_a_caller_that_knows_of_no_choice_is_served_in_version_2(cluster: Cluster) -> None:
    cluster.spoken = spoken(2, 3)
    group = await cluster.group()
    await group.serve(echo)
    raw = await RawCaller.connect(group.address)
    challenge = await raw.frame()
    assert (challenge.signal, challenge.sub_signal) == (Signal.AUTH, 0)
    assert (challenge.body[0], len(challenge.body)) == (2, 33), "else it refuses or does not read it"
    mac = codec.caller_mac(SECRET.encode(), challenge.body[1:], bytes(32))
    raw.writer.write(frames.encode(Signal.AUTH, 1, 0, bytes(32) + mac + (1 << 20).to_bytes(4, "big")))
    accepted = await raw.frame()
    assert (accepted.sub_signal, len(accepted.body)) == (2, 36)
    assert await raw.notice() == codec.ServiceNotice.SERVING
    raw.call(7, b"v2 hello")
    answer = await raw.frame()
    assert (answer.signal, answer.message_id, answer.body) == (Signal.PUB_ACK, 7, b"\x00v2 hello")
    raw.close()


async def test_a_callee_that_knows_of_no_choice_is_asked_in_version_2(cluster: Cluster) -> None:
    cluster.spoken = spoken(2, 3)
    async with RawCallees() as callees:
        await cluster.announce(callees.address)
        asks = await cluster.caller()
        raw = await callees.next()
        raw.writer.write(frames.encode(Signal.AUTH, 0, 0, b"\x02" + bytes(32)))
        proof = await raw.frame()
        assert (proof.signal, proof.sub_signal, len(proof.body)) == (Signal.AUTH, 1, 68)
        mac = codec.callee_mac(SECRET.encode(), bytes(32), proof.body[:32])
        raw.writer.write(frames.encode(Signal.AUTH, 2, 0, mac + (1 << 20).to_bytes(4, "big")))
        raw.writer.write(codec.encode_notice(codec.ServiceNotice.SERVING))
        await asyncio.wait_for(asks.wait_ready(), BOUND)
        asked = asks.call(call(b"hello"))
        frame = await raw.frame()
        assert codec.decode_call(frame.body)[0].body == b"v2 hello"
        raw.writer.write(frames.encode(Signal.PUB_ACK, 0, frame.message_id, b"\x00v2 well"))
        assert await asked == Reply(Code.SUCCESS, b"well")


async def test_a_caller_cannot_settle_on_what_it_was_not_offered(cluster: Cluster) -> None:
    group = await cluster.group()
    await group.serve(echo)
    raw = await RawCaller.connect(group.address)
    nonce = (await raw.challenge()).nonce
    mac = codec.caller_mac(SECRET.encode(), nonce, bytes(32))
    with capture_logs() as logs:
        raw.writer.write(codec.encode_proof(codec.Proof(bytes(32), mac, 1 << 20), NEWEST + 1))
        assert await raw.closed() == b""
        await until_logged(logs, "rpc connection closed")
    assert f"version {NEWEST + 1}" in lines(logs, "rpc connection closed")[0]["reason"]
