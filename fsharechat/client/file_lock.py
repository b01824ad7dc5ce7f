"""A lock that a program holds on a file as long as the file is open, on every system that Python runs on."""

from typing import IO, Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


def take(file: IO[Any]) -> bool:
    """Lock an open file, and return False where another program has it."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _take_on_windows(file)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _take_on_windows(file: IO[Any]) -> None:
    """Raises PermissionError where another program has it."""
    import msvcrt

    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # it is there on Windows
