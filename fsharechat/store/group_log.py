"""The logs of large groups: absent members get their inbox entries later, when they look
(docs/decisions/group-log.md).

A member is **awake** when the inbox has all messages of the group. Else the member is **asleep**: the inbox has the
group's log up to a position, and the rest is given later. Two locks guard this. Members fall asleep or wake under the
lock of the group's row. The position of a member moves under the lock of the user's head. A transaction that needs
both locks the groups first, in order.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from fsharechat.errors import StoreError
from fsharechat.protocol.signals import MemberType
from fsharechat.store import fence
from fsharechat.store.unit import Dialect, Query, Row, Unit, change_in, chunks, insert_many, marks, select_in

AWAKE = -1
"""The value instead of a position for a member who is awake."""

LARGE = 200
"""Only members of groups larger than this may be put to sleep."""

MAX_GIVEN = 2_500
"""The most entries that one transaction gives (SQLite: 25 ms, MariaDB: 60 ms)."""

FEW_BEHIND = 500
"""A user who is at most so many entries behind is woken in one transaction, which locks the user's groups."""

MAX_SLEEPERS = 500
"""The most members who are put to sleep in one transaction."""

_PAGE = 512
_FIRST_PAGE = 64
_TERMS = 100
"""How many logs' first pages one statement reads. SQLite takes 500 parts of a compound SELECT."""

_PRESENT = f"type <> {int(MemberType.REMOVED)}"


class FarBehind(StoreError):
    """Nothing was done: these users must first be given more than one transaction gives. The store does that."""

    def __init__(self, uids: Collection[str]) -> None:
        super().__init__(f"{len(uids)} users have much of their groups' logs to come")
        self.uids = sorted(uids)


class GroupLogState(NamedTuple):
    """The version of the members of a group, and the last position of its log, None if it has no log."""

    version: int
    log_pos: int | None


class Behind(NamedTuple):
    """`uid` must be given a group's log above `given` up to `upto`. `owed`: the user has left the group."""

    uid: str
    group_id: str
    given: int
    upto: int
    owed: bool


# Locks


def lock_groups(dialect: Dialect, ids: Iterable[str]) -> Unit[None]:
    """Lock groups: until the unit is done, no other writer changes them, or puts to sleep or wakes their members."""
    if dialect.shared:
        yield from select_in(
            f"SELECT id FROM chat_groups WHERE id IN ({{}}) ORDER BY id{dialect.locking}", sorted(set(ids))
        )


def lock_heads(dialect: Dialect, uids: Iterable[str]) -> Unit[None]:
    """Lock heads: until the unit is done, no other writer gives these users anything.

    A user without a head is new to every process.
    """
    if dialect.shared:
        yield from select_in(
            f"SELECT uid FROM heads WHERE uid IN ({{}}) ORDER BY uid{dialect.locking}", sorted(set(uids))
        )


def states(dialect: Dialect, ids: Collection[str]) -> Unit[dict[str, GroupLogState]]:
    """Return the states of groups that messages go to. Groups with a log are locked.

    If the log of a group begins meanwhile, the message goes the way without a log: members who were put to sleep get
    it too.
    """
    sql = "SELECT id, member_update_dt, log_pos FROM chat_groups WHERE id IN ({})"
    found = {id: GroupLogState(*state) for id, *state in (yield from select_in(sql, list(ids)))}
    logged = sorted(id for id, state in found.items() if state.log_pos is not None)
    if logged and dialect.shared:
        rows = yield from select_in(f"{sql} ORDER BY id{dialect.locking}", logged)
        found |= {id: GroupLogState(*state) for id, *state in rows}
    return found


def awake(group_id: str) -> Unit[list[str]]:
    """Return the members of a group who are awake."""
    sql = f"SELECT uid FROM group_members WHERE group_id = ? AND given = {AWAKE} AND {_PRESENT}"
    return [uid for (uid,) in (yield Query(sql, (group_id,))).rows]


