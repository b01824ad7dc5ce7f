"""The main process's side of the workers: it starts them, starts those again that have died, and drains them."""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import orjson
import structlog

from fsharechat.bus.workers import MainBus
from fsharechat.errors import StartError
from fsharechat.health import FINE, Finding, Health
from fsharechat.link import FrameKind, FrameLink
from fsharechat.log import level
from fsharechat.metrics import Metrics
from fsharechat.registry.workers import MainRegistry
from fsharechat.rpc import Rpc
from fsharechat.settings_schema import Settings
from fsharechat.tasks import spawn
from fsharechat.workers import Plan, settings_of_worker
from fsharechat.workers.ports import SharedPort

log = structlog.get_logger(__name__)

PROGRAM = (sys.executable, "-P", "-m", "fsharechat.workers.child")
START_SECONDS = 120.0
"""How long the workers may take at the start of the server, s."""
END_SECONDS = 10.0
"""How long a worker may take to end once its link has ended, s. Then it is killed."""
LAST_SECONDS = 3.0
"""How much longer than [node] drain_seconds, which it keeps itself, a worker may drain, s. Then it is killed."""
FIRST_PAUSE_SECONDS = 0.5
"""The pause before a worker that has died is started again, s. It doubles each time."""
MOST_PAUSE_SECONDS = 30.0
SOUND_SECONDS = 60.0
"""After so many seconds of life a worker counts as sound: the next pause is the first one again."""


class Worker:
    """One worker: a process with the node id `number`, and the next process when that one has died."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.link = FrameLink()
        self.ready = False
        self.addresses: dict[str, str] = {}
        self.restarts = 0
        self._failure = ""

    async def live(
        self, plan: bytes, attach: Callable[[FrameLink], None], on_ready: Callable[[], None]
    ) -> str:
        """Run a process to its end, and return how it ended. When cancelled, kill it.

        `attach` connects its link with the backends, `on_ready` is called when it serves.
        """
        ours, theirs = socket.socketpair()
        process: asyncio.subprocess.Process | None = None
        linked = False
        link = self.link = FrameLink()

        def ready(body: bytes) -> None:
            self.addresses = orjson.loads(body)
            self.ready = True
            on_ready()

        link.on(FrameKind.READY, ready)
        link.on(FrameKind.FAILED, self._on_failed)
        self._failure = ""
        try:
            with theirs:
                await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
                linked = True
                attach(link)
                link.send(FrameKind.PLAN, plan)
                process = await asyncio.create_subprocess_exec(
                    *PROGRAM, str(self.number), stdin=theirs.fileno()
                )
            ended = _how(await self._end_of(process, link))
            with suppress(TimeoutError):  # what it said last may still be on its way
                async with asyncio.timeout(END_SECONDS):
                    await link.gone.wait()
            return self._failure or ended
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
        finally:
            self.ready = False
            link.drop()
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
            if linked:
                await link.gone.wait()  # the backends know by then

    async def _end_of(self, process: asyncio.subprocess.Process, link: FrameLink) -> int:
        """Return the exit code. A process whose link has ended must end, too."""
        ends = [asyncio.ensure_future(process.wait()), asyncio.ensure_future(link.gone.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        self.ready = False
        try:
            async with asyncio.timeout(END_SECONDS):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    def _on_failed(self, body: bytes) -> None:
        self._failure = body.decode()


class Workers:
    """Stands for the connector role in the main process: it starts after the group role, and stops before it."""

    name = "connector"

    def __init__(
        self,
        settings: Settings,
        bus: MainBus,
        registry: MainRegistry,
        rpc: Rpc,
        on_reload: Callable[[Callable[[], None]], None],
    ) -> None:
        self.addresses: dict[str, str] = {}
        self._settings = settings
        self._bus = bus
        self._registry = registry
        self._rpc = rpc
        self._tcp, self._ws = SharedPort(), SharedPort()
        self._workers = [Worker(number) for number in range(settings.node.workers)]
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        on_reload(self._reload)

    def publish(self, metrics: Metrics, health: Health) -> None:
        health.part("workers", self._look)
        metrics.gauge("workers_ready", "Workers that serve.", self._ready)
        metrics.counter(
            "worker_restarts",
            "Workers that were started again, because they had ended.",
            lambda: sum(worker.restarts for worker in self._workers),
        )

    async def start(self, _: object) -> None:
        """Start all workers. Return when all listen. Raises StartError."""
        connector = self._settings.connector
        await self._tcp.reserve("tcp_port", connector.host, connector.tcp_port)
        await self._ws.reserve("ws_port", connector.host, connector.ws_port)
        began = [asyncio.get_running_loop().create_future() for _ in self._workers]
        self._keepers = [
            spawn(f"worker {worker.number}", self._keep(worker, first))
            for worker, first in zip(self._workers, began, strict=True)
        ]
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.gather(*began)
        except TimeoutError:
            raise StartError(f"[node] workers: they did not start within {START_SECONDS:g} s") from None
        # All listen on the same ports, so each tells the same addresses; that of its metrics is its own.
        self.addresses = {name: self._workers[0].addresses[name] for name in ("tcp", "ws")}

    async def stop(self) -> None:
        """Drain all workers, and return when all have ended. When cancelled, kill them after LAST_SECONDS."""
        self._stopping.set()
        for worker in self._workers:
            worker.link.send(FrameKind.STOP)
        try:
            await _ended(self._keepers)
        except asyncio.CancelledError:
            await asyncio.wait(self._keepers, timeout=LAST_SECONDS)
            raise
        finally:
            for keeper in self._keepers:
                keeper.cancel()
            await _ended(self._keepers)
            self._tcp.close()
            self._ws.close()

    async def _keep(self, worker: Worker, first: "asyncio.Future[None]") -> None:
        """Run a worker until the server stops. `first` is done once it serves, and fails if it ends before."""
        loop = asyncio.get_running_loop()
        settings = settings_of_worker(self._settings, worker.number, self._tcp.number, self._ws.number)
        plan = Plan(settings, self._rpc.address).encode()

        def attach(link: FrameLink) -> None:
            self._registry.join(self.name, worker.number, f"worker {worker.number}")
            link.on_lost(lambda: self._registry.leave(self.name, worker.number))
            self._bus.attach(link)
            if self._stopping.is_set():
                link.send(FrameKind.STOP)

        def serves() -> None:
            if not first.done():
                first.set_result(None)

        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            begun = loop.time()
            ended = await worker.live(plan, attach, serves)
            if not first.done():
                first.set_exception(StartError(f"[node] workers: worker {worker.number}: {ended}"))
                return
            if self._stopping.is_set():
                return
            if loop.time() - begun > SOUND_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            log.error(
                "a worker has ended, and is started again",
                worker=worker.number,
                reason=ended,
                seconds=pause,
            )
            worker.restarts += 1
            await _pause(self._stopping, pause)
            pause = min(pause * 2, MOST_PAUSE_SECONDS)

    def _ready(self) -> int:
        return sum(worker.ready for worker in self._workers)

    async def _look(self) -> Finding:
        ready, wanted = self._ready(), len(self._workers)
        return FINE if ready == wanted else Finding(f"{ready} of {wanted} serve", serves=ready > 0)

    def _reload(self) -> None:
        for worker in self._workers:
            worker.link.send(FrameKind.RELOAD, level().encode())


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until the server stops."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
