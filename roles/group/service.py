"""What the handlers share."""

import asyncio
from collections import deque
from collections.abc import Iterable

from fsharechat.blobs import Blobs
from fsharechat.bus import Bus, Kick, Presence, Resync
from fsharechat.clock import now_ms
from fsharechat.codes.delivery import Delivery
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import IdGenerator
from fsharechat.registry import Members, Registry
from fsharechat.rpc import Call, Reply
from fsharechat.settings import Settings
from fsharechat.store import groups, users
from fsharechat.store.groups import GroupMembers
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.store import Store
from fsharechat.store.users import Rights
from fsharechat.tasks import spawn
from roles.group.cache import Cache
from roles.group.calls import CallContext, GroupCalls, one_of
from roles.group.expulsion import Expulsion
from roles.group.name_parts import mend
from roles.group.outbox import Outbox
from roles.group.portraits import Portraits
from roles.group.presence import PresenceTable
from roles.group.report_book import ReportBook
from roles.group.sleepers import Sleepers
from roles.group.tokens import TokenSigner
from roles.group.turns import Turns
from roles.group.upload_sizes import UploadSizes
from roles.group.words import WordFilter

CACHED_USERS = 200_000
CACHED_MEMBERS = 500_000
"""Members of all groups that are cached; a group counts as one more than it has members."""

GROUP_KEY = "group:"
"""What the keys of groups begin with among those that the bus tells to drop; those of users are bare uids."""

CALL_KEY = "call:"
"""What the keys of calls in groups begin with."""

RESYNC_SECONDS = 5.0
"""Connectors that were not heard to begin are asked so often where their devices are."""

CACHE_SECONDS = 60.0
"""What is cached may be wrong for up to twice as long, if the process that changed it died before it could say so."""


Waiting = tuple[Call, pb.Message, "asyncio.Future[Reply]"]
"""A message that waits for an earlier one of its sender, and the answer to come."""


class Group:
    """The business of the server: stateless but for caches, over a store that other group processes share."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        ids: IdGenerator,
        codes: Delivery,
        tokens: TokenSigner,
        blobs: Blobs,
    ) -> None:
        self.settings = settings
        self.store = store
        self.bus = bus
        self.ids = ids
        self.codes = codes
        self.tokens = tokens
        self.blobs = blobs
        self.presence = PresenceTable()
        self.outbox = Outbox(bus, self.presence)
        self.reports = ReportBook(store, self.outbox)
        self.rights: Cache[Rights] = Cache(CACHED_USERS, lambda uid: store.read(users.rights, uid))
        self.members: Cache[GroupMembers] = Cache(
            CACHED_MEMBERS, lambda id: store.read(groups.members, id), lambda found: 1 + len(found.types)
        )
        self.words = WordFilter(store, bus)
        self.expulsion = Expulsion(store, bus, self.presence)
        self.portraits = Portraits(store, blobs, self.group_changed, self.now)
        self.loop = asyncio.get_running_loop()
        self.upload_sizes = UploadSizes(store, blobs, settings.blobs.url_seconds, self.now, self.loop.time)
        self._connectors: set[int] | None = None
        self._processes: set[int] = set()
        self._whole = False
        self._mending: asyncio.Task[None] | None = None
        self._ageing: asyncio.TimerHandle | None = None
        self._resyncing: asyncio.TimerHandle | None = None
        # Senders of whom a message waits for something else than the store, and what waits behind it (messages.py).
        self.sending: dict[str, deque[Waiting]] = {}
        self.sleepers = Sleepers(store, self.outbox, self._knows_all_places, self.group_changed)
        self.calls = GroupCalls(
            CallContext(
                store,
                self.outbox,
                self.presence,
                lambda: self.ids.next(),
                lambda: self.now(),
                self.loop.time,
                self._knows_all_places,
                lambda group_id: bus.invalidate([CALL_KEY + group_id]),
                lambda group_id: one_of(group_id, self._processes) == self.ids.node,
            )
        )
        self.turns = Turns()
        """What reaches all members of a group waits for the store once for each user who asks for it."""

    async def start(self, registry: Registry) -> None:
        """Hear what other processes tell; returns once all that counts has been heard, or the bus is away."""
        await self.bus.watch_presence(self._on_presence, self._on_whole_presence)
        await self.bus.watch_invalidations(self._on_changed)
        await registry.watch("connector", self._on_connectors)
        await registry.watch("group", self._on_processes)
        await self.words.start()
        self.upload_sizes.start()
        self.calls.start()
        self._mending = spawn("parts of names", mend(self.store, self.now()))
        self._age_cache()
        self._resyncing = self.loop.call_later(RESYNC_SECONDS, self._resync)

    def stop(self) -> None:
        self.words.stop()
        self.upload_sizes.stop()
        if self._mending is not None:
            self._mending.cancel()
        self.reports.stop()
        self.sleepers.stop()
        for timer in (self._ageing, self._resyncing):
            if timer is not None:
                timer.cancel()

    def _age_cache(self) -> None:
        self.rights.age()
        self.members.age()
        self._ageing = self.loop.call_later(CACHE_SECONDS, self._age_cache)

    def _on_presence(self, presence: Presence) -> None:
        moved_from = self.presence.update(presence)
        if moved_from is not None:
            node, epoch = moved_from
            self.bus.deliver(node, [Kick(presence.uid, presence.client_id, epoch)])
        self.expulsion.on_presence(presence)
        self.sleepers.on_presence(presence)

    def _on_whole_presence(self) -> None:
        """Drop what was announced by connectors that have gone since, if it is known which are there."""
        self._whole = True
        if self._connectors is not None:
            self.presence.keep_nodes(self._connectors)

    def _knows_all_places(self) -> bool:
        """Return whether all connectors that are there have been heard, so that who is not known is nowhere."""
        if not self._whole or self._connectors is None or self.bus.away:
            return False
        return not self.presence.unheard(self._connectors)

    def _resync(self) -> None:
        """Ask the connectors whose announcements the bus has lost to make them again."""
        self._resyncing = self.loop.call_later(RESYNC_SECONDS, self._resync)
        if not self.bus.away:
            for node in self.presence.unheard(self._connectors or ()):
                self.bus.deliver(node, [Resync()])

    def _on_connectors(self, members: Members) -> None:
        """Drop the sessions of connectors that have gone; at first those of all that are not there."""
        if self._connectors is None:
            self.presence.keep_nodes(members)
        elif gone := self._connectors - members.keys():
            self.presence.drop_nodes(gone)
        self._connectors = set(members)

    def _on_processes(self, members: Members) -> None:
        self._processes = set(members)

    def changed(self, uids: Iterable[str]) -> None:
        """Tell every group process that the rights of users have changed."""
        self.bus.invalidate(list(uids))

    def group_changed(self, id: str) -> None:
        """Tell every group process that a group or its members have changed."""
        self.bus.invalidate([GROUP_KEY + id])

    def _on_changed(self, keys: Iterable[str]) -> None:
        self.rights.drop(key for key in keys if not key.startswith((GROUP_KEY, CALL_KEY)))
        self.members.drop(key.removeprefix(GROUP_KEY) for key in keys if key.startswith(GROUP_KEY))
        self.calls.drop(key.removeprefix(CALL_KEY) for key in keys if key.startswith(CALL_KEY))

    def deliver(self, messages: Iterable[NewMessage], stored: Iterable[Stored]) -> None:
        """Announce messages that the server itself has stored."""
        for message, where in zip(messages, stored, strict=True):
            self.outbox.deliver(message.id, message.body, where.entries, message.sender, "")

    now = staticmethod(now_ms)
    """The server's time."""
