"""The sessions of a connector and the users who are online here."""

import asyncio
from collections.abc import Callable

import structlog

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply, Rpc
from fsharechat.rpc.payloads import Welcome
from fsharechat.settings_schema import ConnectorSettings
from fsharechat.tasks import spawn
from roles.connector.heads import HeadCheck
from roles.connector.identity import NodeIdentity
from roles.connector.limits import Buckets, RequestFlow
from roles.connector.logs import DeviceLogs, OnlineUser
from roles.connector.marks import MarkKeeper
from roles.connector.session import Session, SessionState
from roles.connector.transport import DeviceTransport

log = structlog.get_logger(__name__)

SLICE = 2000
"""How many sessions are checked in one turn of the loop."""


class SessionTable:
    def __init__(
        self, settings: ConnectorSettings, identity: NodeIdentity, flow: RequestFlow, rpc: Rpc
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.flow = flow
        self.rpc = rpc
        self.time = flow.time
        self.users: dict[str, OnlineUser] = {}
        self.sessions: set[Session] = set()
        self._devices: dict[tuple[str, str], Session] = {}
        """The sessions of devices that are logged in, by uid and client id."""
        self.unauthenticated = 0
        self.notified = 0
        self.answers = flow.answers
        self._tail_bounds = (settings.tail_entries, settings.tail_bytes)
        self._announcing: asyncio.Task[None] | None = None
        self.heads = HeadCheck(self)
        self.marks = MarkKeeper(rpc, self.time)

    @property
    def devices(self) -> int:
        """Return how many devices are logged in."""
        return len(self.sessions) - self.unauthenticated

    def stop(self) -> None:
        """Close every session."""
        self.close_all()
        if self._announcing is not None:
            self._announcing.cancel()

    def close_all(self) -> None:
        for session in list(self.sessions):
            session.close()

    def accept(self, transport: DeviceTransport) -> Session | None:
        """Return a session for a connection, or None while no connections are taken."""
        if self.identity.suspended:
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
        session.epoch = self.identity.new_epoch()
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
            self.flow.buckets.keep(session.uid, session.client_id, buckets, self.time())
        logs, session.logs = session.logs, None
        key = (session.uid, session.client_id)
        if logs is not None:
            self.marks.seen(*key)
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
        self.flow.inflight += 1  # draining waits for it
        self.marks.forget(session.uid, session.client_id)

        def forgotten(future: asyncio.Future[Reply]) -> None:
            session.transport.close()
            self.flow.inflight -= 1
            self.flow.look_if_idle()
            if (code := future.result().code) != Code.SUCCESS:
                log.warning("a device could not be logged out", code=code)

        call = Call(Method.FORGET, session.uid, session.client_id, b"%d" % session.issued_ms)
        self.rpc.call(call).add_done_callback(forgotten)

    def pinged(self, session: Session, interval_ms: int) -> None:
        """Note a PING. The client counts as dead some time after its next PING was due (contract.md section 4)."""
        grace = self.settings.ping_grace_seconds
        session.transport.silence_seconds = interval_ms / 1000 + grace

    def _announce(self, session: Session, online: bool) -> None:
        self.identity.announce(session.uid, session.client_id, session.epoch, online=online)

    def announce_again(self) -> None:
        """Repeat all announcements since the node began that are still true, a slice in a turn of the loop."""
        if self._announcing is None or self._announcing.done():
            self._announcing = spawn("announcement of all devices", self._announce_all())

    async def _announce_all(self) -> None:
        log.info("all devices are announced again", devices=self.devices)
        self.identity.announce_node()
        devices = list(self._devices.items())
        for start in range(0, len(devices), SLICE):
            for key, session in devices[start : start + SLICE]:
                if self._devices.get(key) is session:
                    self._announce(session, True)
            await asyncio.sleep(0)

    def session_of(self, device: tuple[str, str]) -> Session | None:
        """Return the session of a device that is logged in here: uid and client id."""
        return self._devices.get(device)

    def logs_of(self, uid: str) -> list[DeviceLogs]:
        """Return the logs of the devices of a user that are logged in here."""
        user = self.users.get(uid)
        return list(user.devices.values()) if user is not None else []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        asyncio.get_running_loop().call_later(seconds, action)

    # The sweep

    async def sweep(self, now: float) -> None:
        """Look at every session: end those whose time is over, repeat notifications."""
        sessions = list(self.sessions)
        for start in range(0, len(sessions), SLICE):
            for session in sessions[start : start + SLICE]:
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
