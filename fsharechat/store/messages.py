"""Messages: how they are stored, with their entries in inboxes, and how they are found again (contract.md section 6).

What a device gets of its inbox is in inboxes.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import ConversationType
from fsharechat.store import group_log, groups, webhooks
from fsharechat.store.group_log import FarBehind, GroupLog, GroupLogState, Sleeper
from fsharechat.store.unit import Dialect, Query, Row, Unit, flat, insert_many, marks, select_in
from fsharechat.tuples import maker

MAX_HISTORY_BYTES = 1 << 20
"""The largest size of the messages in one answer of history, bytes."""

MAX_NAMED_BYTES = 4 << 20
"""The largest size of the messages that one request names by their ids, bytes. Those after them are left out."""

AROUND = 6
"""The size of the tag and the length before a message in an answer, bytes."""

RESEND_MS = 86_400_000
"""The time in which a client without local ids may send a frame again, ms: a day (contract.md section 6)."""

MAX_HISTORY = 200
"""The most messages that one answer of history holds."""


class Entry(NamedTuple):
    """Message `message_id` is entry `seq` of the inbox of `uid`."""

    uid: str
    seq: int


make_entry = maker(Entry)

# On the path of every message, so read once (protocol/numbers.py).
_PRIVATE = ConversationType.PRIVATE

AS_IT_IS = -1
"""Stands for the version of members that a unit has read itself, with the row of the group locked."""


class Audience(NamedTuple):
    """The members of a group at one version (GroupMembers): all except the sender, or those in `only`.

    `logged`: the sender's process knows that the group has a log, so it has not listed them as receivers.
    """

    group: str
    version: int
    only: Collection[str] = ()
    logged: bool = False


@dataclass(slots=True)
class NewMessage:
    """A message to store. `receivers` are all except the sender, each once."""

    id: int
    sender: str
    local_id: int
    conversation: str
    body: bytes
    receivers: Sequence[str]
    retried: bool = False
    """The id may be stored already: this call repeats one that was cut off."""
    audience: Audience | None = None
    """The audience from which `receivers` was made, if it is a group."""
    sender_client: str = ""
    """The device that sent it, if any. It is kept if the client has no local ids: that device never gets the message
    again (section 6).
    """
    digest: int = 0
    """The digest that a resend shares with the message, besides sender and `local_id`; 0 if those are enough."""
    of_frame: bool = False
    """The `local_id` stands for a frame of a login session. A resend comes within RESEND_MS."""
    expected: int = 0
    """About how many members will have an entry of it, if `receivers` does not list them."""

    @property
    def weight(self) -> int:
        """About how many entries it makes besides the sender's."""
        return self.expected or len(self.receivers)


Identity = tuple[str, int, int] | int
"""Sender, local id and digest of a message, or its id if it has no local id."""


class Stored(NamedTuple):
    """The place of a message. `entries` is empty for a resend: the first copy has the `id`. Members who are asleep
    (group_log.py) have no entries yet.

    `outdated`: the group had other members than the sender's process thought. The message has gone to the present
    members. If the sender is not one of them, it has gone nowhere, and the id is 0.
    """

    id: int
    entries: list[Entry]
    outdated: bool = False


_stored = maker(Stored)


def conversation_key(kind: int, line: int, target: str, sender: str) -> str:
    """Return the key that all messages of one conversation share. A private one has both users, in a fixed order."""
    if kind == _PRIVATE:
        return f"{kind}|{line}|{target}|{sender}" if target < sender else f"{kind}|{line}|{sender}|{target}"
    return f"{kind}|{line}|{target}"


_GROUP = str(int(ConversationType.GROUP))
_DIRECTED = f"{_GROUP}d"


def directed_key(conversation: str) -> str:
    """Return the key of messages in a group's conversation that are only for some members.

    They are found through the table `directed`, which has the key of the conversation itself.
    """
    return f"{_DIRECTED}{conversation.removeprefix(_GROUP)}"


def is_directed_key(key: str) -> bool:
    """Return whether it is a `directed_key`."""
    return key.startswith(f"{_DIRECTED}|")


