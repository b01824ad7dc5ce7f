"""The files of a section `tls` are read again when they change: what is open stays, new connections use them."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from fsharechat.tls import TlsError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""Between looks at the files."""


class Renewable:
    """What may be reached over TLS."""

    def renew(self) -> float | None:
        """Take what the files of its section `tls` hold now, for new connections (tls.renew). Raises TlsError."""
        return None


class Renewal:
    """Looks at files while what was made of them is in use.

    Files that do not fit are left alone, with a line in the log, until they change again.
    """

    def __init__(
        self,
        section: str,
        files: Iterable[str],
        renew: Callable[[], float | None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`renew` takes what the files hold and returns when the certificate expires, if there is one.

        It raises TlsError where they do not fit, and leaves what is in use as it is then.
        """
        self._section = section
        self._files = tuple(map(Path, files))
        self._renew = renew
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._seen = self._state()

    def watch(self) -> None:
        """Look at the files from now on, until `close`."""
        self._task = asyncio.create_task(self._watch())

    def look(self) -> None:
        """Look at the files at once."""
        self._wanted.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._wanted.wait()
            self._wanted.clear()
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
        """Return what changes with the files; None for one that cannot be looked at."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return found
