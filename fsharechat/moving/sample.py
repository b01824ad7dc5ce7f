"""A sample of what an import has read, to look whether the store says the same at the end."""

import random
from collections.abc import Sequence
from typing import TypeVar

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType
from fsharechat.store import import_end, messages
from fsharechat.store.import_messages import ImportedMessage, InboxRow
from fsharechat.store.store import Store

T = TypeVar("T")

SIZE = 300
"""Messages, and entries of inboxes."""


class ImportSample:
    """Chosen by chance among all rows of this run, each as likely as the others."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._messages: list[ImportedMessage] = []
        self._entries: list[InboxRow] = []
        self._seen = [0, 0]

    def look_at_messages(self, rows: Sequence[ImportedMessage]) -> None:
        again = {row.id: row for row in rows if row.recalled}
        # A second row is a recall of what may be in the sample.
        self._messages = [again.get(row.id, row) if again else row for row in self._messages]
        for row in rows:
            if (place := self._place(0)) is not None:
                _put(self._messages, place, again.get(row.id, row))

    def look_at_inbox(self, rows: Sequence[InboxRow]) -> None:
        for row in rows:
            if (place := self._place(1)) is not None:
                _put(self._entries, place, row)

    def _place(self, kind: int) -> int | None:
        """Return where the next row goes, None where it is not taken."""
        self._seen[kind] += 1
        seen = self._seen[kind]
        place = seen - 1 if seen <= SIZE else self._chance.randrange(seen)
        return place if place < SIZE else None

    async def compare(self, store: Store) -> list[str]:
        """Return what the store says otherwise."""
        problems: list[str] = []
        for message in self._messages:
            found = await store.read(messages.message, message.id)
            if found is None:
                problems.append(f"message {message.id} is not in the store")
            elif found[0] == message.sender and found[2] != message.body and not _is_recalled(found[2]):
                problems.append(f"message {message.id} says something else in the store")
        for entry in self._entries:
            id, head = await store.read(import_end.seat, entry.uid, entry.seq)
            if head < entry.seq:
                problems.append(f"the head of {entry.uid} is {head}, below its entry {entry.seq}")
            elif id != entry.message_id and await _is_missing(store, entry, id):
                problems.append(f"entry {entry.seq} of {entry.uid} is not message {entry.message_id}")
        return problems


async def _is_missing(store: Store, entry: InboxRow, found: int) -> bool:
    """Return whether an entry is missing.

    If another entry had its seq, it is at the end of the inbox. Its message may have a new id.
    """
    if not await store.read(messages.is_stored, entry.message_id):
        return False
    if not found:
        return True
    renamed = await store.read(import_end.renamed, entry.message_id)
    return found not in renamed and not await store.read(import_end.has, entry.uid, entry.message_id)


def _is_recalled(body: bytes) -> bool:
    """Return whether a message was recalled by another row than the one that is in the sample."""
    return pb.Message.FromString(body).content.type == ContentType.RECALLED


def _put(rows: list[T], place: int, row: T) -> None:
    if place == len(rows):
        rows.append(row)
    else:
        rows[place] = row
