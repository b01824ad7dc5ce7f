"""Who may say something that others get to read (contract.md section 8)."""

from collections.abc import Callable

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, UserStatus
from fsharechat.store.users import Rights
from roles.group.service import Business


def check_heard(user: Rights) -> None:
    """Raise Refusal for whom others are not to hear: the muted and the blocked."""
    if user.status != UserStatus.NORMAL:
        raise Refusal(Code.MUTED if user.status == UserStatus.MUTED else Code.USER_FORBIDDEN)


def check_not_blocked(user: Rights) -> None:
    """Raise Refusal for the blocked."""
    if user.status == UserStatus.BLOCKED:
        raise Refusal(Code.USER_FORBIDDEN)


async def rights_of(group: Business, uid: str) -> Rights:
    """Return the rights of a user. Raises Refusal when there is no such user."""
    rights = await group.rights.get(uid)
    if rights is None:
        raise Refusal(Code.NOT_EXIST)
    return rights


async def check_rights(group: Business, uid: str, check: Callable[[Rights], None]) -> Rights:
    """Return the rights of a user that pass a check. Raises its Refusal, or that there is no such user.

    What is cached refuses nobody: another process may have changed it a moment ago, and its news may be on the way.
    """
    rights = await rights_of(group, uid)
    try:
        check(rights)
    except Refusal:
        group.rights.drop([uid])
        rights = await rights_of(group, uid)
        check(rights)
    return rights
