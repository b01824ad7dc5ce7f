"""The status of each process of a deployment: its metrics and its health, for administrators.

A process sends its status to a group process now and then. Each group process keeps it for a while, in memory.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import orjson
import structlog

from fsharechat import __version__
from fsharechat.clock import now_ms
from fsharechat.health import Health
from fsharechat.metrics import Metrics
from fsharechat.protocol.signals import Code
from fsharechat.registry import Lease
from fsharechat.rpc import Method, Rpc
from fsharechat.tasks import pause, repeat, spawn

log = structlog.get_logger(__name__)

TELL_SECONDS = 5.0
"""How often a process without the group role sends its status, s; and at once if the group processes change."""
LEAST_SECONDS = 0.1
"""The shortest time between two of these, s, however often the group processes change."""
FIRST_SECONDS = 3.0
"""How long a start waits until the status was sent for the first time, s."""
KEEP_SECONDS = 20.0
"""How long a status is shown after it was sent, s. Then the process counts as gone."""
MAX_PROCESSES = 1000


FAR_APART_SECONDS = 30.0
"""A status that is so much older or newer than the others shows a wrong clock, s."""

EXPIRES_DAYS = 14
"""How many days before the end of a certificate there is a warning."""

LIMITS = {
    "store_queue": (2000, "{value:.0f} writes wait for the store"),
    "store_failed_per_second": (0, "messages are not stored: {value:.1f} a second"),
    "store_commit_seconds_p99": (0.5, "transactions take up to {value:g} s (p99)"),
    "ack_seconds_p99": (1, "messages are acknowledged after up to {value:g} s (p99)"),
    "loop_lag_seconds_p99": (0.2, "it has more work than one core can do: late by {value:g} s (p99)"),
    "bus_lag_seconds_p99": (2, "events come {value:g} s late (p99)"),
    "bus_lost_per_second": (0, "events do not reach Kafka: {value:.1f} a second"),
}
"""The values above which there is a warning, and its text. Alerts have the same bounds."""


class StatusView(TypedDict):
    """One process. `at` is the time of the view, ms. `health` has a text for each part, "ok" if it is well.

    `leases` are the node ids that it holds, by role.
    """

    name: str
    roles: list[str]
    version: str
    at: int
    startedAt: int
    addresses: dict[str, str]
    metrics: dict[str, float]
    health: dict[str, str]
    serves: bool
    leases: dict[str, int]


class ProcessStatus:
    """Looks at this process. If the group role runs elsewhere, sends the status to it."""

    def __init__(
        self, roles: Sequence[str], metrics: Metrics, health: Health, addresses: dict[str, str]
    ) -> None:
        self._roles = list(roles)
        self._metrics = metrics
        self._health = health
        self._addresses = addresses
        self.leases: list[Lease] = []
        """Those of this process; its roles add them."""
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
            "leases": {lease.kind: lease.node for lease in self.leases if lease.held},
        }

    async def start(self, rpc: Rpc) -> None:
        """Tell a group process of this one, from now on.

        When a group process comes or goes, one is sent at once: what the other one knew may be lost. Return when the
        status was sent for the first time: from then on the process is shown. If no group process takes calls, return
        after FIRST_SECONDS, and send it to the first one that comes.
        """
        told = asyncio.Event()

        async def tell() -> None:
            await rpc.wait_ready()
            change = rpc.next_change()
            reply = await rpc.ask(Method.STATUS, await self.look())
            if reply.code == Code.SUCCESS:
                told.set()
            else:
                log.debug("status not told", code=reply.code)
            await pause(change, TELL_SECONDS)

        self._telling = spawn("status of the process", repeat(LEAST_SECONDS, tell, at_once=True))
        await pause(told, FIRST_SECONDS)

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
    """Return the newest view of each process, by name, of what several group processes know, and what is wrong."""
    newest: dict[str, StatusView] = {}
    for view in (view for known in views for view in known):
        if view["name"] not in newest or newest[view["name"]]["at"] < view["at"]:
            newest[view["name"]] = view
    processes = [newest[name] for name in sorted(newest)]
    return {"processes": processes, "warnings": list(warnings(processes, now_ms()))}


def warnings(processes: Sequence[StatusView], now: int) -> Iterator[str]:
    """Yield what is wrong with a deployment, in words. `now` is the time, ms."""
    if not processes:
        return
    roles = {role for one in processes for role in one["roles"]}
    for role in ("connector", "group", "api"):
        if role not in roles:
            yield f"no process has the role {role}"
    versions = sorted({one["version"] for one in processes})
    if len(versions) > 1:
        yield f"several versions run: {', '.join(versions)}"
    for one in processes:
        for part, state in one["health"].items():
            if state != "ok":
                yield f"{one['name']}: {part}: {state}"
        if (apart := (now - one["at"]) / 1000) > FAR_APART_SECONDS or -apart > FAR_APART_SECONDS:
            yield f"{one['name']}: its clock is {abs(apart):.0f} s {'behind' if apart > 0 else 'ahead'}"
        for name, (most, text) in LIMITS.items():
            if (value := one["metrics"].get(name, 0.0)) > most:
                yield f"{one['name']}: {text.format(value=value)}"
        expires = one["metrics"].get("certificate_expires_seconds")
        if expires is not None and (days := (expires - now / 1000) / 86_400) < EXPIRES_DAYS:
            yield f"{one['name']}: its certificate {f'expires in {days:.0f} days' if days > 0 else 'has expired'}"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
