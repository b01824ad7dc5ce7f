"""MinIO, which keeps media."""

import http.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer
from .places import downloads
from .service import HOST, Daemon, Say, Service

_PACKAGE = "github.com/minio/minio"
_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
_ACCESS_KEY = "fsharechat"
_SECRET_KEY = "fsharechat-secret"


class MinioDaemon(Daemon):
    def __init__(self, name: str, folder: Path, ports: Sequence[int]) -> None:
        super().__init__(name, folder)
        self._port, self._console = ports

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port, "the console": self._console}

    def prepare(self, say: Say) -> None:
        self.data.mkdir(exist_ok=True)

    def command(self) -> list[str]:
        addresses = ["--address", f"{HOST}:{self._port}", "--console-address", f"{HOST}:{self._console}"]
        certificates = ["--certs-dir", str(self.folder / "certificates")]
        return [str(_binary()), "server", str(self.data), *addresses, *certificates]

    def environment(self) -> dict[str, str]:
        return {"MINIO_ROOT_USER": _ACCESS_KEY, "MINIO_ROOT_PASSWORD": _SECRET_KEY}

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=2)
        try:
            connection.request("GET", "/minio/health/live")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class Minio(Service):
    name: ClassVar[str] = "minio"
    port_count: ClassVar[int] = 2

    def install(self, installer: Installer) -> None:
        installer.go_program("minio", _PACKAGE, _VERSION)

    @property
    def daemons(self) -> Sequence[MinioDaemon]:
        return [MinioDaemon(self.name, self.folder / self.name, self.ports)]

    def variables(self) -> dict[str, str]:
        return {
            "FSHARECHAT_BLOBS__URL": f"http://{HOST}:{self.ports[0]}",
            "FSHARECHAT_BLOBS__ACCESS_KEY": _ACCESS_KEY,
            "FSHARECHAT_BLOBS__SECRET_KEY": _SECRET_KEY,
        }


def _binary() -> Path:
    return downloads() / f"minio-{_VERSION}"
