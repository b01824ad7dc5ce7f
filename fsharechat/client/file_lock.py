"""A lock on a file, held while the file is open, on every system that Python supports."""

from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


def take(file: IO[Any]) -> bool:
    """Lock an open file. Return False if another program has the lock."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _take_on_windows(file)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _take_on_windows(file: IO[Any]) -> None:
    """Lock an open file. Raises PermissionError if another program has the lock."""
    import msvcrt

    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # it is there on Windows
