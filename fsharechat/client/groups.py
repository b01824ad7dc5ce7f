"""Groups: making, reading and changing them (contract.md sections 7 and 8), and the notices of changes."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from fsharechat.client.errors import NotExist
from fsharechat.client.transport import SendRequest, ask
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, GroupInfoType, GroupType, MemberType, SubSignal

Notice = pb.MessageContent | None
"""A message about a change, in place of the server's own. Only over TCP."""


class ClientGroups:
    """The requests about groups: `Client.groups`. To send a message to a group: `client.send(group(group_id), ...)`.

    Refusals: NoRight if the group's type or the user's role in it does not allow it, NotInGroup, NotExist.
    """

    def __init__(self, request: SendRequest) -> None:
        """`request` is Client.request."""
        self._request = request

    async def create(
        self,
        name: str,
        members: Iterable[str] = (),
        *,
        type: GroupType = GroupType.NORMAL,
        portrait: str = "",
        extra: str = "",
        group_id: str | None = None,
        notice: Notice = None,
    ) -> str:
        """Create a group of the user and `members`, and return its id.

        Without a `group_id`, one is made here, because the answer over WebSocket does not tell it. Give your own to
        be able to try again after a lost answer: GroupExists then says that the first try was carried out.
        """
        chosen = group_id or secrets.token_hex(16)
        info = pb.GroupInfo(target_id=chosen, name=name, type=type)
        if portrait:
            info.portrait = portrait
        if extra:
            info.extra = extra
        request = pb.CreateGroupRequest(
            group=pb.Group(group_info=info, members=_members(members)), notify_content=notice
        )
        reply = await self._request(SubSignal.GC, request)
        return reply.decode() if isinstance(reply, bytes) and reply else chosen

    async def infos(self, group_ids: Iterable[str]) -> list[pb.GroupInfo]:
        """Return the facts about those of the groups that exist."""
        request = pb.PullUserRequest(request=[pb.UserRequest(uid=group_id) for group_id in group_ids])
        return list((await ask(self._request, SubSignal.GPGI, request, pb.PullGroupInfoResult)).info)

    async def info(self, group_id: str) -> pb.GroupInfo:
        """Return one group. Raises NotExist."""
        for found in await self.infos([group_id]):
            if found.target_id == group_id:
                return found
        raise NotExist(SubSignal.GPGI, None)

    async def members(self, group_id: str, since: int = 0) -> list[pb.GroupMember]:
        """Return all members if the group changed after `since` (ms, 0: in any case).

        Empty for a group the user is not in, an unknown one, and one that has not changed.
        """
        request = pb.PullGroupMemberRequest(target=group_id, head=since)
        return list((await ask(self._request, SubSignal.GPGM, request, pb.PullGroupMemberResult)).member)

    async def add(self, group_id: str, members: Iterable[str], *, notice: Notice = None) -> None:
        """Add users to a group."""
        request = pb.AddGroupMemberRequest(
            group_id=group_id, added_member=_members(members), notify_content=notice
        )
        await self._request(SubSignal.GAM, request)

    async def kick(self, group_id: str, members: Iterable[str], *, notice: Notice = None) -> None:
        """Remove members from a group."""
        request = pb.RemoveGroupMemberRequest(
            group_id=group_id, removed_member=members, notify_content=notice
        )
        await self._request(SubSignal.GKM, request)

    async def quit(self, group_id: str, *, notice: Notice = None) -> None:
        """Leave a group."""
        await self._request(SubSignal.GQ, pb.QuitGroupRequest(group_id=group_id, notify_content=notice))

    async def dismiss(self, group_id: str, *, notice: Notice = None) -> None:
        """End a group."""
        await self._request(SubSignal.GD, pb.DismissGroupRequest(group_id=group_id, notify_content=notice))

    async def rename(self, group_id: str, name: str, *, notice: Notice = None) -> None:
        """Change a group's name."""
        await self.modify(group_id, GroupInfoType.NAME, name, notice=notice)

    async def set_portrait(self, group_id: str, url: str, *, notice: Notice = None) -> None:
        """Change a group's portrait to the picture at `url`."""
        await self.modify(group_id, GroupInfoType.PORTRAIT, url, notice=notice)

    async def set_extra(self, group_id: str, extra: str, *, notice: Notice = None) -> None:
        """Change the text that applications keep with a group."""
        await self.modify(group_id, GroupInfoType.EXTRA, extra, notice=notice)

    async def modify(self, group_id: str, field: GroupInfoType, value: str, *, notice: Notice = None) -> None:
        """Change one field of a group."""
        request = pb.ModifyGroupInfoRequest(group_id=group_id, type=field, value=value, notify_content=notice)
        await self._request(SubSignal.GMI, request)

    async def mine(self, version: int = 0) -> "MyGroups":
        """Return the groups of this user, or those that have changed since a version of an earlier answer.

        A group may be told again. Groups that the user has left have the type REMOVED, and no facts.
        """
        found: list[pb.MyGroup] = []
        first = 0
        after = ""
        while True:
            request = pb.MyGroupsRequest(version=version)
            if after:
                request.after = after
            page = await ask(self._request, SubSignal.GML, request, pb.MyGroupsResult)
            found += page.group
            first = first or page.version
            if not page.next or page.next <= after:
                return MyGroups(first, tuple(found))
            after = page.next

    async def set_alias(self, group_id: str, alias: str, *, notice: Notice = None) -> None:
        """Give this user a name in a group, "": none."""
        request = pb.ModifyGroupAliasRequest(group_id=group_id, alias=alias, notify_content=notice)
        await self._request(SubSignal.GMA, request)

    async def transfer(self, group_id: str, new_owner: str, *, notice: Notice = None) -> None:
        """Make another member the owner. This user becomes a normal member. Raises NotExist if it is no member."""
        request = pb.TransferGroupRequest(group_id=group_id, new_owner=new_owner, notify_content=notice)
        await self._request(SubSignal.GTG, request)

    async def set_type(
        self,
        group_id: str,
        members: Iterable[str],
        type: MemberType,
        *,
        until: int = 0,
        notice: Notice = None,
    ) -> None:
        """Make members NORMAL, MANAGER or SILENCED. `until` (ms) ends the silence, 0: it has no end."""
        request = pb.SetMemberTypeRequest(
            group_id=group_id, type=type, member_id=members, until=until, notify_content=notice
        )
        await self._request(SubSignal.GSM, request)


