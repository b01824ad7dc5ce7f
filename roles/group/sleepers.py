"""Puts members of large groups to sleep, and wakes them (docs/decisions/group-log.md)."""

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from fsharechat.bus import Presence
from fsharechat.errors import StoreError
from fsharechat.store import messages
from fsharechat.store.group_log import LARGE, MAX_SLEEPERS, Given
from fsharechat.store.groups import GroupMembers
from fsharechat.store.messages import Entry
from fsharechat.store.store import Store
from fsharechat.tasks import spawn
from roles.group.outbox import EventOutbox

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""The time between two checks which members of a group are away, s."""

WATCH_SECONDS = 60.0
"""For so many seconds after a user was put to sleep, the news of a device wakes them: the device may have connected
in that moment. Later the head check of its connector finds out.
"""

FENCE_SECONDS = 10.0
"""The time between two checks whether the store is closed to processes that wake nobody, s."""

WAKING = 50
"""How many users are woken at a time."""

MAX_GROUPS = 10_000
"""For how many groups the number of awake members is remembered."""

_GROUPS_WAITING = 1000


class Sleepers:
    """Puts members without a device to sleep, and wakes those who come back.

    `complete` tells whether the places of all users are known. `changed` tells all processes to read a group again.
    `slept` and `woken` count users since the start.
    """

    def __init__(
        self, store: Store, outbox: EventOutbox, complete: Callable[[], bool], changed: Callable[[str], None]
    ) -> None:
        self.slept = self.woken = 0
        self._store = store
        self._outbox = outbox
        self._complete = complete
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._awake: dict[str, int] = {}
        """How many entries the last message to a group made."""
        self._looked: dict[str, float] = {}
        self._away: dict[str, tuple[list[str], bool]] = {}
        """By group: the users to put to sleep, and whether all processes know that the group has a log."""
        self._putting: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._watched: dict[str, float] = {}
        self._waking: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(WAKING)

    def stop(self) -> None:
        """Put nobody to sleep and wake nobody any more. A later check wakes users who are half woken."""
        for task in (self._putting, *self._waking.values()):
            if task is not None:
                task.cancel()

    def expected(self, group_id: str, members: GroupMembers) -> int:
        """Return about how many entries a message to a group with a log makes; never 0."""
        known = self._awake.get(group_id)
        if known is None:
            known = len(self._outbox.online(members.types)) + 1
            self._note_awake(group_id, known)
        return known

    def _note_awake(self, group_id: str, count: int) -> None:
        if len(self._awake) >= MAX_GROUPS:
            self._awake.clear()
        self._awake[group_id] = count

    def stored(self, group_id: str, members: GroupMembers | None, entries: Sequence[Entry]) -> None:
        """Take the news of a message to all members of a group. `entries` are those of the awake members."""
        if members is None or len(members.types) <= LARGE:
            return
        self._note_awake(group_id, len(entries))
        now = self._loop.time()
        if self._looked.get(group_id, 0.0) > now - LOOK_SECONDS or now < self._not_before:
            return
        if len(self._looked) >= MAX_GROUPS:
            self._looked.clear()
        self._looked[group_id] = now
        if group_id in self._away or len(self._away) >= _GROUPS_WAITING or not self._complete():
            return
        if away := self._outbox.offline(uid for uid, _ in entries):
            self._away[group_id] = away, members.logged
            if self._putting is None or self._putting.done():
                self._putting = spawn("sleep of members", self._put_all_to_sleep())

    async def _put_all_to_sleep(self) -> None:
        while self._away:
            group_id = next(iter(self._away))
            uids, logged = self._away[group_id]
            try:
                for start in range(0, len(uids), MAX_SLEEPERS):
                    if not self._complete():
                        break
                    await self._put_to_sleep(group_id, uids[start : start + MAX_SLEEPERS], logged=logged)
                    logged = True
            except StoreError as error:
                log.log(
                    error.log_level, "members could not be put to sleep", group=group_id, error=str(error)
                )
            finally:
                del self._away[group_id]

    async def _put_to_sleep(self, group_id: str, uids: Sequence[str], *, logged: bool) -> None:
        uids = self._outbox.offline(uids)
        now = self._loop.time()
        if not uids or now < self._not_before:
            return
        self._watch(uids, now)
        slept = await self._store.put_to_sleep(group_id, uids)
        if slept is None:
            self._not_before = now + FENCE_SECONDS
            log.info("members stay awake until the store is closed to older versions: run `fsharechat fence`")
            return
        self.slept += len(slept)
        for uid in self._outbox.online(slept):
            self.wake(uid)
        if slept and not logged:
            self._changed(group_id)

    def _watch(self, uids: Collection[str], now: float) -> None:
        self._watched = {uid: until for uid, until in self._watched.items() if until > now}
        self._watched |= dict.fromkeys(uids, now + WATCH_SECONDS)

    def on_presence(self, presence: Presence) -> None:
        """Take the news that a device has come or gone."""
        if presence.online and self._watched and self._watched.get(presence.uid, 0) > self._loop.time():
            self.wake(presence.uid)

    def wake(self, uid: str) -> asyncio.Task[None]:
        """Wake a user, and tell their devices of the new entries in the inbox."""
        task = self._waking.get(uid)
        if task is None:
            task = self._waking[uid] = spawn("waking", self._wake(uid))
            task.add_done_callback(lambda _: self._waking.pop(uid, None))
        return task

    async def wake_within(self, uids: Collection[str], seconds: float) -> None:
        """Wake users, and wait at most so many seconds. After that it goes on behind, and they are told."""
        if uids:
            await asyncio.wait([self.wake(uid) for uid in uids], timeout=seconds)

    async def _wake(self, uid: str) -> None:
        given: Given | None = None
        try:
            async with self._room:
                given = await self._store.wake(uid)
                self.woken += 1
                if given is not None and self._outbox.online([uid]):
                    await self._tell(uid, given)
        except StoreError as error:
            log.log(error.log_level, "a user could not be woken", uid=uid, error=str(error))

    async def _tell(self, uid: str, given: Given) -> None:
        found = await self._store.read(messages.message, given.message_id)
        if found is not None:
            sender, client, body = found
            self._outbox.deliver(given.message_id, body, [Entry(uid, given.seq)], sender, client)
