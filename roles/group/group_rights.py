"""The rights in a group: who may change what (contract.md sections 5 and 8)."""

from collections.abc import Mapping

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, GroupInfoType, GroupType, MemberType
from fsharechat.store.groups import Info, Silence

_GIVEN = (MemberType.NORMAL, MemberType.MANAGER, MemberType.SILENCED)
"""The types that an owner may give to new members."""


def check_add(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may add members."""
    _check_member(uid, members)
    if group.type == GroupType.RESTRICTED and uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_modify(group: Info, uid: str, members: Mapping[str, int], what: int) -> None:
    """Raise Refusal unless a user may change the field `what` (GroupInfoType) of a group."""
    _check_member(uid, members)
    anybody = group.type != GroupType.RESTRICTED and what == GroupInfoType.NAME
    if not anybody and uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_kick(group: Info, uid: str, _: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may remove members: the owner, and in a free group nobody."""
    if uid != group.owner or group.type == GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_dismiss(group: Info, uid: str, _: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may dismiss a group."""
    if uid != group.owner:
        raise Refusal(Code.NO_RIGHT)


def check_quit(group: Info, uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal unless a user may leave a group."""
    _check_member(uid, members)
    if uid == group.owner and group.type != GroupType.FREE:
        raise Refusal(Code.NO_RIGHT)


def check_heard(uid: str, members: Mapping[str, int]) -> None:
    """Raise Refusal if the user is silenced in the group and wants to say something there."""
    if members.get(uid) == MemberType.SILENCED:
        raise Refusal(Code.NO_RIGHT)


def member_type(wanted: int, by_owner: bool, silence: Silence) -> int:
    """Return the type of a new member. Only the owner may name managers and silenced members.

    A member who left while silenced is still silenced, unless the owner removed them and adds them again.
    """
    if silence != Silence.NONE and not (by_owner and silence == Silence.KICKED):
        return MemberType.SILENCED
    return wanted if by_owner and wanted in _GIVEN else MemberType.NORMAL


def _check_member(uid: str, members: Mapping[str, int]) -> None:
    if uid not in members:
        raise Refusal(Code.NOT_IN_GROUP)
