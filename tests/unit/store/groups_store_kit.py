"""Groups put into a store as the group role puts them there."""

from collections.abc import Sequence

from fsharechat.protocol.signals import GroupType, MemberType
from fsharechat.store import groups, users
from fsharechat.store.groups import Info, NewMember, Silence
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit, insert_many


def info(id: str, owner: str = "ann", kind: int = GroupType.NORMAL, now: int = 1000) -> Info:
    return Info(id, f"name of {id}", "", owner, kind, "", 0, False, now, now)


def make(dialect: Dialect, new: Info, uids: Sequence[str]) -> Unit[bool]:
    """Create a group of its owner and others."""
    if not (yield from groups.create(dialect, new)):
        return False
    members = [NewMember(new.owner, MemberType.OWNER), *[NewMember(uid, 0) for uid in uids]]
    yield from groups.put_members(dialect, new.id, members, new.member_update_dt)
    yield from groups.save(dialect, new._replace(member_count=len(members)))
    return True


async def group(store: Store, id: str, *uids: str, owner: str = "ann", now: int = 1000) -> Info:
    new = info(id, owner, now=now)
    assert await store.write(make, new, uids)
    return new._replace(member_count=1 + len(uids))


def change_members(
    dialect: Dialect, id: str, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> Unit[Info]:
    """Add and remove members, as units of the group role do; the clock stands still."""
    found = yield from groups.locked(dialect, id)
    assert found is not None
    found = groups.members_changed(found, found.member_count + len(add) - len(remove), 0)
    if add:
        yield from groups.put_members(dialect, id, [NewMember(uid, 0) for uid in add], found.member_update_dt)
    if remove:
        yield from groups.remove_members(dialect, id, remove, found.member_update_dt, Silence.LEFT)
    yield from groups.save(dialect, found)
    return found


def put_users(_: Dialect, uids: Sequence[str]) -> Unit[None]:
    columns = ("uid", "number", *users.PROFILE[1:], "status")
    yield from insert_many("users", columns, [(uid, uid, *[""] * 9, 0, 0, 1, 0) for uid in uids])
