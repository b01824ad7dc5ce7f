"""Who may change what in a group (contract.md sections 5 and 8)."""

from collections.abc import Mapping

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, GroupInfoType, GroupType, MemberType
from fsharechat.store.groups import Info, Silence

_GIVEN = (MemberType.NORMAL, MemberType.MANAGER, MemberType.SILENCED)
"""What an owner may make of those whom they add."""


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
    """Raise Refusal for who is silenced, and wants to say something in the group."""
    if members.get(uid) == MemberType.SILENCED:
        raise Refusal(Code.NO_RIGHT)


def member_type(wanted: int, by_owner: bool, silence: Silence) -> int:
    """Return what a new member becomes: managers and silenced ones are the owner's to name.

    Who went silenced is silenced still, unless the owner has removed them and adds them anew.
    """
    if silence != Silence.NONE and not (by_owner and silence == Silence.KICKED):
        return MemberType.SILENCED
    return wanted if by_owner and wanted in _GIVEN else MemberType.NORMAL


def _check_member(uid: str, members: Mapping[str, int]) -> None:
    if uid not in members:
        raise Refusal(Code.NOT_IN_GROUP)
