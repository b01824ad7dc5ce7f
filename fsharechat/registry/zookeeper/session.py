"""A ZooKeeper session that outlives its connections.

aiozk (0.32) reconnects by itself, but not well enough for leases:

- it notices a closed connection only by an unanswered ping, a whole session timeout later;
- it waits for ever for a server that accepts a connection and says nothing, and after a connection that breaks while
  watches are restored;
- between its rounds over the servers it waits 4 s and more, up to 60 s: by then the session is over;
- it repeats requests by itself, perhaps in another session than the one they were meant for.

So here one aiozk client is one connection, with every wait bounded. At the first sign of trouble it is thrown away.
The next one, to the next server, takes over the session by its id and password. This needs a few undocumented
attributes of aiozk, so pyproject.toml pins the version.
"""

import asyncio
import os
import random
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from aiozk import RetryPolicy, ZKClient, exc
from aiozk.states import States

from fsharechat.registry import RegistryError
from fsharechat.tasks import spawn
from fsharechat.urls import joined

T = TypeVar("T")

BEATS = 8
"""How many requests are sent in one session timeout. SAFE in lease.py relies on it."""
MIN_PATIENCE = 1.0
"""How long an answer may take at least, s, however short the session is."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
MAX_ANSWER = 4096

log = structlog.get_logger(__name__)


class ZooKeeperSession:
    """A session with one of `servers` (host, port) at a time. `timeout` is in seconds; the server may change it."""

    def __init__(self, servers: Sequence[tuple[str, int]], timeout: float) -> None:
        self.timeout = timeout
        self._wanted = timeout
        self._servers = {joined(host, port): (host, port) for host, port in servers}  # as aiozk takes them
        self._id = 0
        self._password = b"\x00"
        self._client: ZKClient | None = None
        self._broken: asyncio.Future[str] | None = None
        self._connected = asyncio.Event()
        self._wakers: weakref.WeakSet[asyncio.Event] = weakref.WeakSet()
        self._failures: dict[str, str] = {}
        self._run_task: asyncio.Task[None] | None = None

    @property
    def away(self) -> str:
        """Why there is no connection now, "" while there is one."""
        return "" if self._connected.is_set() else self._unreachable()

    @property
    def beat(self) -> float:
        """The time between two requests that keep the session, or a lease, alive, s."""
        return self.timeout / BEATS

    @property
    def _patience(self) -> float:
        """How long an answer may take, s: two beats, so that there is time for another server."""
        return max(MIN_PATIENCE, 2 * self.beat)

    async def open(self, seconds: float) -> None:
        """Connect, and stay connected. Raises RegistryError if no server answers within `seconds`."""
        self._run_task = spawn("ZooKeeper session", self._run())
        try:
            async with asyncio.timeout(seconds):
                await self._connected.wait()
        except TimeoutError:
            await self.close()
            raise RegistryError(self._unreachable()) from None

    async def close(self) -> None:
        """End the session, and with it every ephemeral node, if ZooKeeper can be told."""
        if self._run_task is not None:
            self._run_task.cancel()
            await asyncio.wait({self._run_task})
            self._run_task = None
        client, self._client = self._client, None
        self._connected.clear()
        if client is None:
            return
        with suppress(TimeoutError, exc.ZKError):
            async with asyncio.timeout(self._patience):
                await client.close()
        _throw_away(client)

    def waker(self) -> asyncio.Event:
        """Return an event that is set after each new connection: earlier changes may have been missed."""
        wake = asyncio.Event()
        self._wakers.add(wake)
        return wake

    async def call(self, ask: Callable[[ZKClient], Awaitable[T]]) -> T:
        """Let `ask` talk to ZooKeeper, once. Raises RegistryError; then its work may be done or not."""
        patience = self._patience
        try:
            async with asyncio.timeout(patience):
                await self._connected.wait()
        except TimeoutError:
            raise RegistryError(self._unreachable()) from None
        client, broken = self._client, self._broken
        if client is None or broken is None:  # it broke before this task ran
            raise RegistryError(self._unreachable())
        task = asyncio.ensure_future(ask(client))
        task.add_done_callback(_take_error)
        ends: set[asyncio.Future[Any]] = {task, broken}
        try:
            await asyncio.wait(ends, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered = task.done()
            task.cancel()
        if not answered:
            _set(broken, f"no answer in {patience:g} s")
            raise RegistryError(f"ZooKeeper: {broken.result()}")
        try:
            return task.result()
        except exc.ZKError as error:
            raise RegistryError(f"ZooKeeper: {error or type(error).__name__}") from error

    async def _run(self) -> None:
        server = ""
        while True:
            server, client = await self._reconnect(failed=server)
            self._adopt(client)
            log.info("connected to ZooKeeper", server=server, session=f"{self._id:#x}", timeout=self.timeout)
            why = await self._until_broken()
            self._connected.clear()
            self._client = None
            _throw_away(client)
            log.warning("the connection to ZooKeeper broke", server=server, why=why)

    async def _reconnect(self, failed: str) -> tuple[str, ZKClient]:
        pause = FIRST_PAUSE
        told = False
        while True:
            # In random order, so that clients spread. The server that has just failed comes last: it may fail slowly
            # again.
            for server in sorted(self._servers, key=lambda name: (name == failed, random.random())):
                try:
                    return server, await self._connect(server)
                except RegistryError as error:
                    self._failures[server] = str(error)
            if not told:
                log.warning("ZooKeeper is away; will try until it is back", why=self._unreachable())
                told = True
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, self.beat, LONGEST_PAUSE)

    async def _connect(self, server: str) -> ZKClient:
        patience = self._patience
        await _probe(*self._servers[server], patience)
        client = ZKClient(
            server, session_timeout=self._wanted, retry_policy=RetryPolicy.once(), read_timeout=patience
        )
        # Not `last_zxid`: a server that is behind it closes the connection, and aiozk takes that for the end of the
        # session. Data that must be new is read after a `sync`.
        client.session.session_id = self._id
        client.session.password = self._password
        try:
            async with asyncio.timeout(patience):
                await client.start()
        except BaseException as error:
            _throw_away(client)
            if isinstance(error, TimeoutError):
                raise RegistryError(f"gave no session in {patience:g} s") from None
            raise
        return client

    def _adopt(self, client: ZKClient) -> None:
        session = client.session
        if self._id and session.session_id != self._id:
            log.warning("the ZooKeeper session was lost; there is a new one", lost=f"{self._id:#x}")
        self._id, self._password, self.timeout = session.session_id, session.password, session.timeout
        self._client = client
        broken = self._broken = asyncio.get_running_loop().create_future()
        for end in (session.conn.read_loop_task, session.state.wait_for(States.SUSPENDED, States.LOST)):
            end.add_done_callback(lambda _: _set(broken, "the connection was closed"))
        self._failures.clear()
        self._connected.set()
        for wake in self._wakers:
            wake.set()

    async def _until_broken(self) -> str:
        """Keep the session alive, and return why the connection broke."""
        assert self._broken is not None
        while not self._broken.done():
            await asyncio.wait({self._broken}, timeout=self.beat)
            with suppress(RegistryError):  # `call` marks the connection as broken if it gets no answer
                await self.call(lambda client: client.exists("/"))
        return self._broken.result()

    def _unreachable(self) -> str:
        failures = (f"{server}: {self._failures.get(server, 'no answer yet')}" for server in self._servers)
        return f"ZooKeeper cannot be reached at {'; '.join(failures)}"


async def _probe(host: str, port: int, seconds: float) -> None:
    """Raise RegistryError with the reason if a server does not serve.

    aiozk sends the same command `srvr`, but only logs the reason, and waits 4 s before it asks a starting server
    again.
    """
    answer = b""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"srvr")
                answer = await reader.read(MAX_ANSWER)
            finally:
                writer.close()
    except TimeoutError:
        raise RegistryError(f"no answer in {seconds:g} s") from None
    except OSError as error:
        known = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise RegistryError(known or str(error)) from None
    if not answer.startswith(b"Zookeeper version"):
        text = answer.decode(errors="replace").partition("\n")[0].strip()
        raise RegistryError(f"says {text[:100]!r}" if text else "hangs up: is it ZooKeeper?")


def _throw_away(client: ZKClient) -> None:
    """End a connection and aiozk's tasks, but not the ZooKeeper session; aiozk's `close` would end it too."""
    session = client.session
    session.closing = True
    tasks = [session.repair_loop_task, session.heartbeat_task]
    if session.conn is not None:
        tasks.append(session.conn.read_loop_task)
        session.conn.writer.transport.abort()
    for task in filter(None, tasks):
        task.add_done_callback(_take_error)
        task.cancel()
    if session.heartbeat_handle is not None:
        session.heartbeat_handle.cancel()


def _set(future: asyncio.Future[str], value: str) -> None:
    if not future.done():
        future.set_result(value)


def _take_error(task: asyncio.Future[T]) -> None:
    """Retrieve the exception of a task that nobody awaits any more: else asyncio complains."""
    if not task.cancelled():
        task.exception()
