"""`fsharechat check` reaches all that the settings name; `fsharechat fence` closes the store to older versions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fsharechat import backends, tls
from fsharechat.blobs import BlobsError
from fsharechat.bus import BusError
from fsharechat.codes import CodeError
from fsharechat.errors import StoreError
from fsharechat.node import DataFolder, StartError
from fsharechat.process import full
from fsharechat.registry import RegistryError
from fsharechat.settings import Settings
from fsharechat.settings_tls import good_until
from fsharechat.store import fence
from fsharechat.store.store import Store
from fsharechat.tls import TlsError

CHECK_SECONDS = 6.0
LEAVE_SECONDS = 1.0
"""Then for letting go of what was reached."""

_STORE = "opens, and its schema is up to date"
_ANSWERS = "answers"
_BLOBS = "takes media"
_CERTIFICATE = "is what other processes will accept"
_MEMORY = "memory, in this process"


class Check(NamedTuple):
    """What was found out about one thing the settings name."""

    name: str
    ok: bool
    detail: str


async def check(settings: Settings) -> list[Check]:
    """Reach the store, the registry, the bus, the media and who sends login codes, all at once.

    It takes no longer than CHECK_SECONDS and LEAVE_SECONDS.
    """
    registry, bus = backends.make_registry(settings), backends.make_bus(settings)
    blobs = backends.make_blobs(settings, backends.make_store(settings))

    async def open_blobs() -> None:
        await blobs.open()
        if settings.blobs.in_directory:
            _look_for_room(settings.media_path())

    checks = [
        _look("store", _shown(settings), _STORE, lambda: _reach_store(settings)),
        _look("registry", settings.registry.url, _ANSWERS, registry.open, registry.close),
        _look("bus", _place(settings.bus.url), _ANSWERS, bus.reach, bus.close),
        _look("blobs", _shown_blobs(settings), _BLOBS, open_blobs, blobs.close),
        _look("codes", settings.codes.provider, _ANSWERS, lambda: _reach_codes(settings)),
    ]
    if settings.rpc.tls.on:
        checks.append(
            _look("rpc", settings.rpc.tls.certificate, _CERTIFICATE, lambda: _prove_certificate(settings))
        )
    return await asyncio.gather(*checks)


async def _look(
    name: str,
    place: str,
    fine: str,
    reach: Callable[[], Awaitable[str | None]],
    leave: Callable[[], Awaitable[None]] | None = None,
) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            found = await reach()
        return Check(name, True, found or (_MEMORY if place == "memory" else f"{place} {fine}"))
    except (StartError, StoreError, RegistryError, BusError, CodeError, BlobsError, TlsError) as error:
        return Check(name, False, str(error))
    except TimeoutError:
        return Check(name, False, f"{place}: no answer within {CHECK_SECONDS:g} s")
    finally:
        if leave is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await leave()


async def _prove_certificate(settings: Settings) -> str:
    certificate = settings.rpc.tls.certificate
    tls.prove(settings.rpc.tls, listens="group" in settings.node.roles)
    return f"{certificate} {_CERTIFICATE}, until {good_until(certificate):%Y-%m-%d}"


async def close_to_older(settings: Settings) -> Check:
    """Close the store to every version whose level is below this one's (store/fence.py)."""

    async def put_up() -> str:
        async with _open_store(settings) as store:
            level = await store.write(fence.put_up)
        return f"{_shown(settings)} takes level {level} and above"

    return await _look("fence", _shown(settings), "", put_up)


async def _reach_store(settings: Settings) -> str:
    async with _open_store(settings) as store:
        level = await store.read(fence.lowest)
    if settings.on_sqlite:
        _look_for_room(settings.data_path())
    levels = f"it takes level {level} and above, this version is of level {fence.LEVEL}"
    return f"{_shown(settings)} {_STORE}; {levels}"


@asynccontextmanager
async def _open_store(settings: Settings) -> AsyncIterator[Store]:
    # The wait for the lock is a thread's, which goes on when nobody waits for it any more, and the process with it.
    store = backends.make_store(settings, lock_seconds=LEAVE_SECONDS)
    with ExitStack() as stack:
        if settings.on_sqlite:
            stack.enter_context(DataFolder(settings.data_path()))
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def _look_for_room(folder: Path) -> None:
    """Raises StartError where the disk is full."""
    if problem := full(folder):
        raise StartError(problem)


async def _reach_codes(settings: Settings) -> str:
    codes = backends.make_codes(settings)
    try:
        return await codes.check()
    finally:
        await codes.close()


def _shown_blobs(settings: Settings) -> str:
    return str(settings.media_path()) if settings.blobs.in_directory else settings.blobs.url


def _shown(settings: Settings) -> str:
    """Return where the store is, without its password."""
    return str(settings.store_path()) if settings.on_sqlite else _place(settings.store.url)


def _place(url: str) -> str:
    """Return a url without its user and password: with them, only what is behind."""
    return url.rpartition("@")[2]
