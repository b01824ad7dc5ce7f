"""A process: builds the backends that the settings name, boots the roles on them, drains and stops them."""

import asyncio
import fcntl
import gc
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, NamedTuple

import structlog

from fsharechat import role
from fsharechat.bus import Bus
from fsharechat.bus.memory import MemoryBus
from fsharechat.errors import StoreError
from fsharechat.metrics import Metrics
from fsharechat.registry import Registry
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.rpc import Rpc
from fsharechat.rpc.local import LocalRpc
from fsharechat.settings import Settings
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.store import Store

log = structlog.get_logger(__name__)

ORDER = ("group", "connector", "api")
"""Roles start in this order and stop in the other, so that those who ask have somebody to ask."""


class StartError(Exception):
    """The process cannot start; the text is for the operator."""


class Check(NamedTuple):
    """What `fsharechat check` found out about one thing the settings name."""

    name: str
    ok: bool
    detail: str


class Node:
    """What the roles of one process share, and their life: `async with` boots and drains them.

    Backends may be replaced before that, which tests use to lose what a real bus would lose.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bus: Bus = MemoryBus()
        self.registry: Registry = MemoryRegistry()
        self.rpc: Rpc = LocalRpc(settings.rpc.timeout_seconds)
        self.store: Store = SqliteStore(settings.store_path(), settings.store.max_queue)
        self.metrics = Metrics()
        self.addresses: dict[str, str] = {}
        self.ready = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Node":
        """Open the backends and boot the roles. Raises StartError."""
        self._check_roles(self.settings.node.roles)
        try:
            await self._boot()
        except BaseException:
            await self._stack.aclose()
            raise
        self.ready = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drain the roles and close the backends."""
        self.ready = False
        log.info("draining", seconds=self.settings.node.drain_seconds)
        await self._stack.aclose()
        log.info("stopped")

    async def _boot(self) -> None:
        stack = self._stack
        stack.enter_context(DataFolder(self.settings.data_path()))
        try:
            for backend in (self.store, self.registry, self.bus, self.rpc):
                stack.push_async_callback(backend.close)
                await backend.open()
        except StoreError as error:
            raise StartError(f"[store] {error}") from error
        for name in sorted(self.settings.node.roles, key=_position):
            booted = role.load(name)
            stack.push_async_callback(self._stop_role, booted)
            await booted.start(self)
            self.addresses |= booted.addresses
        self.addresses |= await self._serve_metrics()
        stack.push_async_callback(self.metrics.close)

    def _check_roles(self, names: tuple[str, ...]) -> None:
        missing = {"connector", "group", "api"} - set(names)
        if missing:
            raise StartError(
                f"[node] roles: {', '.join(sorted(missing))} would be in another process, which the memory bus "
                "and registry cannot reach; run all three roles in this one"
            )

    async def _serve_metrics(self) -> dict[str, str]:
        port = self.settings.metrics.port
        if port == "off":
            return {}
        try:
            return {"metrics": await self.metrics.serve("127.0.0.1", port)}
        except OSError as error:
            raise StartError(f"[metrics] port {port}: {error.strerror}") from error

    async def _stop_role(self, booted: role.Role) -> None:
        seconds = self.settings.node.drain_seconds
        try:
            async with asyncio.timeout(seconds):
                await booted.stop()
        except TimeoutError:
            log.warning("role did not drain in time", role=booted.name, seconds=seconds)


class DataFolder:
    """The data folder, and the lock that keeps a second process out of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> "DataFolder":
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = (self._path / "lock").open("a+")
        except OSError as error:
            raise StartError(f"[node] data = {str(self._path)!r}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise StartError(
                f"[node] data = {str(self._path)!r}: process {holder} runs on this folder already"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()


async def run(settings: Settings) -> int:
    """Run a node until SIGINT or SIGTERM, drain, and return the exit code. Raises StartError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(_log_loop_error)
    async with Node(settings) as node:
        # What start-up made stays until the end: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        names = settings.node.roles
        where = "".join(f" {name}={address}" for name, address in node.addresses.items())
        print(f"ready roles={','.join(names)}{where}", flush=True)
        log.info("ready", roles=list(names), **node.addresses)
        await stop.wait()
    return 0


async def check(settings: Settings) -> list[Check]:
    """Reach everything the settings name, as `fsharechat check` shows it."""
    store = SqliteStore(settings.store_path(), settings.store.max_queue)
    try:
        with DataFolder(settings.data_path()):
            await store.open()
            await store.close()
    except (StartError, StoreError) as error:
        return [Check("store", False, str(error))]
    return [
        Check("store", True, f"{settings.store_path()} opens, and its schema is up to date"),
        Check("bus", True, "memory, in this process"),
        Check("registry", True, "memory, in this process"),
    ]


def _position(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def _log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    log.error(
        "unhandled error",
        message=context.get("message"),
        exc_info=error if isinstance(error, BaseException) else None,
    )