def undirected_key(key: str) -> str:
    """Return the key of the conversation of a `directed_key`."""
    return f"{_GROUP}{key.removeprefix(_DIRECTED)}"


def group_of(conversation: str) -> str | None:
    """Return the group of a conversation key, if it is the key of a group."""
    kind, _, line_and_target = conversation.partition("|")
    return line_and_target.partition("|")[2] if kind in (_GROUP, _DIRECTED) else None


def append(dialect: Dialect, batch: Sequence[NewMessage]) -> Unit[list[Stored]]:
    """Store messages as part of a unit, all of them (see `append_some`). Raises FarBehind."""
    late: set[int] = set()
    stored = yield from append_some(dialect, batch, late)
    if late:
        parties = ((message.sender, *message.receivers) for message in batch if message.id in late)
        raise FarBehind({uid for uids in parties for uid in uids})
    return stored


def append_some(dialect: Dialect, batch: Sequence[NewMessage], late: set[int]) -> Unit[list[Stored]]:
    """Store messages, with an inbox entry for each receiver and for the sender.

    Messages whose ids are in `late` afterwards are not stored: a receiver must first be given more than one
    transaction gives. Some of that was done. These messages must be tried again.

    In a group with a log, members who are asleep get their entries later. A message to a user who is asleep in
    another group first gives that user the entries from there. The number of statements does not depend on the number
    of messages and receivers; each log and the sleeping users take a few more.
    """
    first = yield from _stored_before(dialect, batch)
    states = yield from _states(dialect, batch)
    changed = yield from _changed_groups(batch, states)
    logs: dict[str, GroupLog] = {}
    if states:
        logs = yield from group_log.open_logs(states, _to_all(batch))
    fresh: list[NewMessage] = []
    counts: dict[str, int] = {}
    identities = [_identity(message) for message in batch]
    for message, identity in zip(batch, identities, strict=True):
        if changed and (members := changed.get(_group(message))) is not None and identity not in first:
            if message.sender not in members:
                continue
            message.receivers = _present(message, members)
        known = first.setdefault(identity, message) is not message
        if known and (message.local_id or message.retried):
            continue  # (a foreign id is no resend, and fails at the insert)
        if logs and (log := _log_of(message, logs)) is not None:
            message.receivers = [uid for uid in log.awake if uid != message.sender]
        fresh.append(message)
        counts[message.sender] = counts.get(message.sender, 0) + 1
        for uid in message.receivers:
            counts[uid] = counts.get(uid, 0) + 1
    entries = yield from _insert(dialect, fresh, counts, logs)
    if len(entries) < len(fresh):
        not_stored = {id(message) for message in fresh if message.id not in entries}
        late.update(
            message.id
            for message, identity in zip(batch, identities, strict=True)
            if id(first.get(identity)) in not_stored
        )
    return [
        _stored(
            (
                _id(first.get(identity, 0)),
                entries.pop(message.id, []),
                bool(changed) and _group(message) in changed,
            )
        )
        for message, identity in zip(batch, identities, strict=True)
    ]


def _group(message: NewMessage) -> tuple[str, int] | None:
    """Return the group that a message goes to, and the version of the members from which its receivers come."""
    return (message.audience.group, message.audience.version) if message.audience else None


def _to_all(batch: Sequence[NewMessage]) -> list[str]:
    """Return the groups of those messages that are for all members."""
    return list(
        {message.audience.group for message in batch if message.audience and not message.audience.only}
    )


def _log_of(message: NewMessage, logs: dict[str, GroupLog]) -> GroupLog | None:
    """Return the log that a message goes into, if it goes into one."""
    audience = message.audience
    return logs.get(audience.group) if audience is not None and not audience.only else None


def _states(dialect: Dialect, batch: Sequence[NewMessage]) -> Unit[dict[str, GroupLogState]]:
    ids = {message.audience.group for message in batch if message.audience}
    if not ids:
        return {}
    return (yield from group_log.states(dialect, ids))


