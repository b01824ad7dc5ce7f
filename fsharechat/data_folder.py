"""The data folder of a process: its lock, its owner, and checks of it."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog

from fsharechat import file_lock
from fsharechat.errors import StartError
from fsharechat.process import other_owner, rights_of_others, unusable

log = structlog.get_logger(__name__)

LOCK = "lock"
PATIENCE_SECONDS = 0.5
"""`fsharechat check` takes the lock for a moment, to see whether a server has it. So a start waits so long, s."""
_PAUSE_SECONDS = 0.05


class AlreadyRunning(StartError):
    """Another process uses the folder."""


class DataFolder:
    """The data folder, and the lock that keeps a second process out.

    A missing folder is made for this user alone, because it keeps private messages. Other users' access to an
    existing folder may be intended, for a backup or a web server, so it causes only a warning. The files of the
    database are always private.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> "DataFolder":
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (self._path / LOCK).open("a+", encoding="ascii")
        except OSError as error:
            reason = _why_unusable(self._path) or error.strerror
            raise StartError(f"[node] data = {str(self._path)!r}: {reason}") from error
        if not _locked(self._lock):
            holder = _holder(self._lock)
            self._lock.close()
            raise AlreadyRunning(
                f"[node] data = {str(self._path)!r}: process {holder} runs on this folder already"
            )
        about = self._path.stat()
        if rights_of_others(about):
            log.warning(
                "other users of this machine may look into the data folder",
                data=str(self._path),
                mode=f"{stat.S_IMODE(about.st_mode):04o}",
                wanted="0700",
            )
        try:
            self._lock.truncate(0)
            self._lock.write(f"{os.getpid()}\n")
            self._lock.flush()
        except OSError as error:
            with suppress(OSError):  # it would write again what does not fit on the disk
                self._lock.close()
            raise StartError(f"[node] data = {str(self._path)!r}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()


def running_on(folder: Path) -> str:
    """Return the process that runs on a folder, "" if there is none. Raises OSError if this user may not read it."""
    try:
        with (folder / LOCK).open(encoding="ascii") as lock:
            if not file_lock.take(lock, shared=True):
                return _holder(lock)
    except FileNotFoundError:
        pass
    return ""


def look(folder: Path, command: str) -> None:
    """Check that a folder can be used, or made if it is missing. Raises StartError.

    `command` of `fsharechat` is what the owner should run if this user may not.
    """
    if problem := unusable(folder):
        owner = other_owner(folder) if folder.is_dir() else ""
        raise StartError(f"{problem}. {_as_owner(owner, command)}" if owner else problem)


def check_owner(folder: Path, command: str) -> None:
    """Raise StartError if a folder belongs to another user, who could not use files made by this one."""
    if folder.exists() and (owner := other_owner(folder)):
        raise StartError(f"{folder}: {_as_owner(owner, command)}")


def _why_unusable(path: Path) -> str:
    """Return why a folder cannot be used, "" if no reason is found."""
    try:
        return unusable(path).removeprefix(f"{path}: ")
    except OSError:
        return ""


def _as_owner(owner: str, command: str) -> str:
    return f"It belongs to {owner}. Run it as that user: sudo -u {owner} fsharechat {command}, with the same flags"


def _locked(lock: IO[str]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not file_lock.take(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip() or "unknown"
