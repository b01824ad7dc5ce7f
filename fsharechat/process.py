"""What a process asks of its operating system."""

import os
import resource
import shutil
import sys
from pathlib import Path

SPARE_FILES = 128
"""Open files that are no client's: the database, other services, the log."""
LEAST_FILES = 256
"""A process with fewer could do nothing with them."""

ROOM_BYTES = 16 << 20
"""A disk with less than this is full."""


class TooFewFiles(Exception):
    """The operating system grants too few open files; the text is for the operator."""


def raise_open_files() -> int:
    """Allow this process as many open files as it may have, and return how many that is. Raises TooFewFiles."""
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
    """Return that the disk of a folder is full, or "". The folder need not be there. Raises OSError.

    Files can be made on a full disk still, but nothing be put into them.
    """
    free = shutil.disk_usage(_nearest(folder)).free
    return f"{folder}: the disk is full, {free >> 10} KiB are left" if free < ROOM_BYTES else ""


def unusable(folder: Path) -> str:
    """Return why a folder cannot be used, or be made where there is none; or "". It is only looked at."""
    there = _nearest(folder)
    if not there.is_dir():
        return f"{folder}: {there} is not a folder"
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return f"{folder}: this user may not {'use it' if there == folder else f'make it in {there}'}"
    return full(folder)


def _nearest(folder: Path) -> Path:
    """Return the folder, or what is nearest above it and there."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
