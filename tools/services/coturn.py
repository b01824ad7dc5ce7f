"""coturn, the relay for calls (TURN)."""

import os
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer, program
from .service import HOST, Daemon, Say, Service

_SECRET = _REALM = "fsharechat"
_RELAY_PORTS = 40
_BINDING_REQUEST, _BINDING_SUCCESS, _MAGIC = 0x0001, 0x0101, 0x2112A442


class CoturnDaemon(Daemon):
    def __init__(self, name: str, folder: Path, ports: Sequence[int]) -> None:
        super().__init__(name, folder)
        self._port, *self._relay = ports

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}

    def prepare(self, say: Say) -> None:
        # Loopback peers are allowed, because both ends of a test call are on this machine.
        (self.folder / "turnserver.conf").write_text(
            f"""\
listening-ip={HOST}
relay-ip={HOST}
listening-port={self._port}
min-port={self._relay[0]}
max-port={self._relay[-1]}
realm={_REALM}
use-auth-secret
static-auth-secret={_SECRET}
allow-loopback-peers
no-tls
no-dtls
no-cli
log-file=stdout
simple-log
pidfile={self.folder / "turnserver.pid"}
userdb={self.folder / "turndb"}
"""
        )

    def command(self) -> list[str]:
        return [program("turnserver") or "turnserver", "-c", str(self.folder / "turnserver.conf")]

    def ready(self) -> bool:
        """Whether it answers a STUN binding request over UDP."""
        transaction = os.urandom(12)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)
            try:
                asking.connect((HOST, self._port))
                asking.send(struct.pack("!HHI", _BINDING_REQUEST, 0, _MAGIC) + transaction)
                answer = asking.recv(1500)
            except OSError:
                return False
        return answer[:2] == struct.pack("!H", _BINDING_SUCCESS) and answer[8:20] == transaction


class Coturn(Service):
    name: ClassVar[str] = "coturn"
    port_count: ClassVar[int] = 1 + _RELAY_PORTS

    def install(self, installer: Installer) -> None:
        installer.require(["coturn"], lambda: program("turnserver") is not None)

    @property
    def daemons(self) -> Sequence[CoturnDaemon]:
        return [CoturnDaemon(self.name, self.folder / self.name, self.ports)]

    def variables(self) -> dict[str, str]:
        # The server has no settings for it: these names are for tests and for trying it by hand.
        return {"TURN_URL": f"turn:{HOST}:{self.ports[0]}", "TURN_SECRET": _SECRET, "TURN_REALM": _REALM}
