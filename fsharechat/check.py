"""`fsharechat check`: reaches everything that the settings name."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fsharechat import backends
from fsharechat.bus import BusError
from fsharechat.errors import StoreError
from fsharechat.node import DataFolder, StartError
from fsharechat.registry import RegistryError
from fsharechat.settings import Settings

CHECK_SECONDS = 8.0


class Check(NamedTuple):
    """What was found out about one thing the settings name."""

    name: str
    ok: bool
    detail: str


async def check(settings: Settings) -> list[Check]:
    """Reach the store, the registry and the bus, all at once and within CHECK_SECONDS."""
    registry, bus = backends.make_registry(settings), backends.make_bus(settings)
    checks = [
        _look(
            "store", f"{_shown(settings)} opens, and its schema is up to date", lambda: _open_store(settings)
        ),
        _look("registry", _reached(settings.registry.url), registry.open, registry.close),
        _look("bus", _reached(settings.bus.url), bus.open, bus.close),
    ]
    return await asyncio.gather(*checks)


async def _look(
    name: str,
    fine: str,
    reach: Callable[[], Awaitable[None]],
    leave: Callable[[], Awaitable[None]] | None = None,
) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await reach()
        return Check(name, True, fine)
    except (StartError, StoreError, RegistryError, BusError) as error:
        return Check(name, False, str(error))
    except TimeoutError:
        return Check(name, False, f"no answer within {CHECK_SECONDS:g} s")
    finally:
        if leave is not None:
            await leave()


async def _open_store(settings: Settings) -> None:
    store = backends.make_store(settings)
    if settings.on_sqlite:
        with DataFolder(settings.data_path()):
            await store.open()
            await store.close()
    else:
        await store.open()
        await store.close()


def _shown(settings: Settings) -> str:
    """Return where the store is, without its password."""
    return str(settings.store_path()) if settings.on_sqlite else settings.store.url.rpartition("@")[2]


def _reached(url: str) -> str:
    return "memory, in this process" if url == "memory" else f"{url} answers"
