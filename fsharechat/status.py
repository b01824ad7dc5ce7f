"""The status of each process of a deployment: its metrics and its health, for administrators.

A process tells it a group process now and then. Each group process keeps what it is told for a while, in memory.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any, TypedDict

import orjson
import structlog

from fsharechat import __version__
from fsharechat.clock import now_ms
from fsharechat.health import Health
from fsharechat.metrics import Metrics
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Method, Rpc
from fsharechat.tasks import repeat, spawn

log = structlog.get_logger(__name__)

TELL_SECONDS = 5.0
"""How often a process without the group role tells its status, s."""
KEEP_SECONDS = 20.0
"""How long a status is shown after it was told, s. Then the process counts as gone."""
MAX_PROCESSES = 1000


class StatusView(TypedDict):
    """One process. `at` is the time of the view, ms. `health` has a text for each part, "ok" if it is well."""

    name: str
    roles: list[str]
    version: str
    at: int
    startedAt: int
    addresses: dict[str, str]
    metrics: dict[str, float]
    health: dict[str, str]
    serves: bool


class ProcessStatus:
    """Looks at this process, and tells the group role of it while it does not run here."""

    def __init__(
        self, roles: Sequence[str], metrics: Metrics, health: Health, addresses: dict[str, str]
    ) -> None:
        self._roles = list(roles)
        self._metrics = metrics
        self._health = health
        self._addresses = addresses
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._started = now_ms()
        self._telling: asyncio.Task[None] | None = None

    async def look(self) -> StatusView:
        found = await self._health.look()
        return {
            "name": self._name,
            "roles": self._roles,
            "version": __version__,
            "at": now_ms(),
            "startedAt": self._started,
            "addresses": self._addresses,
            "metrics": self._metrics.values(),
            "health": {name: str(finding) for name, finding in found.items()},
            "serves": all(finding.serves for finding in found.values()),
        }

    def start(self, rpc: Rpc) -> None:
        """Tell a group process of this one from now on."""

        async def tell() -> None:
            reply = await rpc.ask(Method.STATUS, await self.look())
            if reply.code != Code.SUCCESS:
                log.debug("status not told", code=reply.code)

        self._telling = spawn("status of the process", repeat(TELL_SECONDS, tell))

    def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()


class StatusBook:
    """What a group process knows of others, and its own status."""

    def __init__(self, own: ProcessStatus) -> None:
        self._own = own
        self._told: dict[str, tuple[float, StatusView]] = {}
        """By name: when it was told, a time of the loop, and what."""

    def note(self, body: bytes) -> None:
        """Keep what a process has told of itself."""
        status: StatusView = orjson.loads(body)
        self._sweep()
        self._told.pop(status["name"], None)
        if len(self._told) < MAX_PROCESSES:
            self._told[status["name"]] = (_loop_time(), status)

    async def views(self) -> list[StatusView]:
        """Return this process and those that it knows of."""
        self._sweep()
        return [await self._own.look(), *(status for _, status in self._told.values())]

    def _sweep(self) -> None:
        limit = _loop_time() - KEEP_SECONDS
        self._told = {name: told for name, told in self._told.items() if told[0] > limit}


def merged(views: Sequence[Sequence[StatusView]]) -> dict[str, Any]:
    """Return the newest view of each process, by name, of what several group processes know."""
    newest: dict[str, StatusView] = {}
    for view in (view for known in views for view in known):
        if view["name"] not in newest or newest[view["name"]]["at"] < view["at"]:
            newest[view["name"]] = view
    return {"processes": [newest[name] for name in sorted(newest)]}


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
