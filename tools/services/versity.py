"""The Versity S3 gateway, an S3 server that keeps media in a folder. It is an alternative to MinIO."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer
from .places import downloads
from .s3 import ACCESS_KEY, SECRET_KEY, S3Service, is_healthy
from .service import HOST, Daemon, Say

_PROGRAM = "versitygw"
_PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
_VERSION = "v1.8.0"


class VersityDaemon(Daemon):
    def __init__(self, name: str, folder: Path, port: int) -> None:
        super().__init__(name, folder)
        self._port = port
        self._about = folder / "about"

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}

    def prepare(self, say: Say) -> None:
        for folder in (self.data, self._about):
            folder.mkdir(exist_ok=True)

    def command(self) -> list[str]:
        # Its metadata is in files too, because not every file system has attributes.
        backend = ["posix", "--sidecar", str(self._about), str(self.data)]
        return [str(_binary()), "--port", f"{HOST}:{self._port}", "--health", "/health", *backend]

    def environment(self) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}

    def ready(self) -> bool:
        return is_healthy(self._port, "/health")


class Versity(S3Service):
    name: ClassVar[str] = "versity"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        installer.go_program(_PROGRAM, _PACKAGE, _VERSION)

    @property
    def daemons(self) -> Sequence[VersityDaemon]:
        return [VersityDaemon(self.name, self.folder / self.name, self.ports[0])]


def _binary() -> Path:
    return downloads() / f"{_PROGRAM}-{_VERSION}"
