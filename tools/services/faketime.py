"""libfaketime gives a program another clock than the machine's. It is a library to load, not a process."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .errors import Unavailable
from .install import Installer
from .service import Daemon, Service

_NAME = "faketime/libfaketime.so.1"


class FakeTime(Service):
    name: ClassVar[str] = "faketime"
    port_count: ClassVar[int] = 0

    def install(self, installer: Installer) -> None:
        installer.require(["libfaketime"], lambda: _library() is not None)

    @property
    def daemons(self) -> Sequence[Daemon]:
        return []

    def variables(self) -> dict[str, str]:
        library = _library()
        if library is None:
            raise Unavailable("libfaketime: not installed")
        return {"FAKETIME_LIBRARY": str(library)}


def _library() -> Path | None:
    """Debian keeps it in a folder of the architecture, others in lib64."""
    for pattern in (f"lib/*/{_NAME}", f"lib64/{_NAME}", f"lib/{_NAME}"):
        if found := sorted(Path("/usr").glob(pattern)):
            return found[0]
    return None
