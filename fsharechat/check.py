"""Checks the services in the settings (`fsharechat check`), migrates the store, closes it to older versions
(`fence`).

A check makes and changes nothing: another user than the server's may run it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from fsharechat import __version__, backends, data_folder, open_files, tls
from fsharechat.blobs import BlobsError
from fsharechat.bus import BusError
from fsharechat.codes import CodeError
from fsharechat.data_folder import AlreadyRunning, DataFolder
from fsharechat.errors import StartError, StoreError
from fsharechat.oidc import OidcError
from fsharechat.oidc.provider import Provider
from fsharechat.process import LIMITS_FILES
from fsharechat.registry import RegistryError
from fsharechat.settings import Settings
from fsharechat.settings_types import good_until
from fsharechat.store import fence, imports
from fsharechat.store.migrate import OnStep, revisions
from fsharechat.store.state import StoreState, StoreUnread
from fsharechat.tls import TlsError

CHECK_SECONDS = 6.0
LEAVE_SECONDS = 1.0
"""Further time to close the connections of a check, s."""

_NO_STORE = "no store yet"
_AT_THE_START = "at its start, or `fsharechat migrate` before"


class Check(NamedTuple):
    """The result for one service in the settings."""

    name: str
    ok: bool
    detail: str


async def check(settings: Settings) -> list[Check]:
    """Check the store, the registry, the bus, the media, the sender of login codes and more, all at once.

    It takes at most CHECK_SECONDS plus LEAVE_SECONDS.
    """
    registry, bus = backends.make_registry(settings), backends.make_bus(settings)
    blobs = backends.make_blobs(settings, backends.make_store(settings))
    registry_at, bus_at, blobs_at = settings.registry.url, _place(settings.bus.url), _shown_blobs(settings)

    async def look_at_registry() -> str:
        await registry.open()
        return _said(registry_at, "answers")

    async def look_at_bus() -> str:
        return _said(bus_at, "answers", await bus.look())

    async def look_at_blobs() -> str:
        return _said(blobs_at, "takes media", await blobs.look())

    async def look_at_open_files() -> str:
        return open_files.look(settings)

    checks = [
        _look("store", _shown(settings), lambda: _look_at_store(settings)),
        _look("registry", registry_at, look_at_registry, registry.close),
        _look("bus", bus_at, look_at_bus, bus.close),
        _look("blobs", blobs_at, look_at_blobs, blobs.close),
    ]
    if LIMITS_FILES:
        checks.append(_look("files", "the limit of open files", look_at_open_files))
    if not settings.oidc.alone:
        checks.append(_look("codes", settings.codes.provider, lambda: _reach_codes(settings)))
    if settings.oidc.on:
        checks.append(_look("oidc", settings.oidc.issuer, lambda: _reach_provider(settings)))
    if settings.rpc.tls.on:
        checks.append(_look("rpc", settings.rpc.tls.certificate, lambda: _prove_certificate(settings)))
    return await asyncio.gather(*checks)


async def migrate(settings: Settings, on_step: OnStep) -> Check:
    """Bring the tables up to date. `on_step` is called after each step. There is no time limit."""

    async def bring() -> str:
        _check_owner(settings, "migrate")
        with suppress(StoreUnread):  # the process that writes there must make it readable
            found = await _find(settings, "migrate")
            if found.state.revision and not found.waiting:
                return f"{found}. Nothing to do"
        with _alone(settings):
            await backends.make_store(settings).migrate(on_step)
        return f"{_shown(settings)} is up to date"

    return await _look("migrate", _shown(settings), bring, seconds=None)


async def close_to_older(settings: Settings) -> Check:
    """Close the store to every version whose level is below this one's (store/fence.py)."""

    async def put_up() -> str:
        _check_owner(settings, "fence")
        found = await _find(settings, "fence")
        if not found.state.revision:
            raise StoreError(f"{found.place}: {_NO_STORE}")
        if found.waiting:
            raise StoreError(f"{found}. No process of this version has run there yet")
        with _alone(settings):
            store = backends.make_store(settings)
            await store.open()
            try:
                level = await store.write(fence.put_up)
            finally:
                await store.close()
        return f"{found.place} takes level {level} and above"

    return await _look("fence", _shown(settings), put_up)


