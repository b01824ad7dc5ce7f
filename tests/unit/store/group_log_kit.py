"""A store whose groups have logs, driven by many deeds, and what everybody has to have at the end."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

from fsharechat.errors import StoreError
from fsharechat.protocol.signals import MemberType
from fsharechat.store import group_log, groups, messages, recalls
from fsharechat.store.groups import NewMember, Silence
from fsharechat.store.messages import AS_IT_IS, Audience, NewMessage, Stored, conversation_key
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.store.groups_store_kit import group
from tests.unit.store.store_kit import append, inbox, new, select

PRIVATE, GROUP = 0, 1


class World:
    """`stores` are processes on one database. `due`: the messages that each user has to have, by conversation.

    `persists`: what the store refuses is sent again, as clients do.
    """

    persists = False

    def __init__(self, *stores: Store) -> None:
        self.stores = stores
        self.members: dict[str, list[str]] = {}
        self.due: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self.sent: dict[int, NewMessage] = {}
        self.told: Counter[str] = Counter()
        """How many recalls each user has to have."""

    async def group(self, id: str, *uids: str) -> None:
        """Make a group, of the first of these, who says something: so all have an inbox."""
        await group(self.stores[0], id, *uids[1:], owner=uids[0])
        self.members[id] = list(uids)
        await self.say(uids[0], id)

    async def private(self, sender: str, other: str, at: int = 0) -> Stored:
        message = new(sender, other, conversation=conversation_key(PRIVATE, 0, other, sender))
        return await self._append(message, [sender, other], at)

    async def say(
        self, sender: str, id: str, at: int = 0, only: Sequence[str] = (), *, listed: bool = False
    ) -> Stored:
        """Send to a group, or to some of it; `listed`: as a process does that knows of no log."""
        store = self.stores[at]
        found = await store.read(groups.members, id)
        assert found is not None
        logged = found.logged and not only and not listed
        receivers = [uid for uid in only or found.types if uid in found.types and uid != sender]
        key = conversation_key(GROUP, 0, id, sender)
        message = new(sender, *(() if logged else receivers), conversation=key)
        message.audience = Audience(id, found.version, set(only), logged)
        return await self._append(message, [sender, *receivers], at)

    async def _append(self, message: NewMessage, uids: Sequence[str], at: int) -> Stored:
        self._owe(message, uids)
        while True:
            try:
                stored = await append(self.stores[at], message)
            except StoreError:
                if not self.persists:
                    raise
                message.retried = True
                continue
            assert (stored.id, stored.outdated) == (message.id, False)
            return stored

    def _owe(self, message: NewMessage, uids: Sequence[str]) -> None:
        self.sent[message.id] = message
        for uid in dict.fromkeys(uids):
            self.due[uid][message.conversation].append(message.id)

    async def change(self, id: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Have members come or go, and all told of it, as the group role does."""
        members = [*self.members[id], *add]
        sender = members[0]
        message = new(sender, *members[1:], conversation=conversation_key(GROUP, 0, id, sender))
        message.audience = Audience(id, AS_IT_IS)
        self._owe(message, members)
        await self.stores[0].write_group(id, members, _change, id, message, add, remove)
        self.members[id] = [uid for uid in members if uid not in remove]

    async def recall(self, message_id: int, at: int = 0) -> None:
        """Take a message back: who has it is told."""
        message = self.sent[message_id]
        uids = sorted(uid for uid, due in self.due.items() if message_id in due[message.conversation])
        for entry in await self.stores[at].write(_recall, message, uids):
            self.told[entry.uid] += 1

    async def sleep(self, id: str, *uids: str, at: int = 0) -> list[str]:
        slept = await self.stores[at].put_to_sleep(id, uids)
        assert slept is not None
        return slept

    async def wake(self, uid: str, at: int = 0) -> None:
        await self.stores[at].wake(uid)

    async def has(self, uid: str) -> list[int]:
        """Return what is in an inbox, which has no holes."""
        rows = await self.stores[0].read(
            select, "SELECT seq, message_id FROM inbox WHERE uid = ? ORDER BY seq", uid
        )
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1)), f"the seqs of {uid}"
        page = await inbox(self.stores[0], uid)
        assert page.head == len(rows), f"the head of {uid}"
        return [id for _, id in rows]

    async def came(self, uid: str) -> list[int]:
        """Return what is in an inbox behind the first message of the first group."""
        return (await self.has(uid))[1:]

    async def check(self, *, ordered: bool = True) -> None:
        """Wake everybody; then all have what they have to have once, in one order for each conversation."""
        for uid in sorted(self.due):
            await self.wake(uid)
        orders: dict[str, dict[str, list[int]]] = defaultdict(dict)
        for uid, due in self.due.items():
            found = await self.has(uid)
            for conversation, ids in due.items():
                mine = [id for id in found if self.sent[id].conversation == conversation]
                assert sorted(mine) == sorted(ids), f"{uid} in {conversation}"
                if ordered:
                    assert mine == ids, f"{uid} in {conversation}"
                orders[conversation][uid] = mine
            assert len(found) == sum(map(len, due.values()))
            missed = await self.stores[0].read(recalls.missed, uid, 0)
            assert len(missed) == self.told[uid]
        for conversation, by_uid in orders.items():
            for (one, mine), (other, theirs) in combinations(by_uid.items(), 2):
                common = set(mine) & set(theirs)
                assert [id for id in mine if id in common] == [id for id in theirs if id in common], (
                    f"{one} and {other} in {conversation}"
                )
        assert await self.stores[0].read(select, "SELECT uid FROM heads WHERE asleep <> 0") == []
        assert await self.stores[0].read(select, "SELECT uid FROM group_log_owed") == []
        assert await self.stores[0].read(select, "SELECT uid FROM group_members WHERE given >= 0") == []


def _change(
    dialect: Dialect, id: str, message: NewMessage, add: Sequence[str], remove: Sequence[str]
) -> Unit[None]:
    info = yield from groups.locked(dialect, id)
    assert info is not None
    info = groups.members_changed(info, info.member_count + len(add) - len(remove), 0)
    if add:
        yield from groups.put_members(dialect, id, [NewMember(uid, 0) for uid in add], info.member_update_dt)
    yield from messages.append(dialect, [message])
    if remove:
        yield from groups.remove_members(dialect, id, remove, info.member_update_dt, Silence.NONE)
    yield from groups.save(dialect, info)


def _recall(dialect: Dialect, message: NewMessage, uids: Sequence[str]) -> Unit[list[messages.Entry]]:
    yield from messages.body_for_change(dialect, message.id)
    yield from messages.replace_body(dialect, message.id, b"recalled")
    group_id = message.audience.group if message.audience else ""
    late = yield from group_log.not_given(dialect, group_id, message.id, uids)
    told = [uid for uid in uids if uid not in late]
    sql = "SELECT uid FROM inbox WHERE message_id = ?"
    given = {uid for (uid,) in (yield Query(sql, (message.id,))).rows}
    assert given == set(told), "who has it is told, and nobody else"
    return (yield from recalls.keep(dialect, message.id, "operator", "", told))


async def rows_of(store: Store, id: int) -> set[str]:
    """Return who has an entry of a message."""
    return {uid for (uid,) in await store.read(select, "SELECT uid FROM inbox WHERE message_id = ?", id)}


async def sleepers(store: Store, id: str) -> set[str]:
    sql = "SELECT uid FROM group_members WHERE group_id = ? AND given >= 0 AND type <> ?"
    return {uid for (uid,) in await store.read(select, sql, id, MemberType.REMOVED)}
