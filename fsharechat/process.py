"""What a process asks of its operating system."""

import resource

SPARE_FILES = 128
"""Open files that are no client's: the database, other services, the log."""


def raise_open_files() -> int:
    """Allow this process as many open files as it may have, and return how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