def _changed_groups(
    batch: Sequence[NewMessage], states: dict[str, GroupLogState]
) -> Unit[dict[tuple[str, int] | None, dict[str, int]]]:
    """Return the present members of groups that have changed since the receivers were taken from them.

    So a confirmed change of members counts at once, even if the caches of other processes are behind.
    """
    old: set[tuple[str, int]] = set()
    for message in batch:
        audience = message.audience
        if audience is None or audience.version == AS_IT_IS:
            continue
        state = states.get(audience.group)
        if state is None or state.version != audience.version or (audience.logged and state.log_pos is None):
            old.add((audience.group, audience.version))
    members: dict[str, dict[str, int]] = {}
    for id, _ in old:
        if id not in members:
            members[id] = yield from groups.present(id)
    return {group: members[group[0]] for group in old}


def _present(message: NewMessage, members: dict[str, int]) -> list[str]:
    """Return the receivers of a message to a group with these members."""
    assert message.audience is not None
    wanted = message.audience.only or members
    return [uid for uid in wanted if uid in members and uid != message.sender]


def _identity(message: NewMessage) -> Identity:
    """Return the identity that a resend shares with its message."""
    return (message.sender, message.local_id, message.digest) if message.local_id else message.id


def _id(first: NewMessage | int) -> int:
    return first if isinstance(first, int) else first.id


def newest(_: Dialect) -> Unit[int]:
    """Return the highest stored message id, 0 if there is none."""
    return (yield Query("SELECT MAX(id) FROM messages")).rows[0][0] or 0


def body(_: Dialect, id: int) -> Unit[bytes | None]:
    """Return the body of a message, None if there is no such message."""
    rows = (yield Query("SELECT body FROM messages WHERE id = ?", (id,))).rows
    return rows[0][0] if rows else None


def bodies(_: Dialect, ids: Sequence[int], most: int = MAX_NAMED_BYTES) -> Unit[dict[int, bytes]]:
    """Return the bodies of the first of the messages that exist, by id: up to `most` bytes together, at least one."""
    sizes: dict[int, int] = dict(
        (yield from select_in("SELECT id, LENGTH(body) FROM messages WHERE id IN ({})", ids))
    )
    size = 0
    taken: list[int] = []
    for id in ids:
        size += sizes.get(id, 0)
        if size > most and taken:
            break
        if id in sizes:
            taken.append(id)
    return dict((yield from select_in("SELECT id, body FROM messages WHERE id IN ({})", taken)))


def message(_: Dialect, id: int) -> Unit[tuple[str, str, bytes] | None]:
    """Return the sender of a message, the device that sent it (if known), and its body."""
    rows = (yield Query("SELECT sender, client, body FROM messages WHERE id = ?", (id,))).rows
    return (rows[0][0], rows[0][1] or "", rows[0][2]) if rows else None


def first_copy(_: Dialect, sender: str, local_id: int, digest: int) -> Unit[int]:
    """Return the id of the stored message that a resend shares these with, 0 if there is none."""
    sql = "SELECT id FROM messages WHERE sender = ? AND local_id = ? AND digest = ?"
    rows = (yield Query(sql, (sender, local_id, digest))).rows
    return rows[0][0] if rows else 0


def any_undigested(_: Dialect) -> Unit[bool]:
    """Return whether there may be messages with a local id from before there were digests (migration 0048)."""
    return bool((yield Query("SELECT 1 FROM facts WHERE name = 'messages_without_digest'")).rows)


def is_stored(_: Dialect, id: int) -> Unit[bool]:
    """Return whether there is a message with this id."""
    return bool((yield Query("SELECT 1 FROM messages WHERE id = ?", (id,))).rows)


def _stored_before(dialect: Dialect, batch: Sequence[NewMessage]) -> Unit[dict[Identity, NewMessage | int]]:
    """Return the ids of stored first copies of messages in the batch."""
    first: dict[Identity, NewMessage | int] = {}
    wanted = [(message.sender, message.local_id, message.digest) for message in batch if message.local_id]
    if wanted:
        if dialect.undigested:  # these are recognised by their local ids alone
            wanted += [(sender, local_id, 0) for sender, local_id, digest in wanted if digest]
        keys = ("sender", "local_id", "digest")
        sql = dialect.find_rows("messages", (*keys, "id"), keys, len(wanted))
        rows = (yield Query(sql, flat(wanted))).rows
        found: dict[tuple[str, int, int], int] = {(sender, *known): id for sender, *known, id in rows}
        yield from _take_first(batch, found, first)
    retried = {message.id: message for message in batch if message.retried}
    if retried:
        for (id,) in (yield from select_in("SELECT id FROM messages WHERE id IN ({})", list(retried))):
            first[_identity(retried[id])] = id
    return first


