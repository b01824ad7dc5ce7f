"""Groups and their members (contract.md sections 5, 7 and 8).

Each change locks the row of the group first, so the changes of several processes happen one after the other. Members
who leave keep their row, with the type REMOVED: a first login must not show them messages of the group any more.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from fsharechat.protocol.signals import MemberType
from fsharechat.store import group_log
from fsharechat.store.unit import Dialect, Query, Row, Unit, change_in, chunks, insert_many, marks, select_in


class Info(NamedTuple):
    """One row of chat_groups. `update_dt` and `member_update_dt` (ms) grow with each change."""

    id: str
    name: str
    portrait: str
    owner: str
    type: int
    extra: str
    member_count: int
    dismissed: bool
    update_dt: int
    member_update_dt: int


class Silence(IntEnum):
    """How a silenced member left. The silence lasts if they come back (contract.md section 8)."""

    NONE = 0
    LEFT = 1
    KICKED = 2


class NewMember(NamedTuple):
    """A user who becomes a member. `until` (ms) ends the silence of a silenced one, 0: it has no end."""

    uid: str
    type: int
    alias: str = ""
    until: int = 0


class OldSilence(NamedTuple):
    """How a user who was silenced left a group, and when (ms) the silence ends; 0: it has no end."""

    how: Silence
    until: int


class MemberFace(NamedTuple):
    """The visible part of a member: name, and address of the portrait, "" if there is none."""

    uid: str
    name: str
    portrait: str


class Look(NamedTuple):
    """The look of a group: its own portrait, and its oldest members."""

    portrait: str
    faces: list[MemberFace]


class GroupMembers(NamedTuple):
    """The members of a group: they decide who may send to it, and who gets messages. A dismissed group has none."""

    type: int
    owner: str
    version: int
    """The group's member_update_dt in ms. Data read with an older one may be wrong."""
    types: dict[str, int]
    """MemberType by uid, without removed members."""
    logged: bool = False
    """Whether it has a log (group_log.py). A group with a log keeps it."""


_COLUMNS = ", ".join(Info._fields)
_SELECT = f"SELECT {_COLUMNS} FROM chat_groups"
_MEMBER_COLUMNS = ("group_id", "uid", "alias", "type", "joined_ms", "update_dt", "silenced_until")
_PRESENT = f"group_id = ? AND type <> {int(MemberType.REMOVED)}"


def infos(_: Dialect, ids: Sequence[str]) -> Unit[dict[str, Info]]:
    """Return the groups that exist and are not dismissed."""
    rows = yield from select_in(f"{_SELECT} WHERE dismissed = 0 AND id IN ({{}})", ids)
    return {row[0]: Info(*row) for row in rows}


def locked(dialect: Dialect, id: str) -> Unit[Info | None]:
    """Return a group, dismissed or not, locked for a change of it or its members."""
    rows = (yield Query(f"{_SELECT} WHERE id = ?{dialect.locking}", (id,))).rows
    return Info(*rows[0]) if rows and rows[0][0] == id else None  # for MySQL "a " is "a"


def create(dialect: Dialect, info: Info) -> Unit[bool]:
    """Add a group without members. Return False, with its row locked, if the id is taken."""
    yield Query(dialect.insert_new("chat_groups", Info._fields), info)
    # Two writers of one id get here one after the other. By then the first has made the creator a member.
    sql = "SELECT COUNT(*) FROM group_members WHERE group_id = ?"
    return int((yield Query(sql, (info.id,))).rows[0][0]) == 0


def members(_: Dialect, id: str) -> Unit[GroupMembers | None]:
    """Return the members of a group, None if there never was such a group."""
    # Read the version first. If a change comes in between, the rest is newer than the version, and is read again.
    sql = "SELECT id, type, owner, member_update_dt, log_pos FROM chat_groups WHERE id = ?"
    rows = (yield Query(sql, (id,))).rows
    if not rows or rows[0][0] != id:  # MySQL also finds an id with spaces behind it
        return None
    _, kind, owner, version, log_pos = rows[0]
    return GroupMembers(kind, owner, version, (yield from present(id)), log_pos is not None)


def version(_: Dialect, id: str) -> Unit[int]:
    """Return the version of the members of a group, 0 if there is no such group."""
    rows = (yield Query("SELECT member_update_dt FROM chat_groups WHERE id = ?", (id,))).rows
    return int(rows[0][0]) if rows else 0


def present(id: str) -> Unit[dict[str, int]]:
    """Return the MemberType of all members of a group who are not removed."""
    rows = (yield Query(f"SELECT uid, type FROM group_members WHERE {_PRESENT} ORDER BY uid", (id,))).rows
    return dict(rows)


def seat(_: Dialect, id: str, uid: str) -> Unit[tuple[Info | None, dict[str, int]]]:
    """Return a group that is not dismissed, and by uid the MemberType of one user, if that user is a member.

    It reads only two rows, however large the group is: strangers may ask often.
    """
    rows = (yield Query(f"{_SELECT} WHERE id = ? AND dismissed = 0", (id,))).rows
    if not rows or rows[0][0] != id:
        return None, {}
    sql = f"SELECT uid, type FROM group_members WHERE {_PRESENT} AND uid = ?"
    return Info(*rows[0]), dict((yield Query(sql, (id, uid))).rows)


