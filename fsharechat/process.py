"""Requests of a process to its operating system."""

import os
import resource
import shutil
import sys
from pathlib import Path

SPARE_FILES = 128
"""How many open files are not for clients: the database, other services, the log."""
LEAST_FILES = 256
"""The least number of open files with which a process can work."""

ROOM_BYTES = 16 << 20
"""A disk with less free space than this, bytes, counts as full."""


class TooFewFiles(Exception):
    """The operating system allows too few open files. The text is for the operator."""


def raise_open_files() -> int:
    """Raise the limit of open files as far as allowed, and return it. Raises TooFewFiles."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return sys.maxsize
    if hard < LEAST_FILES:
        raise TooFewFiles(
            f"the limit of open files is {hard}, and {LEAST_FILES} are the least: raise it (ulimit -Hn, LimitNOFILE "
            "of a systemd unit, --ulimit nofile of a container); each connection takes one"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


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


def sync(path: Path) -> None:
    """Bring a file to the disk, or the names in a folder: after it they survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
