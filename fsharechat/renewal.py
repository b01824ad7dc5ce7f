"""Reads the files of a section `tls` again when they change. New connections use them, open ones stay."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from fsharechat.tasks import pause
from fsharechat.tls import TlsError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""The time between checks of the files, s."""


class Renewable:
    """A service that may be reached over TLS."""

    def renew(self) -> float | None:
        """Use the present files of the section `tls` for new connections (tls.renew). Raises TlsError."""
        return None


class Renewal:
    """Watches files while a process uses them.

    Bad files are ignored, with a line in the log, until they change again.
    """

    def __init__(
        self,
        section: str,
        files: Iterable[str],
        renew: Callable[[], float | None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`renew` loads the files and returns when the certificate expires, if there is one.

        If the files are bad, it raises TlsError and changes nothing.
        """
        self._section = section
        self._files = tuple(map(Path, files))
        self._renew = renew
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._seen = self._state()

    def watch(self) -> None:
        """Watch the files, until `close`."""
        self._task = asyncio.create_task(self._watch())

    def look(self) -> None:
        """Check the files at once."""
        self._wanted.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            await pause(self._wanted, self._look_seconds)
            state = await asyncio.to_thread(self._state)
            if state == self._seen:
                continue
            self._seen = state
            try:
                expires = self._renew()
            except TlsError as error:
                log.error("certificate not renewed", section=self._section, reason=str(error))
                continue
            until = datetime.fromtimestamp(expires, UTC).isoformat() if expires is not None else None
            log.info("certificate renewed", section=self._section, expires=until)

    def _state(self) -> list[tuple[int, int, int] | None]:
        """Return the state of the files, which changes when they change; None for a file that cannot be read."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return found
