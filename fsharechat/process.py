"""Requests of a process to its operating system. What a system does not have is left out here, not at each use."""

import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from fsharechat.optional_module import optional_module

pwd, resource = optional_module("pwd"), optional_module("resource")

SPARE_FILES = 128
"""How many open files are not for clients: the database, other services, the log."""
LEAST_FILES = 256
"""The least number of open files with which a process can work."""

MAC_FILES = 10_240
"""The most open files that macOS gives a process that asks for as many as there may be (OPEN_MAX)."""
SELECTED_SOCKETS = 512
"""How many sockets a loop of asyncio can wait for on Windows."""
WITHOUT_LIMIT = (SELECTED_SOCKETS - SPARE_FILES) // 2 + SPARE_FILES
"""What counts as the limit of open files there: connector and api each take it without the spare ones."""

LIMITS_FILES = resource is not None
"""Whether the system has a limit of open files, which an operator can raise. Windows has none."""
HOW_TO_RAISE = "ulimit -Hn, LimitNOFILE of a systemd unit, --ulimit nofile of a container"
"""How an operator raises that limit."""
LIMITS_PROGRAMS = resource is not None
"""Whether a program can limit its own processor time and memory."""
IN_BACKGROUND = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(
    subprocess, "IDLE_PRIORITY_CLASS", 0
)
"""`creationflags` of a program that Ctrl-C does not reach, and that all others go before. Elsewhere they are none:
`start_new_session` and `nice` do the same.
"""

ROOM_BYTES = 16 << 20
"""A disk with less free space than this, bytes, counts as full."""


class TooFewFiles(Exception):
    """The operating system allows too few open files. The text is for the operator."""


def raise_open_files() -> int:
    """Raise the limit of open files as far as allowed, and return it. Raises TooFewFiles.

    Where the system has no such limit, it is how many connections the event loop can wait for.
    """
    if resource is None:
        return WITHOUT_LIMIT
    soft: int
    hard: int
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    if hard == resource.RLIM_INFINITY:
        return _raise_without_end(soft)
    if hard < LEAST_FILES:
        raise TooFewFiles(
            f"the limit of open files is {hard}, and {LEAST_FILES} are the least: raise it ({HOW_TO_RAISE}); "
            "each connection takes one"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _raise_without_end(soft: int) -> int:
    """Raise a limit that may be raised without end, as macOS says. It takes no more than MAC_FILES all the same."""
    for wanted in (resource.RLIM_INFINITY, MAC_FILES):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.RLIM_INFINITY))
            return sys.maxsize if wanted == resource.RLIM_INFINITY else MAC_FILES
    return soft


def full(folder: Path) -> str:
    """Return a text if the disk of a folder is full, else "". The folder need not exist. Raises OSError.

    On a full disk files can still be made, but stay empty.
    """
    free = shutil.disk_usage(_nearest(folder)).free
    return f"{folder}: the disk is full, {free >> 10} KiB are left" if free < ROOM_BYTES else ""


def unusable(folder: Path) -> str:
    """Return why a folder cannot be used, or made if it is missing, else "". Nothing is changed."""
    there = _nearest(folder)
    if not there.is_dir():
        return f"{folder}: {there} is not a folder"
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return f"{folder}: this user may not {'use it' if there == folder else f'make it in {there}'}"
    return full(folder)


def _nearest(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def sync_file(file: Path) -> None:
    """Bring a file of this user to the disk: after it its content survives a power cut. Raises OSError."""
    _sync(file, os.O_RDWR)  # Windows syncs no file that cannot be written


def sync_names(folder: Path) -> None:
    """Bring the names in a folder to the disk: after it they survive a power cut. Raises OSError.

    Windows cannot do that. Its file system keeps a journal of names, which is a moment behind.
    """
    if hasattr(os, "O_DIRECTORY"):
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def other_owner(path: Path) -> str:
    """Return whom a file or folder belongs to, "" if to this user. Windows does not say: "" there. Raises OSError."""
    if not hasattr(os, "geteuid"):
        return ""
    uid = path.stat().st_uid
    if uid == os.geteuid():
        return ""
    try:
        return str(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"'#{uid}'"


def rights_of_others(about: os.stat_result) -> int:
    """Return the bits of a mode that are for others than the owner. Windows has lists instead: 0 there."""
    return stat.S_IMODE(about.st_mode) & 0o077 if hasattr(os, "geteuid") else 0
