"""Receipts for own messages, shown as marks after them: ✓ delivered, ✓✓ read."""

from collections import defaultdict

from fsharechat.client.models import MessagesDelivered, MessagesRead
from fsharechat.protocol.signals import ConversationType

Key = tuple[int, str]
"""A conversation: its type and its target."""

DELIVERED = "✓"
READ = "✓✓"


class Receipts:
    def __init__(self) -> None:
        self._delivered: dict[str, int] = {}
        self._read: defaultdict[Key, dict[str, int]] = defaultdict(dict)

    def take(self, report: MessagesDelivered | MessagesRead) -> Key:
        """Note a report, and return its conversation."""
        if isinstance(report, MessagesDelivered):
            self._delivered[report.uid] = max(report.date, self._delivered.get(report.uid, 0))
            return ConversationType.PRIVATE, report.uid
        key = report.conversation.type, report.conversation.target
        dates = self._read[key]
        dates[report.uid] = max(report.date, dates.get(report.uid, 0))
        return key

    def mark(self, key: Key, timestamp: int) -> str:
        """Return the mark of an own message with this time (ms). In a group it counts the readers."""
        kind, target = key
        dates = self._read.get(key, {})
        if kind != ConversationType.PRIVATE:
            readers = sum(date >= timestamp for date in dates.values())
            return f"{READ}{readers}" if readers else ""
        if dates.get(target, 0) >= timestamp:
            return READ
        return DELIVERED if self._delivered.get(target, 0) >= timestamp else ""
