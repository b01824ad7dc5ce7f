"""A request with a list of a million things would keep all others waiting while it is looked at: it is refused."""

import json
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError, Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import MAX_ITEMS, check_whole
from fsharechat.protocol.json import decode_request
from fsharechat.protocol.shapes.reading import MAX_PARTS, JsonError

EMPTY_USER = b"\x0a\x02\x0a\x00"
EMPTY_MEMBER = b"\x12\x04\x0a\x00\x18\x00"
NO_INFO = pb.GroupInfo(name="", type=0).SerializeToString()


def group_of(count: int) -> bytes:
    group = b"\x0a" + bytes([len(NO_INFO)]) + NO_INFO + EMPTY_MEMBER * count
    return pb.CreateGroupRequest(group=pb.Group.FromString(group)).SerializeToString()


@pytest.mark.parametrize(
    ("request_type", "body"),
    [
        (pb.PullUserRequest, lambda count: EMPTY_USER * count),
        (pb.CreateGroupRequest, group_of),
        (pb.ReadReport, lambda n: pb.ReadReport(target="g", date=1, tos=[""] * n).SerializeToString()),
        (
            pb.QuitGroupRequest,
            lambda n: pb.QuitGroupRequest(group_id="g", to_line=[0] * n).SerializeToString(),
        ),
    ],
    ids=["users", "members", "texts", "numbers"],
)
def test_a_body_has_no_list_of_more_than_max_items(request_type: type[Message], body: Any) -> None:
    check_whole(request_type.FromString(body(MAX_ITEMS)))
    with pytest.raises(DecodeError, match=f"{MAX_ITEMS + 1} items"):
        check_whole(request_type.FromString(body(MAX_ITEMS + 1)))


@pytest.mark.parametrize(
    ("sub_signal", "content", "key", "item"),
    [
        ("UPUI", None, "", ""),
        ("GPGI", None, "", ""),
        ("GC", {"groupInfo": {"name": "g"}}, "groupMembers", {}),
        ("GAM", {"groupId": "g"}, "groupMembers", {}),
        ("GKM", {"groupId": "g"}, "memberIds", ""),
        ("MRR", {"target": "g"}, "tos", ""),
        ("MS", {"target": "u", "content": {"type": 1}}, "tos", ""),
    ],
)
def test_a_web_request_has_no_list_of_more_than_max_items(
    sub_signal: str, content: dict[str, Any] | None, key: str, item: object
) -> None:
    def ask(count: int) -> None:
        items = [item] * count
        whole: object = items if content is None else {**content, key: items}
        request = {"signal": "PUBLISH", "subSignal": sub_signal, "content": whole}
        decode_request(orjson.dumps(request).decode())

    ask(MAX_ITEMS)
    with pytest.raises(JsonError, match=f"{MAX_ITEMS + 1} items"):
        ask(MAX_ITEMS + 1)


@pytest.mark.parametrize("part", ["[],", "{},", "1,", '"",', "[[]],", '{"a":1},', '"\\\\",'])
@pytest.mark.parametrize("as_text", [False, True])
def test_json_of_a_million_parts_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch, part: str, as_text: bool
) -> None:
    content = "[" + part * (MAX_PARTS + 1) + "0]"
    if as_text:
        content = json.dumps(content)
    parsed: list[int] = []
    original = orjson.loads

    def spy(text: str) -> Any:
        parsed.append(len(text))
        return original(text)

    monkeypatch.setattr(orjson, "loads", spy)
    with pytest.raises(JsonError, match="too many parts"):
        decode_request(f'{{"signal": "PUBLISH", "subSignal": "UPUI", "content": {content}}}')
    assert len(parsed) == as_text  # the text around it, in which it is one string


@pytest.mark.parametrize("character", [",", "[", "{", '"', "\\", '\\"', "],[", '","', "飞,"])
@pytest.mark.parametrize("as_text", [False, True])
def test_what_a_text_says_is_none_of_its_parts(character: str, as_text: bool) -> None:
    said = character * (MAX_PARTS + 1)
    content: Any = {"target": "bob", "content": {"type": 1, "searchableContent": said}}
    if as_text:
        content = json.dumps(content)
    frame = decode_request(json.dumps({"signal": "PUBLISH", "subSignal": "MS", "content": content}))
    assert pb.Message.FromString(frame.body).content.searchable_content == said


def test_the_longest_list_has_room_for_large_items() -> None:
    members = [{"memberId": str(n), "type": 0, "alias": "", "updateDt": 0} for n in range(MAX_ITEMS)]
    content = {"groupId": "g", "groupMembers": members}
    frame = decode_request(json.dumps({"signal": "PUBLISH", "subSignal": "GAM", "content": content}))
    assert len(pb.AddGroupMemberRequest.FromString(frame.body).added_member) == MAX_ITEMS