def _take_first(
    batch: Sequence[NewMessage],
    found: dict[tuple[str, int, int], int],
    first: dict[Identity, NewMessage | int],
) -> Unit[None]:
    """Take the first copies from the found messages. A frame is not a resend of a message that is too old."""
    past: set[int] = set()
    for message in batch if found else ():
        sender, local_id, digest = message.sender, message.local_id, message.digest
        id = found.get((sender, local_id, digest)) or found.get((sender, local_id, 0))
        if id is None or not local_id:
            continue
        if message.of_frame and time_of(message.id) - time_of(id) > RESEND_MS:
            past.add(id)
        else:
            first[_identity(message)] = id
    if past:  # this makes room for the new message of the same frame
        yield Query(f"UPDATE messages SET local_id = NULL WHERE id IN ({marks(len(past))})", sorted(past))


def _insert(
    dialect: Dialect, fresh: Sequence[NewMessage], counts: dict[str, int], logs: dict[str, GroupLog]
) -> Unit[dict[int, list[Entry]]]:
    """Store messages. Return the entries of each. Late messages have none, and are not stored."""
    if not fresh:
        return {}
    heads = yield from dialect.advance_inboxes(counts)
    asleep: dict[str, Sleeper] = {}
    if min(heads.values()) < 0:
        sleepers = sorted(uid for uid, seq in heads.items() if seq < 0)
        heads |= {uid: -heads[uid] for uid in sleepers}
        asleep = yield from group_log.catch_up(sleepers)
        if any(sleeper.far for sleeper in asleep.values()):
            fresh = _in_time(fresh, asleep)
    last = {uid: heads[uid] - count for uid, count in counts.items()}
    entries: dict[int, list[Entry]] = {}
    inbox: list[Row] = []
    directed: list[Row] = []
    logged: list[Row] = []
    for message in fresh:
        if logs and (log := _log_of(message, logs)) is not None and message.audience is not None:
            log.pos += 1
            logged.append((message.audience.group, log.pos, message.id))
            for uid, sleeper in asleep.items():
                if uid != message.sender:
                    sleeper.put_off(*logged[-1])
        mine = entries[message.id] = []
        for uid in (message.sender, *message.receivers):
            seq = last[uid] + 1
            if asleep and uid in asleep:
                for id in asleep[uid].take():
                    inbox.append((uid, seq, id))
                    seq += 1
            last[uid] = seq
            mine.append(make_entry((uid, seq)))
            inbox.append((uid, seq, message.id))
        if asleep and logged and message.sender in asleep and logged[-1][2] == message.id:
            asleep[message.sender].has(*logged[-1][:2])
        if message.audience and _is_directed(message):
            directed += [(uid, message.conversation, message.id) for uid, _ in mine]
    if asleep:
        yield from _settle(dialect, asleep, heads, last, inbox)
        yield from group_log.note_moves(asleep)
    if logged:
        yield from group_log.keep(logs, logged)
    if not fresh:
        yield from insert_many("inbox", ("uid", "seq", "message_id"), inbox)
        return {}
    yield from insert_many(
        "messages",
        ("id", "sender", "local_id", "digest", "conversation", "body", "client"),
        [
            (
                m.id,
                m.sender,
                m.local_id or None,
                m.digest,
                _kept_as(m) if m.audience else m.conversation,
                dialect.blob(m.body),
                m.sender_client if m.of_frame or not m.local_id else "",
            )
            for m in fresh
        ],
    )
    yield from insert_many("inbox", ("uid", "seq", "message_id"), inbox)
    if dialect.hears:
        yield from webhooks.note_messages(dialect, [message.id for message in fresh])
    if directed:
        yield from insert_many("directed", ("uid", "conversation", "message_id"), directed)
    return entries


