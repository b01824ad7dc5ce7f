"""A lock that one process has on an open file: `flock` of Unix, or `locking` of Windows where that is missing.

The lock ends with the file object or the process that has it, however that ends.
"""

import os
from typing import IO, Any

from fsharechat.optional_module import optional_module

fcntl, msvcrt = optional_module("fcntl"), optional_module("msvcrt")

PLACE = 1 << 30
"""Windows locks bytes, and nobody else can read those. So this one is locked, which no file has."""


def take(file: IO[Any], *, shared: bool = False) -> bool:
    """Lock a file while it is open. Return False if somebody else has the lock. Never waits. Raises OSError.

    Several may have a `shared` lock at a time, if nobody has one that is not; Windows gives it to one at a time too.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            _take_byte(file.fileno())
    except (BlockingIOError, PermissionError):
        return False
    return True


def _take_byte(descriptor: int) -> None:
    """Lock the byte at PLACE. Raises PermissionError if somebody else has it."""
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, PLACE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