async def _look(
    name: str,
    place: str,
    reach: Callable[[], Awaitable[str]],
    leave: Callable[[], Awaitable[None]] | None = None,
    seconds: float | None = CHECK_SECONDS,
) -> Check:
    """Return the result of `reach`, or why it failed, and close its connections."""
    try:
        async with asyncio.timeout(seconds):
            return Check(name, True, await reach())
    except (StartError, StoreError, RegistryError, BusError, CodeError, BlobsError, TlsError) as error:
        return Check(name, False, str(error))
    except TimeoutError:
        return Check(name, False, f"{place}: no answer within {CHECK_SECONDS:g} s")
    finally:
        if leave is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await leave()


def _said(place: str, fine: str, missing: str = "") -> str:
    if place == "memory":
        return "memory, in this process"
    return f"{place} {fine}" + (f"; {missing}" if missing else "")


class _StoreFound(NamedTuple):
    """The result for the store: its place, its state, the waiting migrations, and the process that runs on it."""

    place: str
    state: StoreState
    waiting: Sequence[str]
    process: str

    def __str__(self) -> str:
        level = f"it takes level {self.state.level} and above, this version is of level {fence.LEVEL}"
        return f"{self.place} {self._age}; {level}{self._running}"

    @property
    def _age(self) -> str:
        if count := len(self.waiting):
            waits = "migration waits" if count == 1 else "migrations wait"
            return f"is older: {count} {waits} ({', '.join(self.waiting)})"
        if self.state.revision in revisions():
            return "is up to date"
        newer = f"fsharechat {self.state.migrated_by}" if self.state.migrated_by else "a newer version"
        by = f"{newer} has migrated it, to {self.state.revision}"
        return f"is newer: {by}; this one, {__version__}, goes on with it"

    @property
    def _running(self) -> str:
        return f"; process {self.process} runs on it" if self.process else ""


async def _find(settings: Settings, command: str) -> _StoreFound:
    """Check the store.

    Raises StoreError if it is closed to this version, StoreUnread, and StartError if this user may not read it: then
    the right user must run `command`.
    """
    process = ""
    if settings.on_sqlite:
        data_folder.look(settings.data_path(), command)
        process = data_folder.running_on(settings.data_path())
    place, state, known = _shown(settings), await backends.make_store(settings).look(), revisions()
    if problem := fence.problem(state.level, state.closed_by):
        raise StoreError(f"{place}: {problem}")
    waiting = known[known.index(state.revision) + 1 :] if state.revision in known else []
    return _StoreFound(place, state, waiting, process)


async def _look_at_store(settings: Settings) -> str:
    try:
        found = await _find(settings, "check")
    except StoreUnread as error:
        return f"{_shown(settings)}: {error}"
    if problem := imports.unfinished(found.state.imported):
        raise StoreError(f"{found.place}: {problem}")
    if not found.state.revision:
        return f"{found.place}: {_NO_STORE}. The server makes it {_AT_THE_START}"
    return f"{found}. The server carries out what waits {_AT_THE_START}" if found.waiting else str(found)


def _check_owner(settings: Settings, command: str) -> None:
    if settings.on_sqlite:
        data_folder.check_owner(settings.data_path(), command)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Lock the data folder of an SQLite database. Raises StartError."""
    with ExitStack() as stack:
        if settings.on_sqlite:
            try:
                stack.enter_context(DataFolder(settings.data_path()))
            except AlreadyRunning as error:
                raise StartError(
                    f"{error}: stop it first. A server migrates its store when it starts"
                ) from error
        yield


async def _prove_certificate(settings: Settings) -> str:
    certificate = settings.rpc.tls.certificate
    tls.prove(settings.rpc.tls, listens="group" in settings.node.roles)
    return f"{certificate} is accepted by other processes, until {good_until(certificate):%Y-%m-%d}"


async def _reach_codes(settings: Settings) -> str:
    codes = backends.make_codes(settings)
    try:
        return await codes.check() or _said(settings.codes.provider, "answers")
    finally:
        await codes.close()


async def _reach_provider(settings: Settings) -> str:
    provider = Provider(settings.oidc)
    try:
        return await provider.check()
    except OidcError as error:
        raise StartError(f"{settings.oidc.issuer}: {error}") from error
    finally:
        await provider.close()


def _shown_blobs(settings: Settings) -> str:
    return str(settings.media_path()) if settings.blobs.in_directory else settings.blobs.url


def _shown(settings: Settings) -> str:
    """Return the place of the store, without its password."""
    return str(settings.store_path()) if settings.on_sqlite else _place(settings.store.url)


def _place(url: str) -> str:
    """Return a url without its user and password."""
    return url.rpartition("@")[2]
