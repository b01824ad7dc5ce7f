"""Makes and changes groups for tests, and reads them back."""

from collections.abc import Sequence
from typing import Any

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, GroupType, SubSignal
from fsharechat.rpc import Reply
from tests.unit.group.group_kit import Office, text


def new_group(
    *members: str,
    id: str = "",
    name: str = "a group",
    kind: int = GroupType.NORMAL,
    types: dict[str, int] | None = None,
    portrait: str = "http://own",
    notice: pb.MessageContent | None = None,
) -> pb.CreateGroupRequest:
    info = pb.GroupInfo(target_id=id or None, name=name, portrait=portrait, type=kind)
    return pb.CreateGroupRequest(
        group=pb.Group(group_info=info, members=as_members(*members, types=types)), notify_content=notice
    )


def as_members(*uids: str, types: dict[str, int] | None = None) -> list[pb.GroupMember]:
    return [pb.GroupMember(member_id=uid, type=(types or {}).get(uid, 0)) for uid in uids]


async def create(office: Office, owner: str, *members: str, **details: Any) -> str:
    """Return the id of a new group."""
    return (await office.payload(owner, SubSignal.GC, new_group(*members, **details))).decode()


async def add(office: Office, uid: str, group: str, *members: str, **types: int) -> int:
    request = pb.AddGroupMemberRequest(group_id=group, added_member=as_members(*members, types=types))
    return await office.code(uid, SubSignal.GAM, request)


async def kick(office: Office, uid: str, group: str, *members: str) -> int:
    request = pb.RemoveGroupMemberRequest(group_id=group, removed_member=members)
    return await office.code(uid, SubSignal.GKM, request)


async def leave(office: Office, uid: str, group: str) -> int:
    return await office.code(uid, SubSignal.GQ, pb.QuitGroupRequest(group_id=group))


async def dismiss(office: Office, uid: str, group: str) -> int:
    return await office.code(uid, SubSignal.GD, pb.DismissGroupRequest(group_id=group))


async def modify(office: Office, uid: str, group: str, what: int, value: str) -> int:
    request = pb.ModifyGroupInfoRequest(group_id=group, type=what, value=value)
    return await office.code(uid, SubSignal.GMI, request)


async def infos(office: Office, uid: str, *groups: str) -> list[pb.GroupInfo]:
    request = pb.PullUserRequest(request=[pb.UserRequest(uid=id) for id in groups])
    return list(pb.PullGroupInfoResult.FromString(await office.payload(uid, SubSignal.GPGI, request)).info)


async def info(office: Office, uid: str, group: str) -> pb.GroupInfo:
    (found,) = await infos(office, uid, group)
    return found


async def members(office: Office, uid: str, group: str, head: int = 0) -> dict[str, int]:
    """Return the members as a user sees them: uid and type."""
    return {member.member_id: member.type for member in await member_list(office, uid, group, head)}


async def member_list(office: Office, uid: str, group: str, head: int = 0) -> Sequence[pb.GroupMember]:
    request = pb.PullGroupMemberRequest(target=group, head=head)
    payload = await office.payload(uid, SubSignal.GPGM, request)
    return pb.PullGroupMemberResult.FromString(payload).member


def to_group(group: str, words: str = "hello", *, to: Sequence[str] = (), **details: Any) -> pb.Message:
    message = text(group, words, kind=ConversationType.GROUP, **details)
    message.to.extend(to)
    return message


async def say(office: Office, uid: str, group: str, words: str = "hello", **details: Any) -> Reply:
    return await office.ask(uid, SubSignal.MS, to_group(group, words, **details))


async def said(office: Office, uid: str, group: str, words: str = "hello", **details: Any) -> None:
    assert (await say(office, uid, group, words, **details)).code == Code.SUCCESS


async def notices(office: Office, uid: str) -> list[tuple[int, str, Any]]:
    """Return type, operator and data of what a user's inbox holds of changes to groups."""
    inbox = await office.inbox(uid)
    return [
        (message.content.type, message.from_user, orjson.loads(message.content.data))
        for message in inbox.message
        if message.content.data
    ]
