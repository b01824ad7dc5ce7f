"""Calls by the client library: what is sent, and what is read from what comes."""

from typing import Any

import orjson
import pytest

from fsharechat.client import CallSignal, Client, IceServer, Options, call_signal, group, private
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, PersistFlag, SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, ME, FakePeer, stored

FAST = Options.fast()


def message(kind: int, data: bytes = b"", *, call_id: str = "id", sender: str = FRIEND) -> pb.Message:
    made = stored(5)
    made.from_user = sender
    made.conversation.CopyFrom(private(ME if sender != ME else FRIEND))
    made.content.CopyFrom(pb.MessageContent(type=kind, content=call_id, data=data))
    return made


def read(kind: int, data: bytes = b"", **how: Any) -> CallSignal:
    signal = call_signal(message(kind, data, **how), ME)
    assert signal is not None
    return signal


@pytest.mark.parametrize(
    ("kind", "data", "audio_only", "said"),
    [
        (400, b'{"t":"me","a":1}', True, {"t": "me", "a": 1}),
        (400, b'{"t":"me"}', False, {"t": "me"}),
        (400, b"?", False, None),
        (401, b"1", True, None),
        (402, b"", False, None),
        (403, b'{"type":"offer","sdp":"v=0"}', False, {"type": "offer", "sdp": "v=0"}),
        (403, b"[]", False, None),
        (404, b"0", False, None),
        (405, b"1", True, None),
    ],
)
def test_each_kind_is_read(kind: int, data: bytes, audio_only: bool, said: Any) -> None:
    signal = read(kind, data)
    assert (signal.kind, signal.audio_only, signal.said) == (kind, audio_only, said)
    assert (signal.conversation, signal.from_user, signal.call_id) == (private(FRIEND), FRIEND, "id")


def test_what_is_no_call_is_none() -> None:
    assert call_signal(message(ContentType.TEXT), ME) is None
    assert call_signal(message(ContentType.TYPING), ME) is None


def test_the_answer_of_another_device_is_in_the_same_conversation() -> None:
    signal = read(405, b"0", sender=ME)
    assert (signal.conversation, signal.from_user) == (private(FRIEND), ME)


async def test_a_call_is_started_answered_and_ended(peer: FakePeer, transport: str) -> None:
    where, group_call = private(FRIEND), group("G")
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        call_id = await client.calls.start(where, audio_only=True)
        await client.calls.start(group_call, to=["a", "b"])
        await client.calls.answer(read(400, call_id="theirs"))
        await client.calls.signal(where, call_id, {"type": "offer", "sdp": "v=0"})
        await client.calls.modify(where, call_id, audio_only=True)
        await client.calls.hang_up(where, call_id)
        await client.calls.leave(group_call)
        await client.calls.hang_up(group_call)
    sent = peer.asked(SubSignal.MS)
    assert [one.content.type for one in sent] == [400, 400, 405, 401, 403, 404, 402, 403, 402]
    assert [one.content.content for one in sent][2:] == ["theirs"] * 2 + [call_id] * 3 + ["", ""]
    start, second = sent[:2]
    assert (start.content.content, orjson.loads(start.content.data)) == (call_id, {"t": FRIEND, "a": 1})
    assert call_id.startswith(FRIEND)
    assert start.content.persist_flag == PersistFlag.STORED_AND_COUNTED or transport == "tcp"
    assert list(second.to) == ["a", "b"]
    assert orjson.loads(sent[7].content.data) == {"type": "leaveRoom"}
    assert all(one.content.persist_flag == PersistFlag.TRANSPARENT for one in sent[2:])


async def test_relays_are_asked_for(peer: FakePeer) -> None:
    told = pb.TurnResult(url=["turn:host"], username="u", credential="p", ttl=9)
    peer.rule = lambda sub, body: (0, told) if sub == SubSignal.TURN else None
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        assert await client.turn() == IceServer(("turn:host",), "u", "p", 9)
