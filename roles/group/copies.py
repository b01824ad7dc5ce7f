"""What every group process has a copy of: it is read again when another process has changed it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from fsharechat.bus import Bus
from fsharechat.errors import StoreError
from fsharechat.store import copies
from fsharechat.store.store import Store
from fsharechat.tasks import pause, spawn

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""How often the version is compared, s, in case the news of a change was lost."""

RETRY_SECONDS = 5.0


class SharedCopy:
    """Keeps a copy fresh. It is whole from `start` on, and while the store is away it stays as it is."""

    def __init__(
        self,
        what: str,
        key: str,
        fact: str,
        store: Store,
        bus: Bus,
        load: Callable[[], Awaitable[bytes]],
    ) -> None:
        """`load` reads it anew, and returns the version that it has at least.

        `what` names it in the log, `key` on the bus (no uid has a colon), and `fact` its version in the store.
        """
        self._what = what
        self._key = key
        self._fact = fact
        self._store = store
        self._bus = bus
        self._load = load
        self._version = b""
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read it, and follow its changes from now on. Raises StoreError."""
        await self._bus.watch_invalidations(self._on_keys)
        await self._look()
        self._keeper = spawn(self._what, self._follow())

    def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    def changed(self) -> None:
        """Tell every group process that it has changed."""
        self._bus.invalidate([self._key])

    def _on_keys(self, keys: Iterable[str]) -> None:
        if self._key in keys:
            self._changed.set()

    async def _follow(self) -> None:
        seconds = LOOK_SECONDS
        while True:
            await pause(self._changed, seconds)
            try:
                await self._look()
                seconds = LOOK_SECONDS
            except StoreError as error:
                log.warning("not read again", what=self._what, error=str(error))
                seconds = RETRY_SECONDS

    async def _look(self) -> None:
        if await self._store.read(copies.version, self._fact) != self._version:
            self._version = await self._load()