# Giving


def behind(uids: Sequence[str]) -> Unit[list[Behind]]:
    """Return the groups in which the users are asleep, with what they have not been given, maybe nothing."""
    sql = (
        "SELECT m.uid, m.group_id, m.given, g.log_pos, 0 FROM group_members m "
        f"JOIN chat_groups g ON g.id = m.group_id WHERE m.uid IN ({{}}) AND m.given > {AWAKE}"
    )
    rows = yield from select_in(sql, uids)
    sql = "SELECT uid, group_id, given, upto, 1 FROM group_log_owed WHERE uid IN ({})"
    rows += yield from select_in(sql, uids)
    return [
        Behind(uid, group_id, int(given), int(upto), bool(owed)) for uid, group_id, given, upto, owed in rows
    ]


@dataclass(slots=True)
class Sleeper:
    """A sleeping user, in a transaction that gives.

    `ids`: the messages that come before the next entry. `places`: the position of the user in the log of each group,
    when these are in the inbox. `far`: more must be given, so no other entry may come yet.
    """

    ids: list[int] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    far: bool = False
    _later: list[tuple[str, int, int]] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)
    """The groups in whose logs the user has moved on because of entries of this transaction."""

    def put_off(self, group_id: str, pos: int, message_id: int) -> None:
        """Note a message that now goes into a log: if the user is asleep there, it is given before the next entry."""
        if group_id in self.places:
            self._later.append((group_id, pos, message_id))

    def has(self, group_id: str, pos: int) -> None:
        """Note that the inbox has a log up to a position, if the user is asleep in that group."""
        if group_id in self.places:
            self.places[group_id] = pos
            self.moved.add(group_id)

    def take(self) -> list[int]:
        """Return the messages that come before an entry of the user, and forget them."""
        for group_id, pos, id in self._later:
            self.ids.append(id)
            self.has(group_id, pos)
        self._later.clear()
        ids, self.ids = self.ids, []
        return ids


def catch_up(uids: Sequence[str]) -> Unit[dict[str, Sleeper]]:
    """Return what the users must be given now, at most MAX_GIVEN entries together. Their heads are locked.

    The result is noted as given. The caller makes the entries.
    """
    most = MAX_GIVEN
    found = yield from behind(uids)
    sleepers = {uid: Sleeper() for uid in uids}
    sizes = dict.fromkeys(uids, 0)
    for one in found:
        sizes[one.uid] += max(0, one.upto - one.given)
        if not one.owed:
            sleepers[one.uid].places[one.group_id] = one.given
    shares: dict[str, int] = {}
    for uid in uids:
        shares[uid] = min(sizes[uid], most)
        most -= shares[uid]
        sleepers[uid].far = shares[uid] < sizes[uid]
    logs = _Logs()
    wanted: dict[str, list[_Place]] = {}
    for one in found:
        if one.upto > one.given and shares[one.uid]:
            wanted.setdefault(one.uid, []).append(_Place(one))
    yield from logs.read_first({(place.log, place.given) for places in wanted.values() for place in places})
    for uid, places in wanted.items():
        sleepers[uid].ids = yield from _merged(logs, places, shares[uid])
        for place in places:
            if not place.behind.owed:
                sleepers[uid].places[place.log] = place.given
    yield from _note([place for places in wanted.values() for place in places])
    return sleepers


class _Place:
    """The place of a user in one log."""

    def __init__(self, behind: Behind) -> None:
        self.behind = behind
        self.log = behind.group_id
        self.given = behind.given
        self.key = 0
        """The highest id so far. It keeps messages of one group in the order of its log."""
        self._page: deque[tuple[int, int]] = deque()

    def look(self, logs: "_Logs") -> Unit[bool]:
        """Load the next message. Return whether there is one."""
        if not self._page and self.given < self.behind.upto:
            page = yield from logs.page(self.log, self.given)
            self._page.extend(row for row in page if row[0] <= self.behind.upto)
            if not self._page:
                self.given = self.behind.upto
        if self._page:
            self.key = max(self.key, self._page[0][1])
        return bool(self._page)

    def take(self) -> int:
        self.given, id = self._page.popleft()
        return id


