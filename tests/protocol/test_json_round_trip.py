"""Messages on their way to a web client and back, and that no reply holds a null (contract.md section 7)."""

import base64
import json
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json import decode_request, encode_pull, encode_reply
from fsharechat.protocol.shapes.messages import encode_message
from fsharechat.protocol.signals import REQUESTS, SubSignal

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)

any_message = st.builds(
    pb.Message,
    conversation=st.builds(pb.Conversation, type=int32s, target=texts, line=int32s),
    from_user=texts,
    content=st.builds(
        pb.MessageContent,
        type=int32s,
        searchable_content=st.none() | texts,
        push_content=st.none() | texts,
        content=st.none() | texts,
        data=st.none() | st.binary(max_size=20),
        media_type=st.none() | int32s,
        remote_media_url=st.none() | texts,
        persist_flag=st.none() | int32s,
        mentioned_type=st.none() | int32s,
        mentioned_target=st.lists(texts, max_size=3),
    ),
    message_id=st.none() | int64s,
    server_timestamp=st.none() | int64s,
    to_user=st.none() | texts,
    to=st.lists(texts, max_size=3),
    local_message_id=st.none() | int64s,
    edited_dt=st.none() | int64s,
)

CONTENT_FIELDS = [
    "type",
    "searchable_content",
    "push_content",
    "content",
    "data",
    "media_type",
    "remote_media_url",
    "mentioned_type",
    "mentioned_target",
]


def plain_message(message: bytes, viewer_is_sender: bool) -> Any:
    """Return the JSON object that a client reads in a pull of `message`."""
    frame = json.loads(encode_pull(1, [encode_message(message, viewer_is_sender)], 1, 1))
    return json.loads(frame["content"])["messageResponseList"][0]


@given(any_message, st.booleans())
def test_a_message_survives_the_way_to_a_web_client_and_back(message: pb.Message, sender: bool) -> None:
    content = plain_message(message.SerializeToString(), sender)
    request = decode_request(json.dumps({"signal": "PUBLISH", "subSignal": "MS", "content": content}))
    back = pb.Message.FromString(request.body)
    assert back.conversation == message.conversation
    assert back.from_user == message.from_user
    for field in CONTENT_FIELDS:
        assert getattr(back.content, field) == getattr(message.content, field)
    receivers = list(message.to)
    assert list(back.to) in (receivers, [message.to_user, *receivers])
    assert not message.to_user or message.to_user in back.to
    assert back.local_message_id == (message.local_message_id or message.message_id)


@given(any_message, st.booleans())
def test_the_json_of_a_message_says_what_it_holds(message: pb.Message, sender: bool) -> None:
    plain = plain_message(message.SerializeToString(), sender)
    assert plain["messageId"] == str(message.message_id)
    assert plain["localMessageId"] == str(message.local_message_id)
    assert plain["timestamp"] == message.server_timestamp
    assert plain.get("editedDt", 0) == message.edited_dt
    assert base64.b64decode(plain["content"]["binaryContent"], validate=True) == message.content.data
    assert (plain["direction"], plain["status"]) == ((0, 1) if sender else (1, 5))


def any_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of a type: required fields set, every other one set or not."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in kind.DESCRIPTOR.fields:
        value: st.SearchStrategy[Any]
        if field.message_type:
            value = any_of(getattr(pb, field.message_type.name))
        else:
            value = {
                field.CPPTYPE_INT32: int32s,
                field.CPPTYPE_INT64: int64s,
                field.CPPTYPE_BOOL: st.booleans(),
                field.CPPTYPE_STRING: st.binary(max_size=6) if field.type == field.TYPE_BYTES else texts,
            }[field.cpp_type]
        if field.is_repeated:
            fields[field.name] = st.lists(value, max_size=2)
        else:
            fields[field.name] = value if field.is_required else st.none() | value
    return st.builds(kind, **fields)


RESULTS = {SubSignal(number).name: row.reply.kind for number, row in REQUESTS.items() if row.reply.kind}


def values(json_value: Any) -> list[Any]:
    """Return the values at the leaves of parsed JSON."""
    if isinstance(json_value, dict):
        json_value = list(json_value.values())
    if isinstance(json_value, list):
        return [leaf for item in json_value for leaf in values(item)]
    return [json_value]


@pytest.mark.parametrize("sub_signal", RESULTS)
def test_no_reply_holds_a_null(sub_signal: str) -> None:
    request = pb.PullGroupMemberRequest(target="group", head=0).SerializeToString()

    @settings(max_examples=25)
    @given(any_of(RESULTS[sub_signal]), texts)
    def check(payload: Message, viewer: str) -> None:
        text = encode_reply(
            SubSignal[sub_signal], 1, 0, payload.SerializeToString(), viewer=viewer, request=request
        )
        content = json.loads(json.loads(text)["content"])
        assert {type(value) for value in values(content)} <= {str, int}

    check()
