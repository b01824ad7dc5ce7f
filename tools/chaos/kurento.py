"""A Kurento of the cluster under fire: the fake one, in a process of its own that can be killed."""

import socket
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path

from tools.services.errors import ServicesError
from tools.services.places import ROOT
from tools.services.service import HOST, Daemon, Say, port_is_free

_FIRST_PORT, _END_PORT = 9_100, 9_900
"""Below those of scripts/cluster."""


class KurentoDaemon(Daemon):
    """It serves on a port of its own, also after it was killed and started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__("kurento", folder)
        self._port_file = folder / "port"
        # One that runs already, from a run before, keeps its port.
        self._port = int(self._port_file.read_text()) if self.running else _free_port(str(folder))

    @property
    def ports(self) -> Mapping[str, int]:
        return {"media processes": self._port}

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self._port}/kurento"

    def prepare(self, say: Say) -> None:
        self._port_file.write_text(str(self._port))

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "tools.testing.fake_kurento", str(self._port)]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self._port), timeout=2):
                return True
        except OSError:
            return False


def _free_port(name: str) -> int:
    size = _END_PORT - _FIRST_PORT
    start = zlib.crc32(name.encode())
    for step in range(size):
        port = _FIRST_PORT + (start + step) % size
        if port_is_free(port):
            return port
    raise ServicesError(f"no free port from {_FIRST_PORT} to {_END_PORT}")
