"""The actions of the swarm, and their results. Times are those of `time.monotonic`."""

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType


@dataclass(slots=True)
class LedgerEntry:
    """One message, from the first attempt to its arrival at all receivers."""

    sender: int
    number: int
    to: frozenset[int]
    started: float
    acknowledged: float | None = None
    message_id: int = 0
    recalled: float | None = None
    """When its recall was acknowledged."""
    came: dict[int, float] = field(default_factory=dict)
    """The receivers that it reached, and when."""
    ids: set[int] = field(default_factory=set)
    """The ids under which it was seen. More than one: it was stored twice."""

    @property
    def arrived(self) -> float | None:
        """When all receivers had it."""
        return max(self.came.values()) if len(self.came) == len(self.to) else None

    def __str__(self) -> str:
        to = ",".join(map(str, sorted(self.to - self.came.keys() or self.to)))
        return f"{self.sender}->{to} number {self.number}"


@dataclass(slots=True)
class Read:
    """A read report for a conversation, and what others have learned of it."""

    date: int
    learnt: int = 0


class Ledger:
    """All messages of the swarm. `run` marks the texts, so that those of an earlier run do not count."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self.first_local_id = secrets.randbits(62)
        self.messages: dict[str, LedgerEntry] = {}
        self.by_id: dict[int, LedgerEntry] = {}
        self.reads: dict[tuple[int, int, str], Read] = {}
        """Acknowledged read reports by reporter, receiver and group ("" for a private conversation)."""
        self.resent: list[float] = []
        """When a message was sent again."""
        self.refused: list[float] = []
        """When a request got an error code."""
        self.told_of_recalls: set[tuple[int, int]] = set()
        """The users that were told of a recall, by message."""
        self.strange: list[str] = []
        """Messages that nobody sent, or that the wrong user got."""

    def begin(self, sender: int, number: int, to: Iterable[int]) -> tuple[str, LedgerEntry]:
        """Note a message, and return its text."""
        text = f"{self.run} {sender} {number}"
        sent = self.messages[text] = LedgerEntry(sender, number, frozenset(to), time.monotonic())
        return text, sent

    def acknowledge(self, sent: LedgerEntry, message_id: int) -> None:
        sent.acknowledged = time.monotonic()
        sent.message_id = message_id
        sent.ids.add(message_id)
        self.by_id[message_id] = sent

    def find(self, message: pb.Message) -> LedgerEntry | None:
        """Return the entry of a message. A recalled one has no text, and is found by its id."""
        if message.content.type == ContentType.RECALLED:
            return self.by_id.get(int(message.content.data))
        return self.messages.get(message.content.searchable_content)

    def is_ours(self, message: pb.Message) -> bool:
        """Return whether a message is from this run, and is no notice of the server."""
        recalled = message.content.type == ContentType.RECALLED
        return recalled or message.content.searchable_content.startswith(self.run)

    def unacknowledged(self) -> int:
        return sum(sent.acknowledged is None for sent in self.messages.values())

    def missing(self) -> list[LedgerEntry]:
        """Acknowledged messages that have not arrived."""
        return [
            sent for sent in self.messages.values() if sent.acknowledged is not None and sent.arrived is None
        ]

    def recalls(self) -> list[LedgerEntry]:
        return [sent for sent in self.messages.values() if sent.recalled is not None]

    def untold(self) -> list[str]:
        """Acknowledged recalls of which a user was not told."""
        return [
            f"{sent} to {number}"
            for sent in self.recalls()
            for number in sent.to
            if (number, sent.message_id) not in self.told_of_recalls
        ]

    def unread(self) -> list[tuple[int, int, str]]:
        """Acknowledged read reports that have not become known."""
        return [key for key, read in self.reads.items() if read.learnt < read.date]
