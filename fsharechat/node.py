"""A process: it builds the backends of the settings, starts the roles on them, drains and stops them."""

import asyncio
import gc
import platform
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol, cast

import structlog

from fsharechat import __version__, backends, clock
from fsharechat.blobs import BlobsError, BlobsMisconfigured
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.bus import Bus, BusError
from fsharechat.data_folder import DataFolder
from fsharechat.errors import StartError, StoreError, listening
from fsharechat.event_loop import RELOAD, STOP, Signals
from fsharechat.health import FINE, Finding, Health
from fsharechat.log import set_level
from fsharechat.medialink import MediaLink
from fsharechat.mediaserver import MediaEvents, MediaServer
from fsharechat.metrics import Labelled, Metrics
from fsharechat.process import TooFewFiles, raise_open_files
from fsharechat.registry import Lease, LeaseTaken, Registry, RegistryError
from fsharechat.renewal import Renewal
from fsharechat.role import installed
from fsharechat.rpc import Rpc, RpcError
from fsharechat.settings import Settings, SettingsError, with_cluster_secret
from fsharechat.settings_schema import DIRECTORY, WILDCARDS, is_loopback
from fsharechat.settings_types import SYSTEM, ServiceTls
from fsharechat.status import ProcessStatus
from fsharechat.store.fence import StoreFenced
from fsharechat.workers import WorkerPlace

log = structlog.get_logger(__name__)

ORDER = ("media", "group", "connector", "api")
"""Roles start in this order and stop in the reverse order, so that callers always have somebody to call."""

WAIT_SECONDS = 2.0
"""The pause between attempts to reach a server of the cluster that is not there yet, s."""


class Role(Protocol):
    """A part of the server that a process may run. It listens on `addresses`, shown in the `ready` line."""

    name: str
    addresses: dict[str, str]

    async def start(self, node: "Node") -> None:
        """Begin to serve, or raise StartError. Waits for other roles that it needs."""

    async def stop(self) -> None:
        """Take no new work, finish accepted work, close connections. The node limits the time."""


def load(name: str) -> Role:
    """Return a new role of that name. Raises LookupError if none is installed."""
    entry = installed().get(name)
    if entry is None:
        raise LookupError(f"no role {name!r} is installed")
    return cast(Role, entry.load()())


