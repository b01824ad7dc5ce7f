"""Connectors of their own in the cluster of the test session, so that tests have their logs, memory and settings."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import pymysql

from fsharechat import urls
from fsharechat.protocol.signals import UserStatus
from tests.e2e.deployment import Deployment, Faults, Memory
from tools.testing.cluster import LiveCluster, metric_at, new_numbers
from tools.testing.server import Server, ServerAddresses

CONTRACT_LIMITS = {"LIMITS__REQUESTS": "100"}
MEMORY_NOISE = 2 << 20
WARM_UP = 20
"""Rounds until the collector of cycles, which the server lets run rarely, has come to each process."""


class Pair(NamedTuple):
    """A cluster, and two connectors of the tests in it."""

    cluster: LiveCluster
    servers: Sequence[Server]


def connector(
    it: LiveCluster,
    data: Path,
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Return one more connector of a cluster, which is not started yet; see Server."""
    own = {"NODE__ROLES": "connector", "METRICS__PORT": "0", **(settings or {})}
    return Server(data, {**it.settings_of_one_more(), **own}, it.at(0).http, environment)


def variables(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return settings by section as variables without their prefix."""
    found: dict[str, str] = {}
    for section, keys in sections.items():
        for key, value in keys.items():
            if isinstance(value, dict):
                found |= variables({f"{section}__{key}": value})
            else:
                found[f"{section}__{key}".upper()] = str(value)
    return found


class LoggedFaults(Faults):
    """What processes write to their logs from now on."""

    def __init__(self, servers: Sequence[Server]) -> None:
        super().__init__([])
        self._servers = servers
        self._read = [len(server.errors) for server in servers]

    @property
    def events(self) -> list[Any]:
        for number, server in enumerate(self._servers):
            new = server.errors[self._read[number] :]
            whole = new[: new.rfind("\n") + 1]
            self._read[number] += len(whole)
            self._events += [_event(line) for line in whole.splitlines()]
        return self._events


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
        return {**event, "log_level": event["level"]}
    except (ValueError, KeyError, TypeError):
        return {"event": line, "log_level": "error"}


@dataclass(kw_only=True)
class InCluster(Deployment):
    """Two connectors, the first for TCP and the second for WebSocket; or one for both."""

    cluster: LiveCluster
    servers: Sequence[Server]

    @classmethod
    @asynccontextmanager
    async def on(cls, cluster: LiveCluster, servers: Sequence[Server]) -> AsyncIterator[Self]:
        faults = LoggedFaults(servers)
        cluster.faults()
        async with AsyncExitStack() as wires:
            it = cls(cluster=cluster, servers=servers, faults=faults, wires=wires)
            await it.until_sessions(0)  # of an earlier test
            yield it
        faults.check()
        assert cluster.faults() == []

    @property
    def at(self) -> ServerAddresses:
        return ServerAddresses(self.servers[0].at.tcp, self.servers[-1].at.ws, self.servers[0].at.http)

    async def metric(self, name: str) -> float:
        return sum([await metric_at(server.addresses["metrics"], name) for server in self.servers])

    @asynccontextmanager
    async def watch_memory(self) -> AsyncIterator[Memory]:
        async def used() -> int:
            await self.until_metric("users_online", 0)
            return sum(_private(server.pid) for server in self.servers)

        yield Memory(used, MEMORY_NOISE, WARM_UP, rounds=16)

    async def block(self, user_id: str) -> None:
        url = urls.parse(self.cluster.settings_of_one_more()["STORE__URL"], "mysql", 3306)
        host, port = url.hosts[0]
        connection = pymysql.connect(
            host=host, port=port, user=url.user, password=url.password, database=url.path, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE users SET status = %s WHERE uid = %s", (int(UserStatus.BLOCKED), user_id))

    def new_number(self) -> str:
        return new_numbers(1)[0]

    def replaced(self, first: str, second: str) -> str:
        return "replaced" if first == second else "the device has connected to another node"


def _private(pid: int) -> int:
    """Return the bytes of memory that a process has written to."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")
