"""Rights of users to say something that others read (contract.md section 8)."""

from collections.abc import Callable

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, UserStatus
from fsharechat.store.users import Rights
from roles.group.service import Group


def check_heard(user: Rights) -> None:
    """Raise Refusal if the user is muted or blocked."""
    if user.status != UserStatus.NORMAL:
        raise Refusal(Code.MUTED if user.status == UserStatus.MUTED else Code.USER_FORBIDDEN)


def check_not_blocked(user: Rights) -> None:
    """Raise Refusal if the user is blocked."""
    if user.status == UserStatus.BLOCKED:
        raise Refusal(Code.USER_FORBIDDEN)


async def rights_of(group: Group, uid: str) -> Rights:
    """Return the rights of a user. Raises Refusal when there is no such user."""
    rights = await group.rights.get(uid)
    if rights is None:
        raise Refusal(Code.NOT_EXIST)
    return rights


async def check_rights(group: Group, uid: str, check: Callable[[Rights], None]) -> Rights:
    """Return the rights of a user if they pass a check. Raises the Refusal of the check, or one if there is no such
    user.

    Cached rights never refuse: another process may have just changed them, and the news may be on its way.
    """
    rights = await rights_of(group, uid)
    try:
        check(rights)
    except Refusal:
        group.rights.drop([uid])
        rights = await rights_of(group, uid)
        check(rights)
    return rights