class Node:
    """The shared parts of the roles of one process, and their life: `async with` boots and drains them.

    Backends may be replaced before that. Tests do this to lose events as a real bus would.
    """

    def __init__(self, settings: Settings, worker: WorkerPlace | None = None) -> None:
        """`worker`: what this process knows of its main process, if it is a worker."""
        if settings.node.workers:
            settings = with_cluster_secret(settings, secrets.token_urlsafe(32))
        self.settings = settings
        self.shares_ports = worker is not None
        """Whether other processes listen on the clients' ports, too."""
        self.store = backends.make_store(settings)
        self.registry = backends.make_registry(settings, worker)
        self.bus = backends.make_bus(settings, worker)
        self.rpc = backends.make_rpc(settings, self.registry, worker)
        self.blobs = backends.make_blobs(settings, self.store)
        self.metrics = Metrics()
        self.metrics.of_process(settings.own_roles)
        self.health = Health()
        self.addresses: dict[str, str] = {}
        self.status = ProcessStatus(settings.own_roles, self.metrics, self.health, self.addresses)
        self.ready = False
        self.media_link = backends.make_media_link(settings, self.registry, self.rpc)
        self.make_media_server: Callable[[MediaEvents], MediaServer] | None = None
        """Makes the way to the media server of calls in groups, which tells its events; None where there is none."""
        if not settings.embedded or "media" in settings.node.roles:
            self.make_media_server = self.media_link.server
        self._draining = False
        self._stack = AsyncExitStack()
        self._on_reload: list[Callable[[], None]] = []

    async def __aenter__(self) -> "Node":
        await self.boot()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    async def boot(self) -> None:
        """Open the backends and boot the roles. Raises StartError, and then undoes the steps before it."""
        try:
            await self._boot()
            self.ready = True
            self.health.forget()
            if "group" not in self.settings.node.roles:
                self._stack.callback(self.status.stop)
                await self.status.start(self.rpc)
        except BaseException:
            self.ready = False
            await self._stack.aclose()
            raise

    async def drain(self) -> None:
        """Drain the roles and close the backends."""
        self.ready = False
        self._draining = True
        log.info("draining", seconds=self.settings.node.drain_seconds)
        await self._stack.aclose()
        log.info("stopped")

    def on_reload(self, look: Callable[[], None]) -> None:
        """Call `look` whenever the operator asks for files to be read again."""
        self._on_reload.append(look)

    def reload(self, read: Callable[[], Settings]) -> None:
        """Read again what may change at run time: the certificates, and the level of the log in the settings."""
        try:
            level = read().log.level
        except SettingsError as error:
            log.error("settings not read again", reason=str(error))
        else:
            set_level(level)
            log.info("settings read again", level=level)
        for look in self._on_reload:
            look()

    async def _boot(self) -> None:
        stack, roles = self._stack, self.settings.node.roles
        if (problem := clock.problem()) is not None:
            raise StartError(problem)
        try:
            raise_open_files()
        except TooFewFiles as error:
            raise StartError(str(error)) from error
        self._watch_health()
        metrics = await self._serve_metrics()
        stack.push_async_callback(self.metrics.close)
        self.metrics.start()
        self.metrics.gauge("backend_up", "Whether a backend can be used.", self._backends_up, ("backend",))
        self.metrics.gauge("ready", "Whether the process serves.", lambda: self.ready)
        if "group" in roles:
            if self.settings.on_sqlite:
                stack.enter_context(DataFolder(self.settings.data_path()))
            stack.push_async_callback(self.store.close)
            await self._open("store", self.store.open)
            self._follow("store", self.settings.store.tls, self.store.renew)
            self.store.publish(self.metrics)
            self.health.part("store", self._look_at_store)
        linked: tuple[tuple[str, Registry | Bus | Rpc | MediaLink], ...] = (
            ("registry", self.registry),
            ("bus", self.bus),
            ("rpc", self.rpc),
            ("rpc", self.media_link),
        )
        for section, backend in linked:
            stack.push_async_callback(backend.close)
            await self._open(section, backend.open)
        self._follow("bus", self.settings.bus.tls, self.bus.renew)
        self._follow("rpc", self.settings.rpc.tls, self.rpc.renew)
        self._follow("rpc", self.settings.rpc.tls, self.media_link.renew)
        await self._open("registry", lambda: self.registry.watch_bus(self.bus.write_for))
        self.rpc.publish(self.metrics)
        self.bus.publish(self.metrics)
        if not self.blobs.roles.isdisjoint(roles):
            stack.push_async_callback(self.blobs.close)
            await self._open("blobs", self.blobs.open)
            self._warn_of_media()
        for name in sorted(roles, key=_position):
            booted = self._make_role(name)
            stack.push_async_callback(self._stop_role, booted)
            try:
                await booted.start(self)
            except (StoreError, BusError, RegistryError) as error:
                raise StartError(f"the {name} role cannot start: {error}") from error
            self.addresses |= booted.addresses
        self.addresses |= metrics

    def _make_role(self, name: str) -> Role:
        """Return a new role. With workers, they are the connector role."""
        if name != "connector" or not self.settings.node.workers:
            return load(name)
        workers = backends.make_workers(self.settings, self.bus, self.registry, self.rpc, self.on_reload)
        workers.publish(self.metrics, self.health)
        return workers

    def _follow(self, section: str, tls: ServiceTls, renew: Callable[[], float | None]) -> None:
        """Renew the certificates of a backend when their files change."""
        if self.settings.embedded or not tls.on:
            return
        files = (file for file in (tls.ca, tls.certificate, tls.key) if file not in ("", SYSTEM))
        renewal = Renewal(f"{section}.tls", files, renew)
        self._stack.push_async_callback(renewal.close)
        self.on_reload(renewal.look)
        renewal.watch()

    async def _open(self, section: str, open_backend: Callable[[], Awaitable[None]]) -> None:
        """Open a backend. In a cluster wait for its servers, which may start later."""
        while True:
            try:
                await open_backend()
                return
            except (BlobsMisconfigured, StoreFenced) as error:
                raise StartError(f"[{section}] {error}") from error
            except (StoreError, BusError, RegistryError, BlobsError) as error:
                if self.settings.embedded:
                    raise StartError(f"[{section}] {error}") from error
                log.warning("waiting", section=section, reason=str(error))
            except RpcError as error:
                raise StartError(f"[{section}] {error}") from error
            await asyncio.sleep(WAIT_SECONDS)

    async def lease(self, kind: str, address: str) -> Lease:
        """Lease the node id of the settings for a role, which others reach at `address`. Raises StartError.

        In a cluster wait for a registry that does not answer.
        """
        node = self.settings.node.id
        while True:
            try:
                lease = await self.registry.lease(kind, node, address)
                break
            except LeaseTaken as error:
                raise StartError(f"[node] id: {error}") from error
            except RegistryError as error:
                if self.settings.embedded:
                    raise StartError(f"[registry] {error}") from error
                log.warning("waiting", section="registry", reason=str(error))
            await asyncio.sleep(WAIT_SECONDS)
        self.health.part(f"{kind}'s node id", lease.look)
        self.status.leases.append(lease)
        return lease

    def _warn_of_media(self) -> None:
        """Warn of defaults of [blobs] that do not suit this deployment."""
        settings = self.settings
        if not isinstance(self.blobs, DirectoryBlobs):
            return
        if not settings.embedded and not settings.blobs.url.startswith(f"{DIRECTORY}/"):
            log.warning(
                "all group and api processes must share this folder", media=str(settings.media_path())
            )
        found_alike = settings.embedded and settings.api.host not in WILDCARDS
        if "group" in settings.node.roles and not settings.blobs.public_url and not found_alike:
            log.warning("[blobs] public_url is not set", clients_are_sent_to=self.blobs.address)

    async def _serve_metrics(self) -> dict[str, str]:
        settings = self.settings.metrics
        host, port = settings.host, settings.port
        if port == "off":
            return {}
        if not settings.password and not is_loopback(host):
            log.warning("anybody may read the metrics: [metrics] password is not set", host=host)
        with listening(f"[metrics] port = {port}", host, port):
            return {"metrics": await self.metrics.serve(settings, port, self.health)}

    def _backends_up(self) -> Labelled:
        """Return 1 or 0 for each backend of this process."""
        away = {"registry": self.registry.away, "bus": self.bus.away}
        if "group" in self.settings.node.roles:
            away["store"] = self.store.away
        else:
            away["group"] = "" if self.rpc.ready else "no group process takes calls"
        return [((name,), not reason) for name, reason in away.items()]

    def _watch_health(self) -> None:
        """Add the shared parts of the roles to the health."""
        self.health.part("process", self._look_at_process)
        self.health.part("clock", _look_at_clock)
        if "group" not in self.settings.node.roles:
            self.health.part("group", self._look_for_group)
        self.health.part("registry", self._look_at_registry)
        self.health.part("bus", self._look_at_bus)

    async def _look_at_process(self) -> Finding:
        if self.ready:
            return FINE
        return Finding("it drains" if self._draining else "it starts", serves=False)

    async def _look_at_store(self) -> Finding:
        try:
            await self.store.probe()
        except StoreError as error:
            return Finding(str(error), serves=False)
        return FINE

    async def _look_for_group(self) -> Finding:
        return FINE if self.rpc.ready else Finding("no group process takes calls", serves=False)

    async def _look_at_registry(self) -> Finding:
        """While the registry is away a process goes on, as long as its leases hold. The roles report their leases."""
        return Finding(self.registry.away)

    async def _look_at_bus(self) -> Finding:
        """Without the bus everything still reaches devices, but late."""
        return Finding(self.bus.away)

    async def _stop_role(self, booted: Role) -> None:
        seconds = self.settings.node.drain_seconds
        try:
            async with asyncio.timeout(seconds):
                await booted.stop()
        except TimeoutError:
            log.warning("role did not drain in time", role=booted.name, seconds=seconds)


