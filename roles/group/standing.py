"""The rights of users and the members of groups: rows that are cached until they change (contract.md section 8)."""

import asyncio
from collections.abc import Callable, Iterable

from fsharechat.bus import Bus
from fsharechat.errors import Refusal
from fsharechat.protocol.signals import Code, ConversationType, UserStatus
from fsharechat.store import groups, users
from fsharechat.store.groups import GroupMembers
from fsharechat.store.store import Store
from fsharechat.store.users import Rights
from roles.group.cache import Cache

CACHED_USERS = 200_000
CACHED_MEMBERS = 500_000
"""The most cached members of all groups together. A group counts as its members plus one."""

CACHE_SECONDS = 60.0
"""A cached value may be wrong for up to twice as long, s, if the process that changed it died before telling."""

GROUP_KEY = "group:"
"""The prefix of group keys in the events that drop cached values. The keys of users are plain uids."""

_NOBODY_IS_IN: dict[int, Code] = {
    ConversationType.CHAT_ROOM: Code.NOT_IN_CHATROOM,
    ConversationType.CHANNEL: Code.NOT_IN_CHANNEL,
}


class Standing:
    """Caches rights and members, and tells all processes of changes."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self.rights: Cache[Rights] = Cache(CACHED_USERS, lambda uid: store.read(users.rights, uid))
        self.members: Cache[GroupMembers] = Cache(
            CACHED_MEMBERS, lambda id: store.read(groups.members, id), lambda found: 1 + len(found.types)
        )
        self._ageing: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Hear what other processes change, and let what is cached grow old."""
        await self._bus.watch_invalidations(self._on_changed)
        self._age()

    def stop(self) -> None:
        if self._ageing is not None:
            self._ageing.cancel()

    def _age(self) -> None:
        self.rights.age()
        self.members.age()
        self._ageing = asyncio.get_running_loop().call_later(CACHE_SECONDS, self._age)

    def changed(self, uids: Iterable[str]) -> None:
        """Tell every group process that the rights of users have changed."""
        self._bus.invalidate(list(uids))

    def group_changed(self, id: str) -> None:
        """Tell every group process that a group or its members have changed."""
        self._bus.invalidate([GROUP_KEY + id])

    async def silence_ends(self, id: str, uid: str, now: int) -> bool:
        """Make a silenced member normal if the silence is over. Return whether it was."""
        if not await self._store.read_for(uid, groups.silence_is_over, id, uid, now):
            return False
        ended = await self._store.write_group(id, (), groups.end_silence, id, uid, now)
        self.members.drop([id])
        self.group_changed(id)
        return ended

    def _on_changed(self, keys: Iterable[str]) -> None:
        self.rights.drop(key for key in keys if not key.startswith(GROUP_KEY))
        self.members.drop(key.removeprefix(GROUP_KEY) for key in keys if key.startswith(GROUP_KEY))

    async def rights_of(self, uid: str) -> Rights:
        """Return the rights of a user. Raises Refusal when there is no such user."""
        rights = await self.rights.get(uid)
        if rights is None:
            raise Refusal(Code.NOT_EXIST)
        return rights

    async def check_rights(self, uid: str, check: Callable[[Rights], None]) -> Rights:
        """Return the rights of a user if they pass a check. Raises its Refusal, or one if there is no such user.

        Cached rights never refuse: another process may have just changed them, and the news may be on its way.
        """
        rights = await self.rights_of(uid)
        try:
            check(rights)
        except Refusal:
            self.rights.drop([uid])
            rights = await self.rights_of(uid)
            check(rights)
        return rights

    async def members_with(self, id: str, uid: str) -> GroupMembers:
        """Return the members of a group that the user is in. Raises Refusal: for others the group does not exist."""
        known = self.members.peek(id)
        if known is not None and uid not in known.types:
            _, seats = await self._store.read_for(uid, groups.seat, id, uid)
            if uid not in seats:
                raise Refusal(Code.NOT_IN_GROUP)
            self.members.drop([id])
        found = await self.members.get(id)
        if found is None or uid not in found.types:
            raise Refusal(Code.NOT_IN_GROUP)
        return found


def check_heard(user: Rights) -> None:
    """Raise Refusal if the user is muted or blocked."""
    if user.status != UserStatus.NORMAL:
        raise Refusal(Code.MUTED if user.status == UserStatus.MUTED else Code.USER_FORBIDDEN)


def check_not_blocked(user: Rights) -> None:
    """Raise Refusal if the user is blocked."""
    if user.status == UserStatus.BLOCKED:
        raise Refusal(Code.USER_FORBIDDEN)


def not_in(kind: int) -> Refusal:
    """Return the refusal for a conversation that is neither private nor a group (contract.md section 8, MS)."""
    return Refusal(_NOBODY_IS_IN.get(kind, Code.INVALID_PARAMETER))
