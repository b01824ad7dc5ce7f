"""HAProxy, the load balancer in front of several machines."""

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .install import Installer, program
from .service import HERE, Daemon, Location, Say

_GLOBAL = """\
global
    maxconn 4000
    hard-stop-after 5s

defaults
    timeout connect 2s
    timeout check 1s
    timeout client 5m
    timeout server 5m
    timeout tunnel 5m
    retries 3
    option redispatch 1
    option httpchk GET /monitor/ready
    http-check expect status 200
    balance leastconn
    default-server inter 1s fastinter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
"""
_STATISTICS = """
listen statistics
    mode http
    bind {address}
    stats enable
    stats uri /
"""


class Backend(NamedTuple):
    """A server behind the balancer."""

    name: str
    address: str
    """host:port"""
    health_port: int
    """The port that answers /monitor/ready."""


class HaProxyDaemon(Daemon):
    def __init__(
        self,
        name: str,
        folder: Path,
        ports: Mapping[str, int],
        backends: Mapping[str, Sequence[Backend]],
        location: Location = HERE,
    ) -> None:
        """`ports` are those for clients, by purpose, and "statistics". `backends` has the servers of each purpose.

        "http" is forwarded as HTTP, with the header X-Forwarded-For; the rest as it is.
        """
        super().__init__(name, folder, location)
        self._ports = ports
        self._backends = backends
        self._configuration = folder / "haproxy.cfg"

    @staticmethod
    def install(installer: Installer) -> None:
        installer.require(["haproxy"], lambda: program("haproxy") is not None)

    @property
    def ports(self) -> Mapping[str, int]:
        return self._ports

    def prepare(self, say: Say) -> None:
        parts = [_GLOBAL, _STATISTICS.format(address=self.addresses["statistics"])]
        for purpose, backends in self._backends.items():
            lines = [f"listen {purpose}", f"    bind {self.addresses[purpose]}"]
            lines += ["    mode http", "    option forwardfor"] if purpose == "http" else ["    mode tcp"]
            lines += [f"    server {one.name} {one.address} check port {one.health_port}" for one in backends]
            parts.append("\n" + "\n".join(lines) + "\n")
        self._configuration.write_text("".join(parts))

    def command(self) -> list[str]:
        # Without a master: the process itself is the one that balances.
        return [program("haproxy") or "haproxy", "-db", "-f", str(self._configuration)]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.addresses['statistics']}/", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
