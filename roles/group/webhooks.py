"""Webhooks: other systems are told of what has happened, in order for each conversation (docs/webhooks.md).

One process of the cluster tells each hook. The store has the events that must be told (store/webhooks.py). An event
is removed when the hook has answered. So a process that dies loses nothing. The next one may tell some events again.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import structlog

from fsharechat.errors import StoreError
from fsharechat.health import FINE, Finding
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.settings import Settings
from fsharechat.settings_hooks import WebhookSettings, WebhooksSettings
from fsharechat.store import messages, users, webhooks
from fsharechat.store.store import Store
from fsharechat.store.webhooks import NotedEvent, Untold
from fsharechat.tasks import repeat, spawn
from roles.group.clock import ServerClock
from roles.group.hook_events import (
    HookPlace,
    id_of,
    message_event,
    noted_event,
    place_of,
    place_of_event,
    wants,
)
from roles.group.processes import GroupProcesses
from roles.group.signed_posts import PostFailed, SignedPosts

log = structlog.get_logger(__name__)

UNDER_WAY = 8
"""How many events one hook is told at a time, each of another conversation."""
MAX_WAITING = 20_000
"""The most events of a hook that wait in memory, as ids. Further ones stay in the store."""
MAX_LANE = 1_000
"""The most of them that are of one conversation."""
PAGE = 500
"""Rows of the store that are read at a time."""
OVERLAP = 1_000
"""How many positions are read again: a transaction may end after one that began later."""
LOOK_SECONDS = 0.25
"""The time between two looks for new events, s."""
PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 60.0
"""The first pause after a failure, and the longest, s."""
DOWN_LANES = UNDER_WAY // 2
"""When so many conversations fail and none succeeds, the hook is down: it is tried with one event at a time."""
HAND_OVER_SECONDS = 2.0
"""How long a process waits before it takes over a hook, s. The other process stops in that time."""
SWEEP_SECONDS = 5.0
COMPLAIN_SECONDS = 60.0
"""The shortest time between two log lines about failures of one hook, s."""
MAX_ANSWER = 64 << 10
"""The most bytes of an answer that are read. They are read so that the connection can be used again."""
FORGET_SECONDS = 600.0
"""The time between two looks for events of hooks that the settings no longer name, s."""
MAX_FORGOTTEN = 1_000


class HookEvent(NamedTuple):
    """One event that a hook is to be told. `message_id` is 0 if it is no message."""

    pos: int
    message_id: int
    noted: NotedEvent | None
    made_ms: int

    @property
    def id(self) -> str:
        return id_of(self.noted) if self.noted is not None else f"msg_{self.message_id}"


class Lane:
    """The events of one conversation, or about one user. Each waits until the one before it is told."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.events: deque[HookEvent] = deque()
        self.tries = 0
        self.telling = False
        self.behind = False
        """Whether the store has later events that are not here."""
        self.timer: asyncio.TimerHandle | None = None


class UntoldRow:
    """A row of the store. `left`: its messages that must still be told. `skipped`: those of them in no lane."""

    def __init__(self, row: Untold) -> None:
        self.left = set(row.messages) or {0}
        self.skipped = set(self.left)


