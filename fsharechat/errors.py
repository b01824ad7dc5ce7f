"""What requests and starts can fail with, wherever they fail."""

import errno
import logging
from typing import ClassVar

from fsharechat.protocol.signals import Code


class Refusal(Exception):
    """A request is refused with a code of the contract (contract.md section 5)."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class StartError(Exception):
    """The process cannot start, or a command cannot do its work; the text is for the operator."""


class StoreError(Exception):
    """The store did not do what it was asked; nothing of it was kept unless the text says otherwise."""

    log_level: ClassVar[int] = logging.WARNING
    """How loudly the log has each request that fails by it."""


class StoreBusy(StoreError):
    """More work waits for the store than its queue holds."""


class StoreFull(StoreError):
    """The disk of the database is full; the store has said so in the log, once for all that fail meanwhile."""

    log_level = logging.DEBUG


class CommitInDoubt(StoreError):
    """The connection broke at the commit, and the store does not answer: all is kept, or nothing."""


def listen_problem(host: str, port: int, error: OSError) -> str:
    """Return, for the operator, why a server cannot listen."""
    if error.errno == errno.EADDRINUSE:
        return f"another process listens on {host}:{port} already"
    return f"cannot listen on {host}: {error.strerror or error}"