def member_list(dialect: Dialect, id: str, uid: str, head: int) -> Unit[list[Row]]:
    """Return (uid, alias, type, update_dt, silenced_until) of the members, as the member `uid` may see them.

    It is empty for an unknown or dismissed group, if the members have not changed since the version `head`, and if
    `uid` is no member.
    """
    info, seats = yield from seat(dialect, id, uid)
    if info is None or info.member_update_dt <= head or uid not in seats:
        return []
    columns = "uid, alias, type, update_dt, silenced_until"
    sql = f"SELECT {columns} FROM group_members WHERE {_PRESENT} ORDER BY joined_ms, uid"
    return (yield Query(sql, (id,))).rows


def put_members(_: Dialect, id: str, new: Sequence[NewMember], now: int) -> Unit[None]:
    """Add members. They are not members now, but may have been before."""
    sql = "DELETE FROM group_members WHERE group_id = ? AND uid IN ({})"
    yield from change_in(sql, [member.uid for member in new], id)
    rows = [(id, member.uid, member.alias, member.type, now, now, member.until) for member in new]
    yield from insert_many("group_members", _MEMBER_COLUMNS, rows)


def remove_members(dialect: Dialect, id: str, uids: Sequence[str], now: int, silence: Silence) -> Unit[None]:
    """Remove members from a locked group. `silence` is noted for those who are silenced."""
    yield from group_log.leave(dialect, id, uids)
    lasts = f"type = {int(MemberType.SILENCED)} AND (silenced_until = 0 OR silenced_until > ?)"
    kept = f"CASE WHEN {lasts} THEN {int(silence)} ELSE {int(Silence.NONE)} END"
    sql = (
        # The silence comes first, because MySQL assigns one column after the other.
        f"UPDATE group_members SET silence = {kept}, type = {int(MemberType.REMOVED)}, update_dt = ? "
        "WHERE group_id = ? AND uid IN ({})"
    )
    yield from change_in(sql, uids, now, now, id)


def silences(_: Dialect, id: str, uids: Sequence[str], now: int) -> Unit[dict[str, OldSilence]]:
    """Return the silence of users who are not members now, if they were silenced when they left and still are."""
    lasts = "silence <> 0 AND (silenced_until = 0 OR silenced_until > ?)"
    sql = f"SELECT uid, silence, silenced_until FROM group_members WHERE group_id = ? AND {lasts} AND uid IN ({{}})"
    rows = yield from select_in(sql, uids, id, now)
    return {uid: OldSilence(Silence(how), until) for uid, how, until in rows}


def set_types(_: Dialect, id: str, uids: Sequence[str], type: int, until: int, now: int) -> Unit[None]:
    """Set the MemberType of members of a locked group, and the end of their silence (ms)."""
    sql = "UPDATE group_members SET type = ?, silenced_until = ?, update_dt = ? WHERE group_id = ? AND uid IN ({})"
    yield from change_in(sql, uids, type, until, now, id)


def set_alias(_: Dialect, id: str, uid: str, alias: str, now: int) -> Unit[None]:
    """Set the alias of a member of a locked group."""
    sql = "UPDATE group_members SET alias = ?, update_dt = ? WHERE group_id = ? AND uid = ?"
    yield Query(sql, (alias, now, id, uid))


def silence_is_over(_: Dialect, id: str, uid: str, now: int) -> Unit[bool]:
    """Return whether a member is silenced until a time (ms) that has passed."""
    sql = "SELECT type, silenced_until FROM group_members WHERE group_id = ? AND uid = ?"
    rows = (yield Query(sql, (id, uid))).rows
    return bool(rows) and rows[0][0] == MemberType.SILENCED and 0 < rows[0][1] <= now


def end_silence(dialect: Dialect, id: str, uid: str, now: int) -> Unit[bool]:
    """Make a member normal whose silence is over. Return whether it was."""
    info = yield from locked(dialect, id)
    if info is None or info.dismissed or not (yield from silence_is_over(dialect, id, uid, now)):
        return False
    info = members_changed(info, info.member_count, now)
    yield from set_types(dialect, id, [uid], MemberType.NORMAL, 0, info.member_update_dt)
    yield from save(dialect, info)
    return True


def remove_all(dialect: Dialect, id: str, now: int) -> Unit[None]:
    """Remove all members from a locked group."""
    yield from group_log.leave(dialect, id)
    sql = f"UPDATE group_members SET type = {int(MemberType.REMOVED)}, update_dt = ? WHERE {_PRESENT}"
    yield Query(sql, (now, id))


