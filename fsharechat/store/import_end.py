"""The end of an import (imports.py): what needs all rows together, and the check."""

from collections.abc import Sequence

from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import FriendState, MemberType
from fsharechat.store import groups, heads
from fsharechat.store.groups import Silence
from fsharechat.store.import_messages import GREETING_MS, NOTE, InboxRow, moved_ids
from fsharechat.store.imports import ImportNote, ImportOutcome
from fsharechat.store.unit import Dialect, Query, Row, Unit, find_many, insert_many, select_in

PAGE = 500


def _notes(kind: ImportNote, after: tuple[str, str]) -> Unit[list[Row]]:
    sql = (
        "SELECT name, uid, number FROM import_notes WHERE kind = ? AND (name > ? OR (name = ? AND uid > ?)) "
        "ORDER BY name, uid LIMIT ?"
    )
    return (yield Query(sql, (kind, after[0], *after, PAGE))).rows


def put_late(dialect: Dialect, after: tuple[str, str]) -> Unit[tuple[ImportOutcome, tuple[str, str] | None]]:
    """Give users at the end of their inboxes the messages whose seqs were others'. They are told as what is new."""
    outcome = ImportOutcome()
    rows = yield from _notes(ImportNote.LATE, after)
    counts: dict[str, int] = {}
    for _, uid, _ in rows:
        counts[uid] = counts.get(uid, 0) + 1
    reached = yield from dialect.advance(counts, "seq") if counts else _no_heads()
    for name, uid, id in rows:
        seq = reached[uid] - counts[uid] + 1
        counts[uid] -= 1
        yield from insert_many("inbox", InboxRow._fields, [(uid, seq, id)])
        where = "kind = ? AND name = ? AND uid = ?"
        yield Query(f"DELETE FROM import_notes WHERE {where}", (ImportNote.LATE, name, uid))
        outcome.note("two entries of an inbox had one seq: the second one is at its end now", f"{uid}: {id}")
    return outcome, _behind(rows)


def _no_heads() -> Unit[dict[str, int]]:
    yield from ()
    return {}


def _behind(rows: Sequence[Row]) -> tuple[str, str] | None:
    """Return behind which row to go on; None where there is no more."""
    return (rows[-1][0], rows[-1][1]) if len(rows) == PAGE else None


def give_back_greetings(
    _: Dialect, after: tuple[str, str]
) -> Unit[tuple[ImportOutcome, tuple[str, str] | None]]:
    """Let messages that the server sent as greetings be no device's own."""
    rows = yield from _notes(ImportNote.GREETED, after)
    for _name, uid, id in rows:
        sql = (
            "SELECT m.id, m.sender FROM messages t JOIN messages m ON m.conversation = t.conversation "
            "AND m.id < t.id WHERE t.id = ? ORDER BY m.id DESC LIMIT 1"
        )
        for before, sender in (yield Query(sql, (id,))).rows:
            if sender == uid and time_of(id) - time_of(before) < GREETING_MS:
                yield Query("UPDATE messages SET client = NULL WHERE id = ?", (before,))
    return ImportOutcome(), _behind(rows)


def take_out_quitters(
    dialect: Dialect, after: tuple[str, str]
) -> Unit[tuple[ImportOutcome, tuple[str, str] | None]]:
    """Take out of groups who has quit: the original leaves their rows as they were."""
    outcome = ImportOutcome()
    rows = yield from _notes(ImportNote.LEFT, after)
    pairs = [(int(ImportNote.JOINED), name, uid) for name, uid, _ in rows]
    notes = yield from find_many(dialect, "import_notes", ("name", "uid", "number"), NOTE, pairs)
    joined: dict[Row, int] = {(name, uid): id for name, uid, id in notes}
    for name, uid, left in rows:
        if joined.get((name, uid), 0) > left:
            continue
        _, seats = yield from groups.seat(dialect, name, uid)
        if uid not in seats:
            continue
        yield from groups.remove_members(dialect, name, [uid], time_of(left), Silence.LEFT)
        if seats[uid] == MemberType.OWNER:
            owner = yield from groups.promote_eldest(dialect, name, time_of(left))
            yield Query("UPDATE chat_groups SET owner = ? WHERE id = ?", (owner, name))
            outcome.note("the owner had quit: the eldest member is the owner now", f"{name}: {uid}, {owner}")
    return outcome, _behind(rows)


def count_members(_: Dialect, after: str) -> Unit[tuple[ImportOutcome, str | None]]:
    """Set how many members groups have, and say where the original thought otherwise."""
    outcome = ImportOutcome()
    sql = "SELECT id, member_count FROM chat_groups WHERE id > ? ORDER BY id LIMIT ?"
    thought: dict[str, int] = dict((yield Query(sql, (after, PAGE))).rows)
    sql = (
        f"SELECT group_id, COUNT(*) FROM group_members WHERE type <> {int(MemberType.REMOVED)} "
        "AND group_id IN ({}) GROUP BY group_id"
    )
    found: dict[str, int] = dict((yield from select_in(sql, list(thought))))
    for id, count in thought.items():
        here = found.get(id, 0)
        if here != count:
            yield Query("UPDATE chat_groups SET member_count = ? WHERE id = ?", (here, id))
            more = (
                "a group has more members than the original counted: somebody may have left unseen"
                if here > count
                else "a group has fewer members than the original counted"
            )
            outcome.note(more, f"{id}: {here}, not {count}")
    return outcome, max(thought) if len(thought) == PAGE else None


