"""Numbers and texts at their edges in every field of a request: a code of the contract, and nobody else suffers."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor as Kind
from google.protobuf.message import Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from tests.e2e.deployment import BOTH, Boot, ChatOfTwo

REQUESTS: dict[SubSignal, type[Message]] = {
    SubSignal.MS: pb.Message,
    SubSignal.LRM: pb.LoadRemoteMessages,
    SubSignal.MR: pb.INT64Buf,
    SubSignal.US: pb.SearchUserRequest,
    SubSignal.UPUI: pb.PullUserRequest,
    SubSignal.FHR: pb.HandleFriendRequest,
    SubSignal.FALS: pb.AddFriendRequest,
    SubSignal.GC: pb.CreateGroupRequest,
    SubSignal.GPGI: pb.PullUserRequest,
    SubSignal.GPGM: pb.PullGroupMemberRequest,
    SubSignal.GAM: pb.AddGroupMemberRequest,
    SubSignal.GKM: pb.RemoveGroupMemberRequest,
    SubSignal.GMI: pb.ModifyGroupInfoRequest,
    SubSignal.GQ: pb.QuitGroupRequest,
    SubSignal.GD: pb.DismissGroupRequest,
    SubSignal.GMURL: pb.GetMinioUploadUrlRequest,
    SubSignal.MDR: pb.DeliveryReport,
    SubSignal.MRR: pb.ReadReport,
    SubSignal.MRP: pb.PullMessageReportRequest,
    SubSignal.UG: pb.Version,
    SubSignal.UP: pb.ModifyUserSettingReq,
}
LONG = (-(2**63), -1, 0, 1, 2**31, 2**53, 2**63 - 1)
SHORT = (-(2**31), -1, 0, 1, 3, 255, 32768, 2**31 - 1)
TEXTS = ("", " ", "x" * 65, "y" * 65536, "\0", "a\0b", "😀" * 64, "😀" * 16384, "a|b", "%", "'", "group:x")
FAILED = (Code.SERVER_ERROR, Code.TIMEOUT)


@pytest.fixture(params=BOTH)
def deployment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def edges(kind: type[Message], target: str) -> Iterator[Message]:
    """Yield requests about `target`, in each of which one field has a value at an edge."""
    for place, (_, field) in enumerate(leaves(filled(kind(), target))):
        for value in values(field, target):
            request = filled(kind(), target)
            owner, _ = list(leaves(request))[place]
            put(owner, field, value)
            yield request


def values(field: Any, target: str) -> tuple[Any, ...]:
    if field.type == Kind.TYPE_INT64:
        return LONG
    if field.type == Kind.TYPE_INT32:
        return SHORT
    return (*TEXTS, f"{target} ", target.upper()) if field.type == Kind.TYPE_STRING else ()


def leaves(message: Message) -> Iterator[tuple[Message, Any]]:
    """Yield every field that is no message, and what it is a field of."""
    for field in message.DESCRIPTOR.fields:
        if field.type == Kind.TYPE_MESSAGE:
            value = getattr(message, field.name)
            yield from leaves(value[0] if field.is_repeated else value)
        else:
            yield message, field


def filled(message: Message, target: str) -> Message:
    """Return a request with what it has to have: `target` for texts, 0 for numbers."""
    for field in message.DESCRIPTOR.fields:
        if field.type == Kind.TYPE_MESSAGE:
            value = getattr(message, field.name)
            filled(value.add() if field.is_repeated else value, target)
        elif field.is_required:
            put(message, field, target if field.type == Kind.TYPE_STRING else 0)
    return message


def put(message: Message, field: Any, value: object) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


@pytest.mark.slow  # each group that is made has its portrait composed
@pytest.mark.parametrize("about", ["a group", "a user"])
async def test_values_at_their_edges_fail_nothing(boot: Boot, about: str) -> None:
    server = await boot(limits={"requests": 0})
    wire, other = await server.online_tcp("dora"), await server.login("emil")
    group = pb.Group(group_info=pb.GroupInfo(name="g", type=0), members=[pb.GroupMember(type=0)])
    group.members[0].member_id = other.user_id
    code, id = await wire.request(SubSignal.GC, pb.CreateGroupRequest(group=group).SerializeToString())
    assert code == Code.SUCCESS
    target = id.decode() if about == "a group" else other.user_id
    async with ChatOfTwo.between(server):
        for sub_signal, kind in REQUESTS.items():
            for request in edges(kind, target):
                code, _ = await wire.request(sub_signal, request.SerializePartialToString())
                assert code not in FAILED, (sub_signal.name, str(request)[:200])


async def test_a_friend_with_a_space_behind_the_uid_is_nobody(boot: Boot) -> None:
    server = await boot()
    dora, emil = await server.online_tcp("dora"), await server.online_tcp("emil")
    ids = [(await server.login(name, "tablet")).user_id for name in ("dora", "emil")]
    ask = pb.AddFriendRequest(target_uid=ids[1], reason="hello")
    assert (await dora.request(SubSignal.FAR, ask.SerializeToString()))[0] == Code.SUCCESS
    for uid, wanted in ((f"{ids[0]} ", Code.NOT_EXIST), (ids[0], Code.SUCCESS)):
        accept = pb.HandleFriendRequest(target_uid=uid, status=1)
        assert (await emil.request(SubSignal.FHR, accept.SerializeToString()))[0] == wanted
