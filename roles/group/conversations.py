"""The members of a conversation, for all requests about one."""

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, ConversationType
from fsharechat.store import groups
from fsharechat.store.groups import GroupMembers
from roles.group.service import Group

_NOBODY_IS_IN: dict[int, Code] = {
    ConversationType.CHAT_ROOM: Code.NOT_IN_CHATROOM,
    ConversationType.CHANNEL: Code.NOT_IN_CHANNEL,
}


def not_in(kind: int) -> Refusal:
    """Return the refusal for a conversation that is neither private nor a group (contract.md section 8, MS)."""
    return Refusal(_NOBODY_IS_IN.get(kind, Code.INVALID_PARAMETER))


async def members_with(group: Group, id: str, uid: str) -> GroupMembers:
    """Return the members of a group that the user is in. Raises Refusal: for others the group does not exist."""
    known = group.members.peek(id)
    if known is not None and uid not in known.types:
        _, seats = await group.store.read_for(uid, groups.seat, id, uid)
        if uid not in seats:
            raise Refusal(Code.NOT_IN_GROUP)
        group.members.drop([id])
    found = await group.members.get(id)
    if found is None or uid not in found.types:
        raise Refusal(Code.NOT_IN_GROUP)
    return found
