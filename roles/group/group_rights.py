"""Rights: who may change what in a group (contract.md sections 5 and 8).

Each check raises Refusal if the user may not. Of the `members` (MemberType by uid) it looks only at that user.
"""

from collections.abc import Mapping

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, GroupInfoType, GroupType, MemberType
from fsharechat.store.groups import Info, NewMember, OldSilence, Silence

GIVEN = (MemberType.NORMAL, MemberType.MANAGER, MemberType.SILENCED)
"""The types that an owner may give to new members."""


def check_member(uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless the user is a member."""
    if uid not in members:
        raise Refusal(Code.NOT_IN_GROUP)


def check_may_say(uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal if the user is silenced in the group and wants to say something there."""
    if members.get(uid) == MemberType.SILENCED:
        raise Refusal(Code.NO_RIGHT)


def check_owner(group: Info, uid: str, _: Mapping[str, int]) -> None:
    """Raise Refusal unless the user owns the group. Only the owner may dismiss it, or hand it over."""
    if uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_add(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may add members."""
    check_member(uid, members)
    if group.type == GroupType.RESTRICTED:
        check_owner(group, uid, members)


def check_modify(group: Info, uid: str, members: Mapping[str, int], what: int) -> None:
    """Raise Refusal unless a user may change the field `what` (GroupInfoType) of a group."""
    check_member(uid, members)
    anybody = group.type != GroupType.RESTRICTED and what == GroupInfoType.NAME
    if not anybody:
        check_owner(group, uid, members)


def check_kick(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may remove members: the owner, and in a free group nobody."""
    check_owner(group, uid, members)
    if group.type == GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_quit(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may leave a group."""
    check_member(uid, members)
    if uid == group.owner and group.type != GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_set_type(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may set the type of some members: the owner, or a manager."""
    if uid != group.owner and members.get(uid) != MemberType.MANAGER:
        raise Refusal(Code.NO_RIGHT)


def check_alias(_: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may change their alias in a group."""
    check_member(uid, members)
    check_may_say(uid, members)


def as_added(member: NewMember, by_owner: bool, silence: OldSilence | None) -> NewMember:
    """Return a new member with the right type. Only the owner may name managers and silenced members.

    A member who left while silenced is still silenced, unless the owner removed them and adds them again.
    """
    if silence is not None and not (by_owner and silence.how == Silence.KICKED):
        return member._replace(type=MemberType.SILENCED, until=silence.until)
    return member._replace(type=member.type if by_owner and member.type in GIVEN else MemberType.NORMAL)
