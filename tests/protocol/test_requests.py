"""The table of requests: what a client writes the server reads, and what the server writes a client reads."""

import json
import re
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from fsharechat.client import web
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json import decode_request, encode_notification, encode_reply
from fsharechat.protocol.signals import NOTIFICATIONS, REQUESTS, Notification, RequestRow, SubSignal, Unserved
from tests.protocol.test_json_round_trip import any_of, int64s, texts
from tools.conformance import shapes
from tools.wire.contract import SUB_SIGNALS

MINE = pb.PullGroupMemberRequest(target="group", head=0).SerializeToString()


def client_text(sub_signal: SubSignal, request: Message) -> str:
    """Return what the client writes."""
    content = web.request(sub_signal, request)
    return json.dumps({"signal": "PUBLISH", "subSignal": sub_signal.name, "messageId": 7, "content": content})


def serialised(message: Message) -> bytes:
    return message.SerializeToString()


CHANGED = {SubSignal.MS, SubSignal.FRP}
"""Of these the server reads something else than what the client wrote."""


@pytest.mark.parametrize("number", sorted(REQUESTS.keys() - CHANGED))
def test_the_server_reads_what_the_client_writes(number: int) -> None:
    sub_signal, kind = SubSignal(number), REQUESTS[number].request.kind

    @settings(max_examples=25)
    @given(any_of(kind))
    def check(asked: Message) -> None:
        if "notify_content" in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField("notify_content")  # there is none over WebSocket
        if isinstance(asked, pb.ModifyMyInfoRequest):
            del asked.entry[1:]
            if not asked.entry:
                asked.entry.add(type=1, value="one")
        if isinstance(asked, pb.PullMessageRequest):
            asked.id = min(max(asked.id, 0), (1 << 63) - 2)  # no other seq is one to begin behind
        text = client_text(sub_signal, asked)
        frame = decode_request(text)
        assert frame[:3] == (9, number, 7)
        assert client_text(sub_signal, kind.FromString(frame.body)) == text

    check()


@pytest.mark.parametrize("number", sorted(REQUESTS.keys() - {SubSignal.FRP}))  # that is for one of its two
def test_the_client_reads_what_the_server_answers(number: int) -> None:
    sub_signal, kind = SubSignal(number), REQUESTS[number].reply.kind
    payloads = (
        st.binary(min_size=16, max_size=16) if number == SubSignal.MS else st.binary(min_size=8, max_size=8)
    )

    @settings(max_examples=25)
    @given(payloads if kind is None else any_of(kind).map(serialised), texts)
    def check(payload: bytes, me: str) -> None:
        text = encode_reply(number, 7, 0, payload, viewer=me, request=MINE)
        read = web.reply(sub_signal, json.loads(text)["content"], me)
        again = read if isinstance(read, bytes) else read.SerializeToString()
        assert isinstance(read, bytes if kind is None else kind)
        assert encode_reply(number, 7, 0, again, viewer=me, request=MINE) == text

    check()


@pytest.mark.parametrize("number", sorted(NOTIFICATIONS))
def test_the_client_reads_what_the_server_tells(number: int) -> None:
    kind = NOTIFICATIONS[number].payload.kind
    streams = st.builds(lambda text: json.dumps({"i": text, "d": text}).encode(), texts)
    raw = (
        streams
        if number == SubSignal.SAI
        else int64s.map(lambda value: value.to_bytes(8, "big", signed=True))
    )

    @settings(max_examples=25)
    @given(raw if kind is None else any_of(kind).map(serialised))
    def check(body: bytes) -> None:
        text = encode_notification(number, body)
        told = web.notification(SubSignal(number), json.loads(text)["content"])
        again = told if isinstance(told, bytes) else told.SerializeToString()
        assert encode_notification(number, again) == text

    check()


def test_each_sub_signal_but_those_of_connect_has_a_row() -> None:
    rows = {sub_signal for sub_signal in SubSignal if sub_signal.row is not None}
    assert rows == {sub_signal for sub_signal in SubSignal if sub_signal >= SubSignal.US}
    assert {type(sub_signal.row) for sub_signal in rows} == {RequestRow, Notification, Unserved}


def keys_of(schema: Any) -> set[str]:
    """Return the keys of a JSON schema's objects."""
    found = keys_of(schema["items"]) if "items" in schema else set()
    for key, value in schema.get("properties", {}).items():
        found |= {key} | keys_of(value)
    return found


def test_the_rows_are_those_of_the_contract_that_the_conformance_suite_reads() -> None:
    """The suite shares no code with the server, so each of the two may find the other wrong."""
    numbers = {s.name: s.value for s in SubSignal}
    assert numbers.items() >= SUB_SIGNALS.items()
    rows = {name: REQUESTS[number] for name, number in SUB_SIGNALS.items() if number in REQUESTS}
    assert rows.keys() == {*shapes.TYPED, *shapes.PLAIN}
    assert {name for name, row in rows.items() if row.reply.web == "ok"} == set(shapes.PLAIN)
    answers = {name: rows[name].reply.web for name in shapes.TYPED}
    told = {name: NOTIFICATIONS[SUB_SIGNALS[name]].payload.web for name in shapes.NOTIFICATIONS}
    schemas = {**shapes.TYPED, **shapes.NOTIFICATIONS}
    for name, text in {**answers, **told}.items():
        if text != "{pull}":
            assert set(re.findall(r'"(\w+)"', text)) == keys_of(schemas[name]), name