def promote_eldest(_: Dialect, id: str, now: int) -> Unit[str]:
    """Make the oldest member the owner. Return the uid, "" if nobody is left.

    Silenced members come last.
    """
    last = f"type = {int(MemberType.SILENCED)}"
    sql = f"SELECT uid FROM group_members WHERE {_PRESENT} ORDER BY {last}, joined_ms, uid LIMIT 1"
    rows = (yield Query(sql, (id,))).rows
    if not rows:
        return ""
    uid: str = rows[0][0]
    sql = "UPDATE group_members SET type = ?, update_dt = ? WHERE group_id = ? AND uid = ?"
    yield Query(sql, (MemberType.OWNER, now, id, uid))
    return uid


def save(_: Dialect, info: Info) -> Unit[None]:
    """Write the new values of a locked group."""
    assignments = ", ".join(f"{column} = ?" for column in Info._fields[1:])
    yield Query(f"UPDATE chat_groups SET {assignments} WHERE id = ?", (*info[1:], info.id))


def look(_: Dialect, id: str, count: int) -> Unit[Look | None]:
    """Return the look of a group, with `count` of its members, None if there is no such group."""
    rows = (yield Query("SELECT portrait FROM chat_groups WHERE id = ? AND dismissed = 0", (id,))).rows
    if not rows:
        return None
    first = f"SELECT uid, joined_ms FROM group_members WHERE {_PRESENT} ORDER BY joined_ms, uid LIMIT ?"
    sql = (
        f"SELECT f.uid, u.display_name, u.portrait FROM ({first}) f JOIN users u ON u.uid = f.uid "
        "ORDER BY f.joined_ms, f.uid"
    )
    return Look(rows[0][0], [MemberFace(*row) for row in (yield Query(sql, (id, count))).rows])


def faces_of(_: Dialect, uids: Iterable[str], count: int) -> Unit[list[MemberFace]]:
    """Return the `count` members that `look` will find first in a group that these users are about to make."""
    found: list[MemberFace] = []
    for part in chunks(sorted(set(uids))):
        sql = f"SELECT uid, display_name, portrait FROM users WHERE uid IN ({marks(len(part))}) ORDER BY uid LIMIT ?"
        found += [MemberFace(*row) for row in (yield Query(sql, (*part, count - len(found)))).rows]
        if len(found) >= count:
            break
    return found


def set_portrait(dialect: Dialect, id: str, before: str, portrait: str, now: int) -> Unit[bool]:
    """Set the portrait of a group if it still is `before`. Return whether it was."""
    info = yield from locked(dialect, id)
    if info is None or info.dismissed or info.portrait != before:
        return False
    yield from save(dialect, info._replace(portrait=portrait, update_dt=after(info.update_dt, now)))
    return True


def left_by(uid: str) -> Unit[set[str]]:
    """Return the groups that a user has left."""
    sql = "SELECT group_id FROM group_members WHERE uid = ? AND type = ?"
    return {id for (id,) in (yield Query(sql, (uid, MemberType.REMOVED))).rows}


def joined(_: Dialect, ids: Sequence[str], uid: str) -> Unit[dict[str, int]]:
    """Return since when (ms) a user is a member, for those of the groups that the user is in."""
    sql = "SELECT group_id, joined_ms FROM group_members WHERE uid = ? AND type <> ? AND group_id IN ({})"
    return dict((yield from select_in(sql, ids, uid, MemberType.REMOVED)))


class MyGroup(NamedTuple):
    """A group of a user: its facts, and the user's own type and alias. REMOVED: the user has left."""

    info: Info
    type: int
    alias: str


def of_user(_: Dialect, uid: str, version: int, after: str, count: int) -> Unit[list[MyGroup]]:
    """Return the first `count` groups of a user with an id above `after`, in the order of their ids.

    For version 0 these are the groups that the user is in, else those that have changed after that version (ms).
    """
    columns = ", ".join(f"g.{column}" for column in Info._fields)
    if version > 0:
        news = f"(m.type <> {int(MemberType.REMOVED)} AND g.update_dt > ? OR m.update_dt > ?)"
        params: tuple[object, ...] = (uid, after, version, version, count)
    else:
        news = f"m.type <> {int(MemberType.REMOVED)}"
        params = (uid, after, count)
    sql = (
        f"SELECT {columns}, m.type, m.alias FROM group_members m JOIN chat_groups g ON g.id = m.group_id "
        f"WHERE m.uid = ? AND m.group_id > ? AND {news} ORDER BY m.group_id LIMIT ?"
    )
    rows = (yield Query(sql, params)).rows
    return [MyGroup(Info(*info), kind, alias) for *info, kind, alias in rows]


def known_users(uids: Iterable[str]) -> Unit[set[str]]:
    """Return the users that exist."""
    rows = yield from select_in("SELECT uid FROM users WHERE uid IN ({})", list(uids))
    return {uid for (uid,) in rows}


def after(version: int, now: int) -> int:
    """Return the next version: the time, or the last version plus one if two changes fall into a millisecond."""
    return max(now, version + 1)


def members_changed(info: Info, count: int, now: int) -> Info:
    """Return a group that now has `count` members, with both versions raised."""
    return info._replace(
        member_count=count,
        update_dt=after(info.update_dt, now),
        member_update_dt=after(info.member_update_dt, now),
    )