class HookTeller:
    """Tells one hook."""

    def __init__(
        self,
        hook: WebhookSettings,
        settings: WebhooksSettings,
        store: Store,
        clock: ServerClock,
        processes: GroupProcesses,
    ) -> None:
        self.hook = hook
        self.told = 0
        self.failed = 0
        self.dropped = 0
        self.oldest_ms = 0
        """The time of the first event that must be told, ms, at the last look. 0 if there is none."""
        self.failing = ""
        """Why the last try has failed, "" if it has not."""
        self._keep_ms = int(settings.keep_seconds * 1000)
        self._gap = 1 / settings.per_second
        self._store = store
        self._clock = clock
        self._posts = SignedPosts(hook.url, hook.key(), settings.seconds, MAX_ANSWER)
        self._loop = asyncio.get_running_loop()
        self._processes = processes
        self._keeper: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._complained = float("-inf")
        self._failing_from = 0.0
        self._swept = 0.0
        self._next = 0.0
        self._dropped_now = 0
        self._forget_all()

    @property
    def waiting(self) -> int:
        """How many events wait in memory."""
        return self._waiting

    def start(self) -> None:
        self._keeper = spawn(f"webhook {self.hook.name}", self._keep())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        await self._hand_over()
        await self._posts.close()

    @property
    def _mine(self) -> bool:
        return self._clock.ids.held and self._processes.is_ours(f"webhook {self.hook.name}")

    def _forget_all(self) -> None:
        self._ready: asyncio.Queue[Lane] = asyncio.Queue()
        self._lanes: dict[str, Lane] = {}
        self._rows: dict[int, UntoldRow] = {}
        self._changed: set[int] = set()
        """Rows of which something was told since the last write."""
        self._waiting = 0
        self._seen = 0
        self._from_start = 0
        """How often reading has begun anew."""
        self._parked: set[int] = set()
        """Rows around `_seen` whose messages are all in lanes that are behind: they are read again later."""
        self._failed_lanes: set[str] = set()
        self._down = False
        self._pause = PAUSE_SECONDS
        self._probe = asyncio.Lock()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # Reading what is to be told

    async def _keep(self) -> None:
        others = len(self._processes.nodes) > 1
        while True:
            try:
                if not self._mine:
                    others = True
                    await self._hand_over()
                elif others and not self._workers:
                    others = False
                    await asyncio.sleep(HAND_OVER_SECONDS)
                    continue
                elif await self._look():
                    continue
            except StoreError as error:
                self._no_store(error)
                await asyncio.sleep(PAUSE_SECONDS)
            except Exception:
                log.exception("failed, and goes on", task=f"webhook {self.hook.name}")
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    def _no_store(self, error: StoreError) -> None:
        log.log(error.log_level, "a webhook waits for the store", hook=self.hook.name, error=str(error))

    async def _look(self) -> bool:
        """Write down what was told, and read on. Return whether there may be more to read at once."""
        if not self._workers:
            self._workers = [spawn(f"webhook {self.hook.name}", self._work()) for _ in range(UNDER_WAY)]
        await self._settle()
        if self._loop.time() - self._swept > SWEEP_SECONDS:
            self._swept = self._loop.time()
            self.oldest_ms = await self._store.read(webhooks.oldest, self.hook.name)
            self._drop_old()
            self._say_dropped()
        if self._waiting >= MAX_WAITING:
            return False
        seen, turn = self._seen, self._from_start
        rows = await self._store.read(webhooks.untold, self.hook.name, max(0, seen - OVERLAP), OVERLAP + PAGE)
        news = [row for row in rows if self._is_new(row.pos)]
        ids = [id for row in news for id in row.messages]
        places = await self._store.read(webhooks.places, ids) if ids else {}
        if turn != self._from_start:
            return True  # else a lane would get a later event before earlier ones
        for row in news:
            if self._waiting >= MAX_WAITING:
                break
            self._take(row, places)
            self._seen = max(self._seen, row.pos)
        self._parked = {pos for pos in self._parked if pos > self._seen - OVERLAP}
        self._say_dropped()
        return self._seen > seen and len(rows) >= PAGE

    def _is_new(self, pos: int) -> bool:
        """Return whether a row that was read has a message that may now go into a lane."""
        row = self._rows.get(pos)
        if pos > self._seen:
            return row is None or bool(row.skipped)
        return row is None and pos not in self._parked

    def _take(self, untold: Untold, places: dict[int, tuple[str, str]]) -> None:
        row = self._rows.get(untold.pos)
        if row is None:
            row = self._rows[untold.pos] = UntoldRow(untold)
        old = self._clock.now() - untold.made_ms > self._keep_ms
        for id in untold.messages or (0,):
            if id not in row.skipped:
                continue
            if untold.event is not None:
                place: HookPlace | None = place_of_event(untold.event)
            else:
                place = place_of(*places[id]) if id in places else None
            event = HookEvent(untold.pos, id, untold.event, untold.made_ms)
            if place is None or not wants(self.hook, place, untold.event):
                self._done(event)
            elif old:
                self._dropped_now += 1
                self._done(event)
            else:
                self._queue(place.lane, event, row)
        if row.left == row.skipped and untold.pos not in self._changed:
            self._park(untold.pos)

    def _park(self, pos: int) -> None:
        del self._rows[pos]
        self._parked.add(pos)

    def _queue(self, key: str, event: HookEvent, row: UntoldRow) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
        if lane.behind or len(lane.events) >= MAX_LANE:
            lane.behind = True
            return
        row.skipped.discard(event.message_id)
        lane.events.append(event)
        self._waiting += 1
        if len(lane.events) == 1 and not lane.telling and lane.timer is None:
            self._ready.put_nowait(lane)

    def _done(self, event: HookEvent) -> None:
        """Note that an event need not be told any more."""
        row = self._rows[event.pos]
        row.left.discard(event.message_id)
        row.skipped.discard(event.message_id)
        self._changed.add(event.pos)

    async def _settle(self) -> None:
        """Write down what was told. A row whose rest is in no lane is forgotten until it is read again."""
        changed, self._changed = self._changed, set()
        told = [pos for pos in changed if not self._rows[pos].left]
        left = {
            pos: sorted(row.left)
            for pos in changed
            if (row := self._rows[pos]).left and row.left == row.skipped
        }
        if not told and not left:
            self._changed |= changed
            return
        try:
            await self._store.write(webhooks.settle, told, left)
        except StoreError:
            self._changed |= changed
            raise
        for pos in told:
            del self._rows[pos]
        for pos in left:
            self._park(pos)
        self._changed |= changed - {*told, *left}

    def _drop_old(self) -> None:
        """Drop what is too old, however long the pauses are."""
        before = self._clock.now() - self._keep_ms
        for lane in list(self._lanes.values()):
            while lane.events and not lane.telling and lane.events[0].made_ms < before:
                self._done(lane.events.popleft())
                self._waiting -= 1
                self._dropped_now += 1
            if not lane.events and not lane.telling:
                self._drained(lane)

    def _say_dropped(self) -> None:
        if count := self._dropped_now:
            self._dropped_now = 0
            self.dropped += count
            log.error("webhook events dropped", hook=self.hook.name, count=count, reason=self.failing)

    def _drained(self, lane: Lane) -> None:
        """Remove an empty lane. If the store has more of it, read from the beginning."""
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]
            if lane.behind:
                self._seen = 0
                self._from_start += 1
                self._parked.clear()

    # Telling

    async def _work(self) -> None:
        while True:
            lane = await self._ready.get()
            try:
                if not self._down:
                    await self._tell(lane)
                    continue
                async with self._probe:
                    if self._down:
                        await asyncio.sleep(self._pause)
                    await self._tell(lane)
            except Exception:
                log.exception("failed, and goes on", task=f"webhook {self.hook.name}")
                self._again(lane, MAX_PAUSE_SECONDS)

    async def _tell(self, lane: Lane) -> None:
        """Tell the first event of a lane."""
        if not lane.events:
            return
        lane.telling = True
        self._under_way += 1
        self._idle.clear()
        event = lane.events[0]
        try:
            await self._at_its_pace()
            body = await self._body(event)
            if body is not None:
                await self._post(event, body)
        except PostFailed as error:
            self._has_failed(lane, error)
        except StoreError as error:
            self._no_store(error)
            self._again(lane, PAUSE_SECONDS)
        else:
            lane.events.popleft()
            lane.tries = 0
            self._waiting -= 1
            self._done(event)
            if lane.events:
                self._ready.put_nowait(lane)
            else:
                self._drained(lane)
        finally:
            lane.telling = False
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _at_its_pace(self) -> None:
        now = self._loop.time()
        self._next = max(self._next + self._gap, now - LOOK_SECONDS)
        if self._next > now:
            await asyncio.sleep(self._next - now)

    async def _body(self, event: HookEvent) -> bytes | None:
        """Return the JSON of an event as it is now, None if the message is gone."""
        if event.noted is not None:
            about = event.noted.about
            return noted_event(event.noted, (await self._store.read(users.profiles, [about])).get(about))
        body = await self._store.read(messages.body, event.message_id)
        return body and message_event(pb.Message.FromString(body), content=self.hook.content)

    async def _post(self, event: HookEvent, body: bytes) -> None:
        try:
            await self._posts.post(event.id, body)
        except PostFailed as error:
            if not 200 <= error.status < 300:  # else it is told, whatever it answers
                raise
        self.told += 1
        self._failed_lanes.clear()
        self._pause = PAUSE_SECONDS
        if self._down:
            self._down = False
            for lane in self._lanes.values():
                if lane.timer is not None:
                    lane.timer.cancel()
                    self._go_on(lane)
        if self.failing:
            seconds = round(self._loop.time() - self._failing_from)
            self.failing = ""
            log.info("a webhook is told again", hook=self.hook.name, after_seconds=seconds)

    def _has_failed(self, lane: Lane, error: PostFailed) -> None:
        self.failed += 1
        now = self._loop.time()
        if not self.failing:
            self._failing_from = now
        self.failing = str(error)
        if now - self._complained > COMPLAIN_SECONDS:
            self._complained = now
            log.warning("a webhook fails", hook=self.hook.name, event_id=lane.events[0].id, reason=str(error))
        self._failed_lanes.add(lane.key)
        if self._down:
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
            self._ready.put_nowait(lane)  # behind the others
            return
        self._down = len(self._failed_lanes) >= DOWN_LANES
        self._again(lane, min(PAUSE_SECONDS * 2**lane.tries, MAX_PAUSE_SECONDS))
        lane.tries = min(lane.tries + 1, 10)

    def _again(self, lane: Lane, seconds: float) -> None:
        lane.timer = self._loop.call_later(seconds, self._go_on, lane)

    def _go_on(self, lane: Lane) -> None:
        lane.timer = None
        self._ready.put_nowait(lane)

    async def _hand_over(self) -> None:
        """Stop telling. Wait a short time for the requests under way, and write down what was told."""
        if not self._workers:
            return
        self._ready = asyncio.Queue()  # the workers wait at the old one
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_SECONDS / 2):
                await self._idle.wait()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        with suppress(StoreError):
            await self._settle()
        self._forget_all()
        self.failing = ""
        self.oldest_ms = 0


