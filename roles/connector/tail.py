"""The newest entries of an online user's inbox, in memory, so that a pull reads no table."""

from typing import NamedTuple

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import pull_entry
from fsharechat.protocol.shapes.messages import encode_message
from fsharechat.store.messages import conversation_key


class About(NamedTuple):
    """Facts about a message: `kind` is its content type, `conversation` a messages.conversation_key."""

    id: int
    local_id: int
    kind: int
    conversation: str


class TailMessage:
    """A stored message, and the forms in which devices get it. Each form is made when the first device wants it.

    The receivers of a message on one node share it.
    """

    __slots__ = (
        "_about",
        "_entry",
        "_json_received",
        "_json_sent",
        "body",
        "message_id",
        "sender",
        "sender_client",
    )

    def __init__(self, body: bytes, sender: str, sender_client: str = "", message_id: int = 0) -> None:
        """`sender_client` is the device that sent it; it is empty for the server's own messages.

        `message_id` is 0 if the message comes from the store, where it may be old.
        """
        self.message_id = message_id
        self.body = body
        self.sender = sender
        self.sender_client = sender_client
        self._about: About | None = None
        self._entry: bytes | None = None
        self._json_sent: bytes | None = None
        self._json_received: bytes | None = None

    def about(self) -> About:
        """Return the facts about the message: needed only for recalls, and for entries handed out again."""
        if self._about is None:
            message = pb.Message.FromString(self.body)
            where = message.conversation
            self._about = About(
                message.message_id,
                message.local_message_id,
                message.content.type,
                conversation_key(where.type, where.line, where.target, message.from_user),
            )
        return self._about

    def with_body(self, body: bytes) -> "TailMessage":
        """Return the message in its form after a recall."""
        return TailMessage(body, self.sender, self.sender_client)

    def entry(self) -> bytes:
        """Return the message as an element of a PullMessageResult."""
        if self._entry is None:
            self._entry = pull_entry(self.body)
        return self._entry

    def json(self, viewer: str) -> bytes:
        """Return the message as an escaped JSON object, for a pull by `viewer`."""
        if viewer == self.sender:
            if self._json_sent is None:
                self._json_sent = encode_message(self.body, True)
            return self._json_sent
        if self._json_received is None:
            self._json_received = encode_message(self.body, False)
        return self._json_received


class Tail:
    """Entries by seq, bounded in number and bytes. The oldest are removed first."""

    __slots__ = ("_entries", "_max_bytes", "_max_entries", "size")

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[int, TailMessage] = {}
        self.size = 0
        """The size of all bodies, bytes."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, seq: int, message: TailMessage) -> None:
        if seq in self._entries:  # the bus may bring an event twice
            return
        self._entries[seq] = message
        self.size += len(message.body)
        while self._entries and (self.size > self._max_bytes or len(self._entries) > self._max_entries):
            self.size -= len(self._entries.pop(next(iter(self._entries))).body)

    def find(self, message_id: int) -> TailMessage | None:
        """Return the entry of this message."""
        return next((entry for entry in self._entries.values() if entry.about().id == message_id), None)

    def replace(self, old: TailMessage, new: TailMessage) -> None:
        """Replace the message of an entry."""
        for seq, entry in self._entries.items():
            if entry is old:
                self._entries[seq] = new
                self.size += len(new.body) - len(old.body)
                return

    def drop_upto(self, seq: int) -> None:
        """Forget the entries that every device has fetched."""
        # Entries are nearly always in the order of seq. A late one stands further back, and is forgotten a little
        # later.
        entries, size = self._entries, self.size
        while entries and (oldest := next(iter(entries))) <= seq:
            size -= len(entries.pop(oldest).body)
        self.size = size

    def get(self, seq: int) -> TailMessage | None:
        return self._entries.get(seq)

    def after(self, seq: int, head: int) -> list[TailMessage] | None:
        """Return the entries `seq` + 1 to `head`. None if one of them is missing here, or there are none."""
        if not 0 <= head - seq - 1 < len(self._entries):
            return None
        found = []
        for wanted in range(seq + 1, head + 1):
            message = self._entries.get(wanted)
            if message is None:
                return None
            found.append(message)
        return found