class _Logs:
    """Reads logs page by page, and each page once, however many users need it."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, int], list[tuple[int, int]]] = {}

    def read_first(self, places: Collection[tuple[str, int]]) -> Unit[None]:
        one = (
            "SELECT * FROM (SELECT group_id, ? AS place, pos, message_id FROM group_log "
            f"WHERE group_id = ? AND pos > ? ORDER BY pos LIMIT {_FIRST_PAGE}) AS t"
        )
        wanted = sorted(places)
        self._pages |= {place: [] for place in wanted}
        for start in range(0, len(wanted), _TERMS):
            part = wanted[start : start + _TERMS]
            params = [value for group_id, given in part for value in (given, group_id, given)]
            for group_id, given, pos, id in (yield Query(" UNION ALL ".join([one] * len(part)), params)).rows:
                self._pages[group_id, int(given)].append((int(pos), int(id)))
        for page in self._pages.values():
            page.sort()

    def page(self, group_id: str, given: int) -> Unit[list[tuple[int, int]]]:
        """Return positions above `given` and the messages there, in order."""
        found = self._pages.get((group_id, given))
        if found is None:
            sql = "SELECT pos, message_id FROM group_log WHERE group_id = ? AND pos > ? ORDER BY pos LIMIT ?"
            rows = (yield Query(sql, (group_id, given, _PAGE))).rows
            found = self._pages[group_id, given] = [(int(pos), int(id)) for pos, id in rows]
        return found


def _merged(logs: _Logs, places: Sequence[_Place], most: int) -> Unit[list[int]]:
    """Return the first messages of several logs, in the order of their ids. The places move on."""
    heap: list[tuple[int, int]] = []
    for number, place in enumerate(places):
        if (yield from place.look(logs)):
            heap.append((place.key, number))
    heapify(heap)
    ids: list[int] = []
    while heap and len(ids) < most:
        number = heap[0][1]
        place = places[number]
        ids.append(place.take())
        if (yield from place.look(logs)):
            heapreplace(heap, (place.key, number))
        else:
            heappop(heap)
    return ids


def _note(places: Sequence[_Place]) -> Unit[None]:
    moved: dict[tuple[str, int], list[str]] = {}
    for place in places:
        uid, group_id, before, upto, owed = place.behind
        if not owed:
            moved.setdefault((group_id, place.given), []).append(uid)
        elif place.given >= upto:
            where = "uid = ? AND group_id = ? AND given = ?"
            yield Query(f"DELETE FROM group_log_owed WHERE {where}", (uid, group_id, before), unread=True)
        elif place.given > before:
            sql = "UPDATE group_log_owed SET given = ? WHERE uid = ? AND group_id = ? AND given = ?"
            yield Query(sql, (place.given, uid, group_id, before), unread=True)
    yield from _move(moved)


def _move(moved: dict[tuple[str, int], list[str]]) -> Unit[None]:
    """Write the new positions of users who stay asleep: the users by group and position."""
    for (group_id, given), uids in moved.items():
        for part in chunks(uids):
            sql = f"UPDATE group_members SET given = ? WHERE group_id = ? AND uid IN ({marks(len(part))})"
            yield Query(sql, (given, group_id, *part), unread=True)


def note_moves(sleepers: dict[str, Sleeper]) -> Unit[None]:
    """Write the new positions of the users in the logs to which this transaction has added."""
    moved: dict[tuple[str, int], list[str]] = {}
    for uid, sleeper in sleepers.items():
        for group_id in sleeper.moved:
            moved.setdefault((group_id, sleeper.places[group_id]), []).append(uid)
    yield from _move(moved)


class Given(NamedTuple):
    """The result of giving: how many entries a user got, and the last of them, 0 if there is none.

    `more`: it must be called again.
    """

    entries: int
    seq: int
    message_id: int
    more: bool


def give(dialect: Dialect, uids: Sequence[str]) -> Unit[dict[str, Given]]:
    """Give users their entries from the logs, as many as fit into one transaction. They stay asleep."""
    yield from lock_heads(dialect, uids)
    sleepers = yield from catch_up(uids)
    counts = {uid: len(sleeper.ids) for uid, sleeper in sleepers.items() if sleeper.ids}
    heads = (yield from dialect.advance_inboxes(counts)) if counts else {}
    inbox: list[Row] = []
    for uid, count in counts.items():
        first = abs(heads[uid]) - count + 1
        inbox += [(uid, first + n, id) for n, id in enumerate(sleepers[uid].ids)]
    yield from insert_many("inbox", ("uid", "seq", "message_id"), inbox)
    return {
        uid: Given(len(one.ids), abs(heads.get(uid, 0)), one.ids[-1] if one.ids else 0, one.far)
        for uid, one in sleepers.items()
    }


# Waking


class Asleep(NamedTuple):
    """The groups in which a user is asleep, and how many entries must be given."""

    groups: list[str]
    entries: int


def asleep(_: Dialect, uid: str) -> Unit[Asleep]:
    found = yield from behind([uid])
    return Asleep([one.group_id for one in found if not one.owed], sum(one.upto - one.given for one in found))


def wake(dialect: Dialect, uid: str) -> Unit[Given]:
    """Give a user the entries from the logs of all groups, or the first of them. A user who has all is then awake."""
    groups, entries = yield from asleep(dialect, uid)
    if entries > FEW_BEHIND:
        # Without a lock of the groups: it would delay writers to these groups.
        return (yield from give(dialect, [uid]))[uid]._replace(more=True)
    yield from lock_groups(dialect, groups)
    given = (yield from give(dialect, [uid]))[uid]
    if given.more:
        return given
    sql = f"UPDATE group_members SET given = {AWAKE} WHERE uid = ? AND group_id IN ({{}})"
    yield from change_in(sql, groups, uid)
    yield from _take_turn(dialect, groups)
    left = yield from asleep(dialect, uid)  # put to sleep in another group since the first look
    if left.groups or left.entries:
        return given._replace(more=True)
    yield Query("UPDATE heads SET asleep = 0 WHERE uid = ?", (uid,), unread=True)
    return given


# Falling asleep


def put_to_sleep(dialect: Dialect, group_id: str, uids: Sequence[str]) -> Unit[list[str] | None]:
    """Put members of a large group to sleep. Return those who fell asleep now.

    None: older processes, which wake nobody, may still write to the store (fence.py), so nobody was put to sleep. A
    process that is alone closes the store to them.
    """
    if dialect.shared:
        if (yield from fence.lowest(dialect)) < fence.LEVEL:
            return None
    else:
        yield from fence.put_up(dialect)
    sql = f"SELECT log_pos, member_count FROM chat_groups WHERE id = ? AND dismissed = 0{dialect.locking}"
    rows = (yield Query(sql, (group_id,))).rows
    if not rows or rows[0][1] <= LARGE:
        return []
    pos = rows[0][0]
    sql = f"SELECT uid FROM heads WHERE uid IN ({{}}) ORDER BY uid{dialect.locking}"
    known = [uid for (uid,) in (yield from select_in(sql, sorted(uids)))]
    awake = f"group_id = ? AND given = {AWAKE} AND {_PRESENT} AND uid IN ({{}})"
    rows = yield from select_in(f"SELECT uid FROM group_members WHERE {awake}", known, group_id)
    sleepers: list[str] = [uid for (uid,) in rows]
    if not sleepers:
        return []
    if pos is None:
        pos = 0
        yield Query("UPDATE chat_groups SET log_pos = 0 WHERE id = ?", (group_id,), unread=True)
    yield from _take_turn(dialect, [group_id])
    yield from _move({(group_id, int(pos)): sleepers})
    for part in chunks(sleepers):
        yield Query(f"UPDATE heads SET asleep = 1 WHERE uid IN ({marks(len(part))})", part, unread=True)
    return sleepers


def _take_turn(dialect: Dialect, ids: Sequence[str]) -> Unit[None]:
    """Write into the rows of groups whose members fall asleep or wake.

    A lock of Galera holds on one server only. But Galera refuses the second commit that has written the same row.
    """
    for part in chunks(ids) if dialect.shared else ():
        sql = f"UPDATE chat_groups SET log_turn = log_turn + 1 WHERE id IN ({marks(len(part))})"
        yield Query(sql, part, unread=True)


# Leaving


def leave(dialect: Dialect, group_id: str, uids: Sequence[str] | None = None) -> Unit[None]:
    """Note what leaving members of a locked group have not been given; None: of all members.

    The cost does not depend on the amount. A member who comes back begins anew, and still gets the old rest.
    """
    rows = (yield Query("SELECT log_pos FROM chat_groups WHERE id = ?", (group_id,))).rows
    if not rows or rows[0][0] is None:
        return
    upto = int(rows[0][0])
    for part in chunks(uids) if uids is not None else [()]:
        where = f"group_id = ? AND given > {AWAKE}" + (f" AND uid IN ({marks(len(part))})" if part else "")
        params = (group_id, *part)
        found = (yield Query(f"SELECT uid FROM group_members WHERE {where}", params)).rows
        yield from lock_heads(dialect, (uid for (uid,) in found))
        found = (yield Query(f"SELECT uid, given FROM group_members WHERE {where}", params)).rows
        owed = [(uid, group_id, given, upto) for uid, given in found if given < upto]
        yield from insert_many("group_log_owed", ("uid", "group_id", "given", "upto"), owed)
        yield Query(f"UPDATE group_members SET given = {AWAKE} WHERE {where}", params, unread=True)


# Recalls


def not_given(dialect: Dialect, group_id: str, message_id: int, uids: Iterable[str]) -> Unit[set[str]]:
    """Return the users who have not been given a message of a group's log yet, with their heads locked.

    They will get it in its form at that time.
    """
    sql = "SELECT pos FROM group_log WHERE message_id = ? AND group_id = ?"
    rows = (yield Query(sql, (message_id, group_id))).rows
    if not rows:
        return set()
    pos = int(rows[0][0])
    yield from lock_heads(dialect, uids)
    sql = (
        f"SELECT uid FROM group_members WHERE group_id = ? AND given > {AWAKE} AND given < ? "
        "UNION SELECT uid FROM group_log_owed WHERE group_id = ? AND given < ? AND upto >= ?"
    )
    return {uid for (uid,) in (yield Query(sql, (group_id, pos, group_id, pos, pos))).rows}


# Appending


@dataclass(slots=True)
class GroupLog:
    """A group's log, in a transaction that adds to it. `pos` is its last position."""

    pos: int
    awake: list[str]


def open_logs(states: dict[str, GroupLogState], ids: Iterable[str]) -> Unit[dict[str, GroupLog]]:
    """Return the logs of the locked groups that have one."""
    found: dict[str, GroupLog] = {}
    for id in ids:
        if id in states and (pos := states[id].log_pos) is not None:
            found[id] = GroupLog(pos, (yield from awake(id)))
    return found


def keep(logs: dict[str, GroupLog], rows: Sequence[Row]) -> Unit[None]:
    """Put rows (group, position, message id) into the logs."""
    yield from insert_many("group_log", ("group_id", "pos", "message_id"), rows)
    for id in sorted({row[0] for row in rows}):
        yield Query("UPDATE chat_groups SET log_pos = ? WHERE id = ?", (logs[id].pos, id), unread=True)