@dataclass(frozen=True, slots=True)
class MyGroups:
    """The groups of a user, and the `version` (ms) for the next question."""

    version: int
    groups: tuple[pb.MyGroup, ...]


@dataclass(frozen=True, slots=True)
class GroupNotice:
    """A change of a group, from its message in the group (contract.md section 8).

    `kind` is the content type, `operator` the user who made the change, `members` the users added, removed or
    changed, `name` the new name. A tip tells of a new `type` of the members: OWNER, of a group that was handed over,
    or the one set. `until` (ms) is the end of a silence, 0 if it has none.
    """

    kind: ContentType
    group_id: str
    operator: str
    name: str
    members: tuple[str, ...]
    type: MemberType | None = None
    until: int = 0


NOTICES = frozenset(
    {
        ContentType.GROUP_CREATED,
        ContentType.MEMBERS_ADDED,
        ContentType.MEMBERS_KICKED,
        ContentType.MEMBER_QUIT,
        ContentType.GROUP_DISMISSED,
        ContentType.GROUP_RENAMED,
        ContentType.GROUP_PORTRAIT_CHANGED,
    }
)


def group_notice(message: pb.Message) -> GroupNotice | None:
    """Return the change in a message, None if it is no notice, or cannot be read."""
    tip = message.content.type == ContentType.TIP
    if message.content.type not in NOTICES and not (tip and message.content.data):
        return None
    try:
        told = json.loads(message.content.data)
        return GroupNotice(
            kind=ContentType(message.content.type),
            group_id=str(told.get("g", message.conversation.target)),
            operator=str(told.get("o", message.from_user)),
            name=str(told.get("n", "")),
            members=tuple(str(uid) for uid in told.get("ms") or ()),
            type=MemberType(told["t"]) if tip else None,
            until=int(told.get("u", 0)),
        )
    except (ValueError, AttributeError, TypeError, KeyError):
        return None


def _members(uids: Iterable[str]) -> list[pb.GroupMember]:
    return [pb.GroupMember(member_id=uid, type=MemberType.NORMAL) for uid in uids]
