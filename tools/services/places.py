"""The folders: sets are in the checkout; downloads are outside, shared by all checkouts."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ServicesError

ROOT = Path(__file__).resolve().parents[2]
SETS = ROOT / ".cache" / "services"
_LOCKS = SETS / "locks"


def downloads() -> Path:
    """The folder for downloads and programs that are built once. It is made if it is missing.

    It is below XDG_CACHE_HOME or ~/.cache, or in the checkout if neither can be written.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    for folder in (Path(home) / "fsharechat", SETS / "downloads"):
        if not folder.is_absolute():
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise ServicesError(f"no folder for downloads: neither ~/.cache nor {SETS} can be written")


@contextmanager
def locked(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other runs of the script in this checkout out of the part called `name`."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with _held(_LOCKS / f"{name}.lock", say):
        yield


@contextmanager
def download_locked(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other runs of the script, in any checkout, from downloading or installing the same."""
    with _held(downloads() / f"{name}.lock", say):
        yield


@contextmanager
def _held(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run of scripts/services")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
