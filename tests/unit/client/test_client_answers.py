"""A bot that is a robot: its answer goes out in pieces, then as a message, whatever becomes of the pieces."""

import time
from typing import Any

import pytest

from fsharechat.client import Client, Options, RequestError
from fsharechat.client import answers as module
from fsharechat.protocol.signals import Code, SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, FakePeer, PeerSilence

FAST = Options.fast()


def pieces(peer: FakePeer) -> list[tuple[str, int]]:
    return [(part.delta, part.done) for part in peer.asked(SubSignal.SRA)]


def accept(sub: SubSignal, _: Any) -> tuple[int, None] | None:
    return (0, None) if sub is SubSignal.SRA else None


def texts(peer: FakePeer) -> list[str]:
    return [message.content.searchable_content for message in peer.asked(SubSignal.MS)]


async def test_an_answer_is_streamed_and_then_sent(
    peer: FakePeer, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACE_SECONDS", 0)
    peer.rule = accept
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        async with client.answering(FRIEND) as answer:
            await answer.write("Let me ")
            await answer.write("think.")
        assert answer.sent is not None
    assert pieces(peer) == [("", 0), ("Let me ", 0), ("think.", 0), ("", 1)]
    asked = peer.asked(SubSignal.SRA)
    assert {(part.target_uid, part.stream_id) for part in asked} == {(FRIEND, answer.id)}
    assert texts(peer) == ["Let me think."]
    assert peer.requests[-1][0] is SubSignal.MS


async def test_pieces_that_come_fast_are_put_together_and_large_ones_cut(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACE_SECONDS", 1e6)
    monkeypatch.setattr(module, "_MAX_PIECE", 3)
    peer.rule = accept
    async with (
        Client(CREDENTIALS, **peer.address("tcp"), options=FAST) as client,
        client.answering(FRIEND) as answer,
    ):
        answer._last = time.monotonic()
        for letter in "abcdefg":
            await answer.write(letter)
    assert pieces(peer) == [("", 0), ("abc", 0), ("def", 0), ("g", 0), ("", 1)]


async def test_a_piece_that_is_lost_with_the_connection_is_in_the_message(
    peer: FakePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACE_SECONDS", 0)

    def rule(sub: SubSignal, body: Any) -> Any:
        return PeerSilence.DROP if sub is SubSignal.SRA and body.delta == "lost" else accept(sub, body)

    peer.rule = rule
    async with Client(CREDENTIALS, **peer.address("tcp"), options=FAST) as client:
        async with client.answering(FRIEND) as answer:
            await answer.write("lost")
            await peer.until_sessions(2)
        await peer.until(lambda: bool(texts(peer)))
    assert texts(peer) == ["lost"]


async def test_a_body_that_fails_ends_the_stream_with_what_has_come(peer: FakePeer) -> None:
    peer.rule = accept
    async with Client(CREDENTIALS, **peer.address("tcp"), options=FAST) as client:

        async def fail() -> None:
            async with client.answering(FRIEND) as answer:
                await answer.write("half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
    assert pieces(peer)[-1] == ("", 1)
    assert texts(peer) == ["half"]


async def test_who_is_no_robot_is_told_so(peer: FakePeer) -> None:
    peer.rule = lambda sub, _: (Code.NO_RIGHT, None) if sub is SubSignal.SRA else None
    async with Client(CREDENTIALS, **peer.address("tcp"), options=FAST) as client:
        with pytest.raises(RequestError) as refused:
            await client.answering(FRIEND).__aenter__()
    assert refused.value.code == Code.NO_RIGHT
    assert texts(peer) == []
