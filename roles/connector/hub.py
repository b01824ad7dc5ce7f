"""The state that all sessions of a connector share, and the tasks beside them: events, the sweep."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
import structlog

from fsharechat.bus import Bus, Deliver, Event, Kick, Notify, Presence, Push, Recalled, Reported, Resync
from fsharechat.process import SPARE_FILES
from fsharechat.protocol.bodies import notify_recall
from fsharechat.protocol.ids import IdGenerator
from fsharechat.protocol.signals import Code
from fsharechat.registry import Lease
from fsharechat.rooms import AddressRoom
from fsharechat.rpc import Call, Method, Reply, Rpc
from fsharechat.rpc.welcome import Welcome
from fsharechat.settings import ConnectorSettings, Settings
from fsharechat.store.cursors import Log
from fsharechat.tasks import repeat, spawn
from roles.connector.admission import Admission, Visit
from roles.connector.deaf import Breaks
from roles.connector.heads import HeadCheck
from roles.connector.limits import Buckets, BucketTable, RateLimit
from roles.connector.logs import VERSIONED, DeviceLogs, OnlineUser
from roles.connector.marks import MarkKeeper
from roles.connector.recalls import Recalls
from roles.connector.session import Session, SessionState
from roles.connector.slow import SlowReaders
from roles.connector.tail import TailMessage
from roles.connector.transport import DeviceTransport
from roles.connector.writes import TurnWrites

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
SWEEP_SLICE = 2000


class Hub:
    retry_seconds = 1.0
    """Time between questions to the store that must be answered before work begins, s."""

    def __init__(self, settings: Settings, lease: Lease, rpc: Rpc, bus: Bus, open_files: int) -> None:
        """`open_files` is the limit of open files of this process."""
        self.settings = settings.connector
        self._lease = lease
        self.rpc = rpc
        self.bus = bus
        self._take_id()
        self._begin_ids(0)
        self.limit = RateLimit(settings.limits.requests, settings.limits.follow_ups, settings.limits.seconds)
        self.buckets = BucketTable(settings.limits.seconds)
        self.writes = TurnWrites()
        self.slow = SlowReaders()
        self.breaks = Breaks()
        self.max_inflight = self.settings.max_inflight
        self.admission = _admission(self.settings, open_files)
        self.users: dict[str, OnlineUser] = {}
        self._devices: dict[tuple[str, str], Session] = {}
        """The sessions of devices that are logged in, by uid and client id."""
        self.sessions: set[Session] = set()
        self.unauthenticated = 0
        self.draining = False
        self.suspended = False
        self.inflight = 0
        self.notified = 0
        self.time: Callable[[], float] = asyncio.get_running_loop().time
        self._tail_bounds = (self.settings.tail_entries, self.settings.tail_bytes)
        self._epoch = 0
        self._began = 0
        """The epoch with which the node began."""
        self._resync: asyncio.Task[None] | None = None
        self._lease_changed = asyncio.Event()
        self._idle = asyncio.Event()
        self.heads = HeadCheck(self)
        self.recalls = Recalls(lambda: self.time())
        self.marks = MarkKeeper(rpc, lambda: self.time())
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def start(self) -> None:
        self._lease.on_change(self._on_lease)
        self.suspended = True
        self._begin_ids(await self._newest_id())
        await self.bus.serve_node(self.node, self.on_events)
        self._begin()
        self._tasks = [
            spawn("sweep", repeat(SWEEP_SECONDS, self.sweep)),
            spawn("marks of devices", repeat(SWEEP_SECONDS, self.marks.keep)),
            *self.heads.start(),
            spawn("connector's node id", self._follow_lease()),
        ]

    async def stop(self) -> None:
        """Read no more, finish the requests under way, then close every session. When cancelled, close them at once.

        A frame that has begun is sent to its end, as long as the client takes it.
        """
        self.draining = True
        for session in self.sessions:
            session.transport.pause()
        try:
            if self.inflight:
                await self._idle.wait()
        finally:
            for session in list(self.sessions):
                session.close()
            if self._resync is not None:
                self._resync.cancel()
            for task in self._tasks:
                task.cancel()
        await self.marks.keep(all=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.slow.finished(self.time)

    def look_if_idle(self) -> None:
        """Let `stop` go on if no request is under way."""
        if not self.inflight:
            self._idle.set()

    @property
    def devices(self) -> int:
        """Return how many devices are logged in."""
        return len(self.sessions) - self.unauthenticated

    # The node id

    def _take_id(self) -> None:
        self.node = self._lease.node

    def _begin_ids(self, after: int) -> None:
        """Give out message ids of this node id above `after`: earlier holders of the node id gave out lower ones."""
        node, lease = self.node, self._lease
        self.ids = IdGenerator(node, after=after, held=partial(lease.holds, node))

    async def _newest_id(self) -> int:
        """Return the highest stored message id. Waits for the store: without it no id can be given out."""
        while True:
            reply = await self.rpc.call(Call(Method.NEWEST_ID, "", "", b""))
            if reply.code == Code.SUCCESS:
                newest: int = orjson.loads(reply.payload)
                return newest
            log.warning("waiting", section="store", reason=f"the newest message id: code {reply.code}")
            await asyncio.sleep(self.retry_seconds)

    def _begin(self) -> None:
        """Take connections, if the node id is held. Earlier connections under this id are gone."""
        if self._lease.holds(self.node):
            self.suspended = False
            self._began = self._epoch = max(self._epoch + 1, self.ids.time())
            self.bus.announce(Presence("", "", self.node, self._began))

    def _on_lease(self, held: bool) -> None:
        """Stop taking work while another process may have the node id."""
        self._lease_changed.set()
        if not held:
            self.suspended = True
            log.error("the node id is lost: no connections until there is one again", node=self.node)
            for session in list(self.sessions):
                session.close()

    async def _follow_lease(self) -> None:
        """Begin anew when there is a node id again, the old one or another."""
        while True:
            await self._lease_changed.wait()
            self._lease_changed.clear()
            if self._lease.node != self.node:
                await self.bus.leave_node(self.node)
                self._take_id()
                await self.bus.serve_node(self.node, self.on_events)
            if self.suspended and self._lease.held:
                self._begin_ids(max(self.ids.newest, await self._newest_id()))
                self._begin()

    def _announce(self, session: Session, online: bool) -> None:
        """Announce where a device is; not while another process may have the node id: others would mix them up."""
        if self._lease.holds(self.node):
            self.bus.announce(
                Presence(session.uid, session.client_id, self.node, session.epoch, online=online)
            )

    def _on_resync(self) -> None:
        if self._resync is None or self._resync.done():
            self._resync = spawn("announcement of all devices", self._announce_all())

    async def _announce_all(self) -> None:
        """Repeat all announcements since the node began that are still true."""
        log.info("all devices are announced again", devices=self.devices)
        if self._lease.holds(self.node):
            self.bus.announce(Presence("", "", self.node, self._began))
        devices = list(self._devices.items())
        for start in range(0, len(devices), SWEEP_SLICE):
            for key, session in devices[start : start + SWEEP_SLICE]:
                if self._devices.get(key) is session:
                    self._announce(session, True)
            await asyncio.sleep(0)

    # Sessions come and go

    def admit(self, connected: socket.socket, peer: tuple[Any, ...]) -> Visit | None:
        """Count a new connection from `peer`. Returns None if there are too many, or none are taken."""
        return None if self.suspended else self.admission.enter(connected, peer, self.time())

    def accept(self, transport: DeviceTransport) -> Session | None:
        """Return a session for a connection, or None while no connections are taken."""
        if self.suspended:
            return None
        session = Session(self, transport)
        self.sessions.add(session)
        self.unauthenticated += 1
        return session

    def opened(self, session: Session, welcome: Welcome) -> None:
        """Enter an authenticated session. An earlier session of the same device is closed.

        The CONNECT_ACK has told this device the heads. Other devices of the user may not know them yet.
        """
        self.unauthenticated -= 1
        user = self.users.get(session.uid)
        if user is None:
            user = self.users[session.uid] = OnlineUser(session.uid, self._tail_bounds)
        key = (session.uid, session.client_id)
        replaced = self._devices.get(key)
        self._devices[key] = session
        if replaced is not None:
            replaced.refuse("replaced by a new connection of the same device")
        heads, marks = welcome.heads, self.marks.known(*key, welcome.marks)
        logs = session.logs = user.devices[session.client_id] = DeviceLogs(session, self, user, heads, marks)
        session.epoch = self._epoch = max(self._epoch + 1, self.ids.time())
        self._announce(session, True)
        self.heads.connected(session.uid)
        if len(user.devices) == 1:
            user.learn_versions(heads)
        user.catch_up(heads)
        logs.notify_all()

    def closed(self, session: Session, was: SessionState, buckets: Buckets | None) -> None:
        self.sessions.discard(session)
        if was is not SessionState.OPEN:
            self.unauthenticated -= 1
            return
        if buckets is not None:
            self.buckets.keep(session.uid, session.client_id, buckets, self.time())
        logs, session.logs = session.logs, None
        key = (session.uid, session.client_id)
        if logs is not None:
            logs.closed()
        if logs is None or self._devices.get(key) is not session:
            return  # it has been replaced
        del self._devices[key]
        del logs.user.devices[session.client_id]
        self._announce(session, False)
        if logs.user.devices:
            logs.user.trim()
        else:
            del self.users[session.uid]

    def forget(self, session: Session) -> None:
        """Log the device out (DISCONNECT with clear), then close its connection."""
        self.inflight += 1  # draining waits for it
        self.marks.forget(session.uid, session.client_id)

        def forgotten(future: asyncio.Future[Reply]) -> None:
            session.transport.close()
            self.inflight -= 1
            self.look_if_idle()
            if (code := future.result().code) != Code.SUCCESS:
                log.warning("a device could not be logged out", code=code)

        call = Call(Method.FORGET, session.uid, session.client_id, b"%d" % session.issued_ms)
        self.rpc.call(call).add_done_callback(forgotten)

    def pinged(self, session: Session, interval_ms: int) -> None:
        """Note a PING. The client counts as dead some time after its next PING was due (contract.md section 4)."""
        grace = self.settings.ping_grace_seconds
        session.transport.silence_seconds = interval_ms / 1000 + grace

    # Events

    def on_events(self, events: Sequence[Event]) -> None:
        """Carry out the events for this node. An event that fails does not stop the others."""
        for event in events:
            try:
                if type(event) is Deliver:  # nearly all of them
                    self._on_deliver(event)
                else:
                    self._on_event(event)
            except Exception:
                log.exception("an event failed", kind=type(event).__name__)

    def _on_event(self, event: Event) -> None:
        if type(event) is Notify:
            self._on_notify(event)
        elif type(event) is Push:
            self._on_push(event)
        elif type(event) is Reported:
            self._on_reported(event)
        elif type(event) is Recalled:
            self._on_recalled(event)
        elif type(event) is Kick:
            self._on_kick(event)
        elif type(event) is Resync:
            self._on_resync()

    def _on_deliver(self, event: Deliver) -> None:
        self.ids.observe(event.message_id)  # an answer to it must come after it in history
        body = event.body
        if self.recalls.remembered:
            body = self.recalls.body_of(event.message_id) or body
        message = TailMessage(body, event.sender, event.sender_client)
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is not None:
                user.arrived(seq, message, event.sender_client if uid == event.sender else "")

    def _on_push(self, event: Push) -> None:
        message = TailMessage(event.body, "")
        for uid in event.uids:
            for logs in self._logs_of(uid):
                logs.push(message)

    def _on_reported(self, event: Reported) -> None:
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is not None:
                user.reported(Log(event.kind), seq)

    def _on_recalled(self, event: Recalled) -> None:
        """Replace the message in the tails, and tell all devices except the one that asked."""
        self.recalls.remember(event.message_id, event.body)
        notice = notify_recall(event.message_id, event.operator)
        replaced: TailMessage | None = None
        for uid, seq in event.entries:
            user = self.users.get(uid)
            if user is None:
                continue
            replaced = user.replace(event.message_id, event.body, replaced)
            user.heads[Log.RECALLS] = max(user.heads[Log.RECALLS], seq)
            for logs in self._logs_of(uid):
                logs.recalled(seq, notice, event.operator, event.operator_client)

    def _on_notify(self, event: Notify) -> None:
        if event.sub_signal in VERSIONED and (user := self.users.get(event.uid)) is not None:
            user.told(event.sub_signal, int.from_bytes(event.body, "big"))
        for logs in self._logs_of(event.uid):
            if logs.client_id != event.except_client:
                logs.transport.send_notification(event.sub_signal, event.body)

    def _on_kick(self, event: Kick) -> None:
        session = self._devices.get((event.uid, event.client_id))
        if session is not None and session.epoch <= event.epoch:
            session.refuse("the device has connected to another node, or an administrator ended it")

    def session_of(self, device: tuple[str, str]) -> Session | None:
        """Return the session of a device that is logged in here: uid and client id."""
        return self._devices.get(device)

    def _logs_of(self, uid: str) -> list[DeviceLogs]:
        user = self.users.get(uid)
        return list(user.devices.values()) if user is not None else []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        asyncio.get_running_loop().call_later(seconds, action)

    # The sweep

    async def sweep(self) -> None:
        """Look at every connection: close those whose time is over, repeat notifications."""
        now = self.time()
        self.buckets.sweep(now)
        self.recalls.forget_old(now)
        self.admission.sweep(now)
        self.slow.look(now)
        self.breaks.forget_old(now)
        sessions = list(self.sessions)
        for start in range(0, len(sessions), SWEEP_SLICE):
            for session in sessions[start : start + SWEEP_SLICE]:
                self._look_at(session, now)
            await asyncio.sleep(0)

    def _look_at(self, session: Session, now: float) -> None:
        settings = self.settings
        if session.state is SessionState.CLOSED:
            return
        session.forget_leaked(now)
        if now - session.heard_at > session.transport.silence_seconds:
            session.refuse("silent")
        else:
            if session.logs is not None:
                session.logs.sweep(now - settings.notify_repeat_seconds, now)


def _admission(settings: ConnectorSettings, open_files: int) -> Admission:
    most = min(settings.max_connections, open_files - SPARE_FILES)
    if most < settings.max_connections:
        log.info(
            "fewer connections than [connector] max_connections: raise the limit of open files",
            connections=most,
            open_files=open_files,
        )
    # Strangers alone must not be able to use up the open files.
    strangers = min(settings.max_unauthenticated, max(1, most // 2))
    room = AddressRoom(settings.connections_per_address, settings.trusted_proxies)
    return Admission(room, most, strangers, settings.authenticate_seconds)
