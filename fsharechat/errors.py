"""The errors of requests and starts."""

import errno
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from fsharechat.protocol.signals import Code


class Refusal(Exception):
    """A request is refused with a code of the contract (contract.md section 5)."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class StartError(Exception):
    """The process cannot start, or a command cannot do its work. The text is for the operator."""


class StoreError(Exception):
    """The store did not carry out a request. Nothing of it was kept, unless the text says otherwise."""

    log_level: ClassVar[int] = logging.WARNING
    """The log level for each request that fails with it."""


class StoreBusy(StoreError):
    """More work waits for the store than its queue holds."""


class StoreFull(StoreError):
    """The disk of the database is full. The store logs it once for all failures."""

    log_level = logging.DEBUG


class CommitInDoubt(StoreError):
    """The connection broke at the commit, and the store does not answer: either all is kept, or nothing."""


@contextmanager
def listening(setting: str, host: str, port: int) -> Iterator[None]:
    """Turn the OSError of a server that cannot listen into a StartError, which begins with the `setting`."""
    try:
        yield
    except OSError as error:
        raise StartError(f"{setting}: {listen_problem(host, port, error)}") from error


def listen_problem(host: str, port: int, error: OSError) -> str:
    """Return why a server cannot listen, for the operator."""
    if error.errno == errno.EADDRINUSE:
        return f"another process listens on {host}:{port} already"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine does not have the address {host}"
    return f"cannot listen on {host}: {os_reason(error)}"


def os_reason(error: BaseException) -> str:
    """Return why the operating system refused something, without what libraries put around it."""
    if isinstance(error, ssl.SSLError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        inner = getattr(error, "os_error", None)  # aiohttp has the error itself there
        if inner is not None:
            return os_reason(inner)
        if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or "") or str(error) or type(error).__name__
