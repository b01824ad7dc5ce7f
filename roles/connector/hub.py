"""What the sessions of a connector share, and what runs beside them: events, the head check, the sweep."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import orjson
import structlog

from fsharechat.bus import Bus, Deliver, Event, Kick, Notify, Presence, Push, Recalled, Reported
from fsharechat.process import SPARE_FILES
from fsharechat.protocol.bodies import notify_recall
from fsharechat.protocol.ids import IdGenerator, now_ms
from fsharechat.protocol.signals import Code, ReportType
from fsharechat.registry import Lease
from fsharechat.rpc import Call, Method, Reply, Rpc
from fsharechat.settings import Settings
from fsharechat.store.heads import Heads
from roles.connector.gate import Gate
from roles.connector.limits import Buckets, BucketTable, RateLimit
from roles.connector.session import Session, State, Transport
from roles.connector.tail import TailMessage
from roles.connector.user import VERSIONED, OnlineUser
from roles.connector.writes import TurnWrites

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
SWEEP_SLICE = 2000
HEADS_BATCH = 1000
FRESH_SECONDS = 1.0
"""The head of a device that has just connected is checked so much later, when its presence has got round."""

AHEAD_SECONDS = 0.5
"""The store knows of an entry before its event is here: so long after the check the event counts as lost.