async def run(settings: Settings, read: Callable[[], Settings]) -> int:
    """Run a node until a signal of STOP, drain, and return the exit code. Raises StartError.

    `read` reads the settings again, at SIGHUP; it raises SettingsError.
    """
    with Signals() as signals:
        return await _run(settings, read, signals)


async def _run(settings: Settings, read: Callable[[], Settings], signals: Signals) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals.on(STOP, stop.set)
    loop.set_exception_handler(log_loop_error)
    log.info(
        "starting", version=__version__, python=platform.python_version(), roles=list(settings.node.roles)
    )
    node = Node(settings)
    signals.on(RELOAD, partial(node.reload, read))
    stopping, booting = loop.create_task(stop.wait()), loop.create_task(node.boot())
    await asyncio.wait((stopping, booting), return_when=asyncio.FIRST_COMPLETED)
    if not booting.done():
        booting.cancel()
        await asyncio.wait((booting,))
        return 0
    await booting
    settle()
    where = "".join(f" {name}={address}" for name, address in node.addresses.items())
    print(f"ready roles={','.join(settings.node.roles)}{where}", flush=True)
    log.info("ready", roles=list(settings.node.roles), **node.addresses)
    await stopping
    await node.drain()
    return 0


def settle() -> None:
    """Set up the garbage collector once the process serves.

    Objects made at the start stay until the end, so it need not check them again. And objects of a request are freed
    by their reference counts, so it need not look for cycles every 700 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _look_at_clock() -> Finding:
    problem = clock.problem()
    return FINE if problem is None else Finding(problem, serves=False)


def _position(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what nobody has handled, as the handler of a loop."""
    error = context.get("exception")
    log.error(
        "unhandled error",
        message=context.get("message"),
        exc_info=error if isinstance(error, BaseException) else None,
    )
