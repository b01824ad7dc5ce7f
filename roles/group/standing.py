"""Who may say something that others get to read (protocol.md section 8)."""

from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, UserStatus
from fsharechat.store.users import Rights
from roles.group.service import Group


def check_heard(user: Rights) -> None:
    """Raise Refusal for whom others are not to hear: the muted and the blocked."""
    if user.status != UserStatus.NORMAL:
        raise Refusal(Code.MUTED if user.status == UserStatus.MUTED else Code.USER_FORBIDDEN)


async def rights_of(group: Group, uid: str) -> Rights:
    """Return the rights of a user. Raises Refusal when there is no such user."""
    rights = await group.rights.get(uid)
    if rights is None:
        raise Refusal(Code.NOT_EXIST)
    return rights
