"""Inboxes: the entries that a device pulls, and where an inbox ends (contract.md section 6)."""

from collections.abc import Sequence
from typing import NamedTuple

from fsharechat.store import groups
from fsharechat.store.messages import AROUND, group_of
from fsharechat.store.unit import Dialect, Query, Row, Unit, select_in

MAX_PULL_BYTES = 64 * 1024
"""The largest size of the messages in one answer to an MP, bytes (contract.md section 6)."""

NOTHING = -1
"""The position in an inbox of a device that has nothing, and was given nothing."""


class PulledEntry(NamedTuple):
    """Entry `seq` of an inbox. `sender_client` is the device that sent it, if known."""

    seq: int
    sender: str
    sender_client: str
    body: bytes


class PulledInbox(NamedTuple):
    """Entries of an inbox, oldest first, and its last seq.

    If the entries are for a device that has nothing, `begin` is the seq below them, and the device needs no entries
    below it. Else it is NOTHING.
    """

    entries: list[PulledEntry]
    head: int
    begin: int = NOTHING


_SMALL = 1024
"""A body of up to so many bytes is read together with its size, a larger one when it is certain that it is given."""
_LISTED = f"""
SELECT i.seq, m.id, m.conversation, m.sender, m.client, LENGTH(m.body),
CASE WHEN LENGTH(m.body) <= {_SMALL} THEN m.body END
FROM inbox i JOIN messages m ON m.id = i.message_id
"""
_OLDEST = f"{_LISTED} WHERE i.uid = ? AND i.seq > ? AND i.seq <= ? ORDER BY i.seq LIMIT ?"
_NEWEST = f"{_LISTED} WHERE i.uid = ? AND i.seq <= ? ORDER BY i.seq DESC LIMIT ?"
_PAGE = 256
"""How many entries one statement reads. The first pull reads up to MAX_PAGE when it goes on."""
_MAX_PAGE = 2048
MAX_LOOKED_AT = 32 * _MAX_PAGE
"""How many entries the first pull searches for messages of groups that the user is still in. LRM has the others."""


def pull(dialect: Dialect, uid: str, after: int, claim: int = 0) -> Unit[PulledInbox]:
    """Return the oldest entries with seq above `after`, up to MAX_PULL_BYTES together, at least one.

    If `after` is NOTHING or above the head, these are the newest entries instead, without messages of groups that the
    user has left; `begin` is the seq below the oldest of them. A device that was given nothing may still claim to
    have the inbox up to `claim`, since it may have been here before. It gets all entries after `claim`, if that is
    more.
    """
    head = (yield from heads(dialect, [uid])).get(uid, 0)
    if 0 <= after <= head:
        return (yield from _oldest_entries(uid, after, head))
    newest = yield from _newest_entries(uid, head)
    if not 0 < claim < newest.begin:
        return newest
    return (yield from _oldest_entries(uid, claim, head))._replace(begin=claim)


def _oldest_entries(uid: str, after: int, head: int) -> Unit[PulledInbox]:
    taken: list[Row] = []
    size = 0
    while after < head:
        rows = (yield Query(_OLDEST, (uid, after, head, _PAGE))).rows
        for row in rows:
            size += row[5] + AROUND
            if size > MAX_PULL_BYTES and taken:
                return PulledInbox((yield from _whole(taken)), head)
            taken.append(row)
        if len(rows) < _PAGE:
            break
        after = int(rows[-1][0])
    return PulledInbox((yield from _whole(taken)), head)


def _whole(rows: Sequence[Row]) -> Unit[list[PulledEntry]]:
    """Return the entries of listed rows, with the bodies of the large ones."""
    bodies: dict[int, bytes | None] = {id: body for _, id, _, _, _, _, body in rows}
    large = [id for id, body in bodies.items() if body is None]
    if large:
        bodies |= dict((yield from select_in("SELECT id, body FROM messages WHERE id IN ({})", large)))
    return [
        PulledEntry(int(seq), sender, client or "", body)
        for seq, id, _, sender, client, _, _ in rows
        if (body := bodies[id]) is not None  # else it was removed a moment ago
    ]


def _newest_entries(uid: str, head: int) -> Unit[PulledInbox]:
    """Return the newest entries of an inbox, oldest first, without those of groups that the user has left.

    Only the newest MAX_LOOKED_AT entries are searched.
    """
    left = yield from groups.left_by(uid)
    size, upto, looked_at, page = 0, head, 0, _PAGE
    taken: list[Row] = []
    while size <= MAX_PULL_BYTES and looked_at < MAX_LOOKED_AT:
        looked_at += page
        rows = (yield Query(_NEWEST, (uid, upto, page))).rows
        for row in rows:
            if not left or group_of(row[2]) not in left:
                size += row[5] + AROUND
                if size > MAX_PULL_BYTES and taken:
                    break
                taken.append(row)
            upto = int(row[0]) - 1
        if len(rows) < page:
            break
        page = min(2 * page, _MAX_PAGE)
    return PulledInbox((yield from _whole(taken[::-1])), head, upto)


def heads(_: Dialect, uids: Sequence[str]) -> Unit[dict[str, int]]:
    """Return the last seq of each inbox that has any entry."""
    rows = yield from select_in("SELECT uid, seq FROM heads WHERE uid IN ({})", uids)
    return dict(rows)