def bury_groups(dialect: Dialect, after: str) -> Unit[tuple[ImportOutcome, str | None]]:
    """Keep the ids of groups that are gone but have messages: nobody may make a group that has their history."""
    outcome = ImportOutcome()
    conversations: list[str] = []
    behind = after or "1|"
    for _ in range(PAGE):
        sql = "SELECT MIN(conversation) FROM messages WHERE conversation > ? AND conversation < ?"
        (found,) = (yield Query(sql, (behind, "1}"))).rows[0]
        if found is None:
            break
        conversations.append(found)
        behind = found
    ids = {conversation.split("|", 2)[2]: conversation for conversation in conversations}
    known = {i for (i,) in (yield from select_in("SELECT id FROM chat_groups WHERE id IN ({})", list(ids)))}
    for id in sorted(ids.keys() - known):
        rows = (
            yield Query(
                "SELECT sender, id FROM messages WHERE conversation = ? ORDER BY id LIMIT 1", (ids[id],)
            )
        ).rows
        owner, first = rows[0]
        info = groups.Info(id, "", "", owner, 0, "", 0, True, time_of(first), time_of(first))
        yield Query(dialect.insert_new("chat_groups", groups.Info._fields), info)
        sql = "SELECT uid FROM import_notes WHERE kind = ? AND name = ?"
        named = {uid for (uid,) in (yield Query(sql, (ImportNote.JOINED, id))).rows} | {owner}
        columns = ("group_id", "uid", "alias", "type", "joined_ms", "update_dt")
        members = [(id, uid, "", MemberType.REMOVED, time_of(first), time_of(first)) for uid in sorted(named)]
        yield from insert_many("group_members", columns, members)
        outcome.put += 1
    return outcome, behind if len(conversations) == PAGE else None


def look_beneath(
    dialect: Dialect, after: tuple[str, str]
) -> Unit[tuple[ImportOutcome, tuple[str, str] | None]]:
    """Say what two users are beneath a blacklisting: friends, where the other one still says so."""
    outcome = ImportOutcome()
    sql = (
        "SELECT uid, friend_uid FROM friends WHERE state = ? AND (uid > ? OR (uid = ? AND friend_uid > ?)) "
        "ORDER BY uid, friend_uid LIMIT ?"
    )
    rows = (yield Query(sql, (FriendState.BLACKLISTED, after[0], *after, PAGE))).rows
    keys, pairs = ("uid", "friend_uid"), [(friend, uid) for uid, friend in rows]
    for friend, uid, state in (yield from find_many(dialect, "friends", (*keys, "state"), keys, pairs)):
        if state == FriendState.FRIEND:
            sql = "UPDATE friends SET beneath = ? WHERE uid = ? AND friend_uid = ?"
            yield Query(sql, (FriendState.FRIEND, uid, friend))
            outcome.put += 1
    return outcome, _behind(rows)


def forget_notes(dialect: Dialect) -> Unit[bool]:
    """Remove some notes; return whether there are more."""
    total = 0
    for kind in ImportNote:
        rows = yield from _notes(kind, ("", ""))
        total += len(rows)
        for name, uid, _ in rows:
            where = "kind = ? AND name = ? AND uid = ?"
            yield Query(f"DELETE FROM import_notes WHERE {where}", (kind, name, uid), unread=True)
    return total > 0


# The check

COUNT_STEP = 20_000


def count_up(_: Dialect, table: str, key: str, after: str | int) -> Unit[tuple[int, str | int | None]]:
    """Count some rows behind a key that each has for itself: how many, and behind which to go on."""
    sql = f"SELECT COUNT(*), MAX({key}) FROM (SELECT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?) t"
    number, last = (yield Query(sql, (after, COUNT_STEP))).rows[0]
    return number, last if number == COUNT_STEP else None


NOT_BURIED = "IN (SELECT id FROM chat_groups WHERE dismissed = 0)"


def count_by(_: Dialect, table: str, key: str, condition: str, after: str) -> Unit[tuple[int, str | None]]:
    """Count the rows of some keys behind one, of those whose key fulfils a condition."""
    sql = f"SELECT DISTINCT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT 20"
    keys = [one for (one,) in (yield Query(sql, (after,))).rows]
    if not keys:
        return 0, None
    also = f" AND {key} {condition}" if condition else ""
    found = yield from select_in(f"SELECT COUNT(*) FROM {table} WHERE {key} IN ({{}}){also}", keys)
    return sum(number for (number,) in found), keys[-1]


def seat(_: Dialect, uid: str, seq: int) -> Unit[tuple[int, int]]:
    """Return the message at a place of an inbox, 0 where there is none, and the head."""
    rows = (yield Query("SELECT message_id FROM inbox WHERE uid = ? AND seq = ?", (uid, seq))).rows
    own = yield from heads.own(_, [uid])
    return (rows[0][0] if rows else 0), own[uid].seq if uid in own else 0


def has(_: Dialect, uid: str, message_id: int) -> Unit[bool]:
    """Return whether an inbox has a message. It reads the whole inbox."""
    sql = "SELECT 1 FROM inbox WHERE uid = ? AND message_id = ? LIMIT 1"
    return bool((yield Query(sql, (uid, message_id))).rows)


def renamed(_: Dialect, message_id: int) -> Unit[set[int]]:
    """Return the ids of messages that had this id, which was another one's."""
    return set((yield from moved_ids([message_id])).values())