Without this a device would be told to fetch what it has just sent itself.
"""

RECALL_SECONDS = 60.0
"""An event that brings a message may come so much later than the one that says it has been recalled."""

MAX_RECALLS = 10_000


class Hub:
    def __init__(self, settings: Settings, lease: Lease, rpc: Rpc, bus: Bus, open_files: int) -> None:
        """`open_files`: how many this process may have."""
        self.settings = settings.connector
        self._lease = lease
        self.rpc = rpc
        self.bus = bus
        self._take_id()
        self.limit = RateLimit(settings.limits.requests, settings.limits.seconds)
        self.buckets = BucketTable(settings.limits.seconds)
        self.writes = TurnWrites()
        self.max_inflight = self.settings.max_inflight
        self.max_connections = min(self.settings.max_connections, open_files - SPARE_FILES)
        # Strangers alone must not be able to use up what the operating system grants.
        self.max_unauthenticated = min(self.settings.max_unauthenticated, max(1, self.max_connections // 2))
        if self.max_connections < self.settings.max_connections:
            log.info(
                "fewer connections than [connector] max_connections: raise the limit of open files",
                connections=self.max_connections,
                open_files=open_files,
            )
        self.users: dict[str, OnlineUser] = {}
        self.sessions: set[Session] = set()
        self.unauthenticated = 0
        self.waiting: set[Gate] = set()
        """Web connections that have not asked for a WebSocket yet."""
        self.draining = False
        self.suspended = False
        self.inflight = 0
        self.notified = 0
        self.refused = 0
        self._refused_logged = 0
        self.time: Callable[[], float] = asyncio.get_running_loop().time
        self._tail_bounds = (self.settings.tail_entries, self.settings.tail_bytes)
        self._epoch = 0
        self._lease_changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._fresh: deque[tuple[float, str]] = deque()
        self._ahead: deque[tuple[float, str, Heads]] = deque()
        self._recalls: dict[int, tuple[float, bytes]] = {}
        self._told_recalls: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def start(self) -> None:
        self._lease.on_change(self._on_lease)
        self.suspended = not self._lease.held
        await self.bus.serve_node(self.node, self.on_events)
        self._begin()
        for work in (
            self._sweep_forever(),
            self._check_heads_forever(),
            self._check_fresh_forever(),
            self._follow_lease(),
        ):
            self._spawn(work)

    async def stop(self) -> None:
        """Read no more, finish the requests under way, then close every session."""
        self.draining = True
        for session in self.sessions:
            session.transport.pause()
        if self.inflight:
            await self._idle.wait()
        for session in list(self.sessions):
            session.close()
        await self.keep_recall_cursors()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_report_end)
        self._tasks.append(task)

    def finished(self) -> None:
        """Count down a request under way."""
        self.inflight -= 1
        if self.draining and not self.inflight:
            self._idle.set()

    @property
    def devices(self) -> int:
        """Return how many devices are logged in."""
        return len(self.sessions) - self.unauthenticated

    # The node id

    def _take_id(self) -> None:
        node, lease = self._lease.node, self._lease
        self.node = node
        self.ids = IdGenerator(node, held=lambda: lease.holds(node))

    def _begin(self) -> None:
        """Take connections, if the node id is held. What was connected under it before is gone."""
        if self._lease.holds(self.node):
            self.suspended = False
            self._epoch = max(self._epoch + 1, now_ms())
            self.bus.announce(Presence("", "", self.node, self._epoch))

    def _on_lease(self, held: bool) -> None:
        """Stop taking work while the node id may be another process's."""
        self._lease_changed.set()
        if not held:
            self.suspended = True
            log.error("the node id is lost: no connections until there is one again", node=self.node)
            for session in list(self.sessions):
                session.close()

    async def _follow_lease(self) -> None:
        """Begin anew when there is a node id again, the one of before or another."""
        while True:
            await self._lease_changed.wait()
            self._lease_changed.clear()
            if self._lease.node != self.node:
                await self.bus.leave_node(self.node)
                self._take_id()
                await self.bus.serve_node(self.node, self.on_events)
            if self.suspended:
                self._begin()

    def _announce(self, session: Session, online: bool) -> None:
        """Say where a device is. While the node id may be another's, it would be taken for that one's word."""
        if self._lease.holds(self.node):
            self.bus.announce(
                Presence(session.uid, session.client_id, self.node, session.epoch, online=online)
            )

    # Sessions come and go

    def accept(self, transport: Transport) -> Session | None:
        """Return the session of a new connection, or None when there are too many."""
        if not self._has_room():
            return None
        session = Session(self, transport)
        self.sessions.add(session)
        self.unauthenticated += 1
        return session

    def admit(self, gate: Gate) -> bool:
        """Count a new web connection, unless there are too many."""
        if not self._has_room():
            return False
        self.waiting.add(gate)
        return True

    def _has_room(self) -> bool:
        if self.suspended:
            return False
        strangers = self.unauthenticated + len(self.waiting)
        if (
            strangers < self.max_unauthenticated
            and len(self.sessions) + len(self.waiting) < self.max_connections
        ):
            return True
        self.refused += 1
        return False

    def opened(self, session: Session, heads: Heads) -> None:
        """Put an authenticated session in its place; an earlier one of the same device goes.

        The CONNECT_ACK has told it of the `heads`; other devices of the user may not know of them yet.
        """
        self.unauthenticated -= 1
        user = self.users.get(session.uid)
        if user is None:
            user = self.users[session.uid] = OnlineUser(session.uid, self._tail_bounds)
        replaced = user.sessions.get(session.client_id)
        user.sessions[session.client_id] = session
        session.user = user
        session.epoch = self._epoch = max(self._epoch + 1, now_ms())
        if replaced is not None:
            replaced.refuse("replaced by a new connection of the same device")
        self._announce(session, True)
        self._fresh.append((self.time() + FRESH_SECONDS, session.uid))
        if len(user.sessions) == 1:
            user.learn_versions(heads)
        user.catch_up(heads)
        session.notify()
        session.notify_all_reports()

    def closed(self, session: Session, was: State, buckets: Buckets | None) -> None:
        self.sessions.discard(session)
        if was is not State.OPEN:
            self.unauthenticated -= 1
            return
        if buckets is not None:
            self.buckets.keep(session.uid, session.client_id, buckets, self.time())
        user, session.user = session.user, None
        if user is not None and user.sessions.get(session.client_id) is session:
            del user.sessions[session.client_id]
            self._announce(session, False)
            if user.sessions:
                user.trim()
            else:
                del self.users[session.uid]

    def forget(self, session: Session) -> None:
        """Log the device out for good (DISCONNECT with clear)."""
        self.rpc.call(Call(Method.FORGET, session.uid, session.client_id, b"")).add_done_callback(
            _report_forget
        )

    def pinged(self, session: Session, interval_ms: int) -> None:
        """A client that pings is dead a while after its next PING was due (protocol.md section 4)."""
        grace = self.settings.ping_grace_seconds
        session.transport.silence_seconds = interval_ms / 1000 + grace

    # Events

    def on_events(self, events: Sequence[Event]) -> None:
        """Take what the bus brings for this node."""
        for event in events:
            if type(event) is Deliver:
                self._on_deliver(event)
            elif type(event) is Notify:
                self._on_notify(event)
            elif type(event) is Push:
                message = TailMessage(event.body, "")
                for uid in event.uids:
                    for session in self._sessions_of(uid):
                        session.transport.send_pulled(0, [message], 0, 0)
            elif type(event) is Reported:
                self._on_reported(event)
            elif type(event) is Recalled:
                self._on_recalled(event)
            elif type(event) is Kick:
                self._on_kick(event)

    def _on_deliver(self, event: Deliver) -> None:
        message = TailMessage(event.body, event.sender, event.sender_client)
        if self._recalls and (recall := self._recalls.get(message.id())) is not None:
            message = message.with_body(recall[1])
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is not None:
                user.arrived(seq, message, event.sender_client if uid == event.sender else "")

    def _on_recalled(self, event: Recalled) -> None:
        self._recalls[event.message_id] = (self.time() + RECALL_SECONDS, event.body)
        if len(self._recalls) > MAX_RECALLS:
            del self._recalls[next(iter(self._recalls))]
        notice = notify_recall(event.message_id, event.operator)
        replaced: TailMessage | None = None
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is None:
                continue
            replaced = user.replace(event.message_id, event.body, replaced)
            user.recalled = max(user.recalled, seq)
            for session in list(user.sessions.values()):
                session.recalled(seq, None if uid == event.operator else notice)

    def _on_reported(self, event: Reported) -> None:
        kind = ReportType(event.kind)
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is not None:
                user.learn_reports(kind, seq)

    def _on_notify(self, event: Notify) -> None:
        if event.sub_signal in VERSIONED and (user := self.users.get(event.uid)) is not None:
            user.told(event.sub_signal, int.from_bytes(event.body, "big"))
        for session in self._sessions_of(event.uid):
            if session.client_id != event.except_client:
                session.transport.send_notification(event.sub_signal, event.body)

    def _on_kick(self, event: Kick) -> None:
        user = self.users.get(event.uid)
        session = user.sessions.get(event.client_id) if user is not None else None
        if session is not None and session.epoch <= event.epoch:
            session.refuse("the device has connected to another node, or an administrator ended it")

    def _sessions_of(self, uid: str) -> list[Session]:
        user = self.users.get(uid)
        return list(user.sessions.values()) if user is not None else []

    # The head check (design: life of a message, 6)

    async def _check_heads_forever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.head_check_seconds)
            await self.check_heads(list(self.users))
            await self.keep_recall_cursors()

    async def _check_fresh_forever(self) -> None:
        while True:
            await asyncio.sleep(FRESH_SECONDS / 4)
            due, now = [], self.time()
            while self._ahead and self._ahead[0][0] <= now:
                _, uid, heads = self._ahead.popleft()
                if (user := self.users.get(uid)) is not None:
                    user.catch_up(heads)
            while self._fresh and self._fresh[0][0] <= now:
                due.append(self._fresh.popleft()[1])
            if due:
                await self.check_heads(due)

    async def check_heads(self, uids: list[str]) -> None:
        """Compare what is known of the logs of users with the store; see AHEAD_SECONDS for what follows."""
        for start in range(0, len(uids), HEADS_BATCH):
            batch = uids[start : start + HEADS_BATCH]
            call = self.rpc.call(Call(Method.HEADS, "", "", orjson.dumps(batch)))
            # Shielded: it may be a task that answers its cancellation with a code, and then ours would be lost.
            reply = await asyncio.shield(call)
            if reply.code != Code.SUCCESS:
                log.warning("heads not checked", code=reply.code, users=len(batch))
                continue
            due = self.time() + AHEAD_SECONDS
            for uid, numbers in orjson.loads(reply.payload).items():
                user, heads = self.users.get(uid), Heads(*numbers)
                if user is not None and user.behind(heads):
                    self._ahead.append((due, uid, heads))

    def told_of_recall(self, session: Session) -> None:
        """Note that the cursor of a device in the recalls has moved, to be kept with the next head check."""
        self._told_recalls[session.uid, session.client_id] = session.recalls

    async def keep_recall_cursors(self) -> None:
        """Keep how far devices know the recalls; what is not kept they are told of once more."""
        while self._told_recalls:
            batch = [self._told_recalls.popitem() for _ in range(min(HEADS_BATCH, len(self._told_recalls)))]
            body = orjson.dumps([(*device, seq) for device, seq in batch])
            reply = await asyncio.shield(self.rpc.call(Call(Method.RECALLS_TOLD, "", "", body)))
            if reply.code != Code.SUCCESS:
                log.warning("recall cursors not kept", code=reply.code, devices=len(batch))

    # The sweep

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.sweep()

    async def sweep(self) -> None:
        """Look at every connection: drop those whose time is over, repeat notifications."""
        now = self.time()
        self.buckets.sweep(now)
        while self._recalls and (oldest := next(iter(self._recalls))) and self._recalls[oldest][0] < now:
            del self._recalls[oldest]
        if self.refused > self._refused_logged:
            log.warning(
                "connections refused: too many",
                count=self.refused - self._refused_logged,
                connections=len(self.sessions) + len(self.waiting),
                unauthenticated=self.unauthenticated + len(self.waiting),
            )
            self._refused_logged = self.refused
        for gate in list(self.waiting):
            if now - gate.opened_at > self.settings.authenticate_seconds:
                gate.refuse("no WebSocket handshake within the time")
        sessions = list(self.sessions)
        for start in range(0, len(sessions), SWEEP_SLICE):
            for session in sessions[start : start + SWEEP_SLICE]:
                self._look_at(session, now)
            await asyncio.sleep(0)

    def _look_at(self, session: Session, now: float) -> None:
        settings = self.settings
        if session.state is State.CLOSED:
            return
        if session.state is not State.OPEN and now - session.opened_at > settings.authenticate_seconds:
            session.refuse("not logged in within the time")
        elif now - session.heard_at > session.transport.silence_seconds:
            session.refuse("silent")
        else:
            session.repeat_notifications(now - settings.notify_repeat_seconds)


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a task of the connector ended", exc_info=error)


def _report_forget(future: asyncio.Future[Reply]) -> None:
    if future.result().code != Code.SUCCESS:
        log.warning("a device could not be logged out", code=future.result().code)
