"""MinIO, which keeps media."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer
from .places import downloads
from .s3 import ACCESS_KEY, SECRET_KEY, S3Service, is_healthy
from .service import HOST, Daemon, Say

_PACKAGE = "github.com/minio/minio"
_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"


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
        return {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}

    def ready(self) -> bool:
        return is_healthy(self._port, "/minio/health/live")


class Minio(S3Service):
    name: ClassVar[str] = "minio"
    port_count: ClassVar[int] = 2

    def install(self, installer: Installer) -> None:
        installer.go_program("minio", _PACKAGE, _VERSION)

    @property
    def daemons(self) -> Sequence[MinioDaemon]:
        return [MinioDaemon(self.name, self.folder / self.name, self.ports)]


def _binary() -> Path:
    return downloads() / f"minio-{_VERSION}"
