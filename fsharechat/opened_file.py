"""A file that is opened by a thread for somebody who may go away meanwhile."""

import errno
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Literal


class OpenedFile:
    """One file. Its methods may run in several threads at once: who gives up does not know how far the opening is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._closed = False

    def open(self, mode: Literal["rb", "xb", "r+b"]) -> BinaryIO:
        with self._lock:
            if self._closed:
                raise OSError(errno.ECANCELED, "nobody waits for it", str(self._path))
            self._file = self._path.open(mode)
            return self._file

    def close(self) -> None:
        """Close it, once it is open; after this it is not opened."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()

    def discard(self) -> None:
        """Close it, and remove it if it was opened and is still there."""
        with suppress(OSError):  # on a full disk: the unwritten rest is not needed
            self.close()
        if self._file is not None:
            self._path.unlink(missing_ok=True)