class Webhooks:
    """All hooks of the settings."""

    def __init__(
        self, settings: Settings, store: Store, clock: ServerClock, processes: GroupProcesses
    ) -> None:
        self._settings = settings.webhooks
        self._store = store
        self._clock = clock
        self.tellers = [
            HookTeller(hook, settings.webhooks, store, clock, processes) for hook in settings.webhooks.hooks
        ]
        self._processes = processes
        self._forgetting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to note what is to be told, and to tell it."""
        hears: dict[str, list[str]] = {}
        for hook in self._settings.hooks:
            for kind in hook.events:
                hears.setdefault(kind, []).append(hook.name)
        self._store.dialect.hears = hears
        for teller in self.tellers:
            teller.start()
        self._forgetting = spawn("webhooks that are gone", repeat(FORGET_SECONDS, self._forget))

    async def stop(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        await asyncio.gather(*(teller.stop() for teller in self.tellers))

    def total(self, what: str) -> int:
        """Return the sum of one count over all hooks."""
        return sum(getattr(teller, what) for teller in self.tellers)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest event has been waiting, s."""
        oldest = min((teller.oldest_ms for teller in self.tellers if teller.oldest_ms), default=0)
        return max(0.0, (self._clock.now() - oldest) / 1000) if oldest else 0.0

    async def look(self) -> Finding:
        """Return which hooks fail. The process still serves."""
        failing = [f"{teller.hook.name} fails: {teller.failing}" for teller in self.tellers if teller.failing]
        return Finding("; ".join(failing)) if failing else FINE

    async def _forget(self) -> None:
        """Remove the events of hooks that the settings no longer name."""
        if self._store.away or not self._processes.is_ours("webhooks"):
            return
        names = [hook.name for hook in self._settings.hooks]
        before = self._clock.now() - int(1000 * self._settings.keep_seconds)
        with suppress(StoreError):
            count = await self._store.write(webhooks.forget_others, names, before, MAX_FORGOTTEN)
            if count:
                log.warning("webhook events of no hook dropped", count=count)
