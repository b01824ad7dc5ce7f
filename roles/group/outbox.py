"""Events on their way to the connectors: all events of a turn of the loop for one node form one record."""

import asyncio
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence

import orjson
import structlog

from fsharechat.bus import Bus, Edited, Event, Notify, Push, PushTo, Recalled, Reported, make_deliver
from fsharechat.protocol.signals import SubSignal
from fsharechat.store.messages import Entry, NewMessage, Stored
from fsharechat.tracing import TRACING
from roles.group.presence import PresenceTable

log = structlog.get_logger(__name__)


class EventOutbox:
    def __init__(self, bus: Bus, presence: PresenceTable) -> None:
        self._bus = bus
        self._places = presence.places
        self._devices = presence.devices
        self._waiting: dict[int, list[Event]] = {}
        self._loop = asyncio.get_running_loop()

    def deliver(
        self, message_id: int, body: bytes, entries: Sequence[Entry], sender: str, sender_client: str
    ) -> None:
        """Tell the users of the entries, on their nodes, of a stored message."""
        if TRACING.on:
            log.debug("message stored", trace=str(message_id), uid=sender, receivers=len(entries))
        for node, part in self._entries_by_node(entries).items():
            self._add(node, make_deliver((body, part, sender, sender_client, message_id)))

    def announce(self, messages: Iterable[NewMessage], stored: Iterable[Stored]) -> None:
        """Tell of messages that the server itself has stored."""
        for message, where in zip(messages, stored, strict=True):
            self.deliver(message.id, message.body, where.entries, message.sender, "")

    def push(self, body: bytes, uids: Iterable[str]) -> None:
        """Send a transparent message to the devices of users that are online."""
        for node, part in self._users_by_node(uids).items():
            self._add(node, Push(body, part))

    def push_to(self, body: bytes, sender: str, uid: str, client_id: str) -> None:
        """Send a transparent message to one device, if it is online."""
        if place := self._devices(uid).get(client_id):
            self._add(place[0], PushTo(body, sender, uid, client_id))

    def push_to_others(self, body: bytes, sender: str, uid: str, client_ids: Container[str]) -> None:
        """Send a transparent message to the devices of a user that are online, but for some of them."""
        for client_id, (node, _) in self._devices(uid).items():
            if client_id not in client_ids:
                self._add(node, PushTo(body, sender, uid, client_id))

    def notify(self, sub_signal: int, body: bytes, uid: str, except_client: str = "") -> None:
        """Send a notification to the devices of a user that are online."""
        for node in self._places.get(uid, ()):
            self._add(node, Notify(sub_signal, body, uid, except_client))

    def stream(self, uid: str, stream_id: str, piece: str, robot: str, *, done: bool) -> None:
        """Send a piece of a robot's answer to the devices of a user that are online (SAI)."""
        body = orjson.dumps({"i": stream_id, "d": piece, "f": done, "t": robot})
        self.notify(SubSignal.SAI, body, uid)

    def recall(
        self, message_id: int, body: bytes, entries: Sequence[Entry], operator: str, operator_client: str
    ) -> None:
        """Tell the users of the entries, on their nodes, that a message they may have now has the body `body`."""
        for node, part in self._entries_by_node(entries).items():
            self._add(node, Recalled(message_id, body, part, operator, operator_client))

    def edited(
        self, message_id: int, body: bytes, entries: Sequence[Entry], operator: str, operator_client: str
    ) -> None:
        """Tell the users of the entries, on their nodes, that a message they may have was edited."""
        for node, part in self._entries_by_node(entries).items():
            self._add(node, Edited(message_id, body, part, operator, operator_client))

    def online(self, uids: Iterable[str]) -> list[str]:
        """Return those of the users who have a device online."""
        return [uid for uid in uids if self._places.get(uid, ())]

    def offline(self, uids: Iterable[str]) -> list[str]:
        """Return those of the users who have no device online."""
        return [uid for uid in uids if uid not in self._places]

    def report(self, kind: int, entries: Sequence[Entry]) -> None:
        """Tell the users of the entries, on their nodes, that they have reports of a kind from these seqs on."""
        for node, part in self._entries_by_node(entries).items():
            self._add(node, Reported(kind, part))

    def _entries_by_node(self, entries: Iterable[Entry]) -> dict[int, list[Entry]]:
        by_node: defaultdict[int, list[Entry]] = defaultdict(list)
        places = self._places.get
        for entry in entries:
            for node in places(entry[0], ()):
                by_node[node].append(entry)
        return by_node

    def _users_by_node(self, uids: Iterable[str]) -> dict[int, list[str]]:
        by_node: dict[int, list[str]] = {}
        for uid in uids:
            for node in self._places.get(uid, ()):
                by_node.setdefault(node, []).append(uid)
        return by_node

    def _add(self, node: int, event: Event) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.setdefault(node, []).append(event)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for node, events in waiting.items():
            self._bus.deliver(node, events)