def _in_time(fresh: Sequence[NewMessage], asleep: dict[str, Sleeper]) -> list[NewMessage]:
    """Return the messages that may be stored now: none of their receivers is far behind, and no earlier message of
    the same sender is late.
    """
    far = {uid for uid, sleeper in asleep.items() if sleeper.far}
    found: list[NewMessage] = []
    for message in fresh:
        if message.sender in far or not far.isdisjoint(message.receivers):
            far.add(message.sender)
        else:
            found.append(message)
    return found


def _settle(
    dialect: Dialect,
    asleep: dict[str, Sleeper],
    heads: dict[str, int],
    last: dict[str, int],
    inbox: list[Row],
) -> Unit[None]:
    """Give the messages that no entry has followed, and move the heads to the ends of the inboxes."""
    for uid, sleeper in asleep.items():
        for id in sleeper.ids:
            last[uid] += 1
            inbox.append((uid, last[uid], id))
    moved = {uid: seq - heads[uid] for uid, seq in last.items() if seq != heads[uid]}
    if moved:
        yield from dialect.advance_inboxes(moved)


def _is_directed(message: NewMessage) -> bool:
    return message.audience is not None and bool(message.audience.only)


def _kept_as(message: NewMessage) -> str:
    """Return the conversation key for the row of a message. History for all must not find directed messages."""
    return directed_key(message.conversation) if _is_directed(message) else message.conversation


def _newest_of(ids: Sequence[int]) -> Unit[list[bytes]]:
    """Return the bodies of the first messages, up to MAX_HISTORY_BYTES together, at least one."""
    rows = yield from select_in("SELECT id, body FROM messages WHERE id IN ({})", ids)
    found: dict[int, bytes] = dict(rows)
    bodies = [found[id] for id in ids if id in found]
    size = 0
    for count, body in enumerate(bodies):
        size += len(body) + AROUND
        if size > MAX_HISTORY_BYTES and count:
            return bodies[:count]
    return bodies


_SIZES_FOR_ALL = (
    "SELECT id, LENGTH(body) FROM messages WHERE conversation = ? AND id < ? ORDER BY id DESC LIMIT ?"
)
_SIZES_FOR_ONE = """
SELECT m.id, LENGTH(m.body) FROM directed d JOIN messages m ON m.id = d.message_id
WHERE d.uid = ? AND d.conversation = ? AND d.message_id < ? ORDER BY d.message_id DESC LIMIT ?
"""


def history(_: Dialect, conversation: str, before: int, count: int, reader: str = "") -> Unit[list[bytes]]:
    """Return up to `count` (at most MAX_HISTORY) bodies of a conversation below the id `before`.

    The newest comes first. Beyond MAX_HISTORY_BYTES older ones are left out. Messages to some members of a group are
    there only if they are for the `reader`, or from the reader.
    """
    before = before or 1 << 62
    wanted = max(0, min(count, MAX_HISTORY))
    rows = list((yield Query(_SIZES_FOR_ALL, (conversation, before, wanted))).rows)
    if reader:
        rows += (yield Query(_SIZES_FOR_ONE, (reader, conversation, before, wanted))).rows
    rows.sort(reverse=True)
    ids: list[int] = []
    size = 0
    for id, length in rows[:wanted]:
        ids.append(id)
        size += length
        if size > MAX_HISTORY_BYTES:
            break
    return (yield from _newest_of(ids))


def body_for_change(dialect: Dialect, id: int) -> Unit[bytes | None]:
    """Return the body of a message, locked for a change, None if there is no such message."""
    rows = (yield Query(f"SELECT body FROM messages WHERE id = ?{dialect.locking}", (id,))).rows
    return rows[0][0] if rows else None


def replace_body(_: Dialect, id: int, body: bytes) -> Unit[None]:
    """Replace the body of a message for all later reads."""
    yield Query("UPDATE messages SET body = ? WHERE id = ?", (body, id))
