"""`fsharechat import-data`: opens both sides, checks that nobody else writes, and reports the result."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fsharechat import backends, data_folder, urls
from fsharechat.data_folder import DataFolder
from fsharechat.errors import StartError, StoreError
from fsharechat.moving.h2_script import H2Script
from fsharechat.moving.importer import Importer
from fsharechat.moving.mysql_source import MysqlSource
from fsharechat.moving.report import ImportReport, ProgressTicker
from fsharechat.moving.source import ImportSource, SourceError
from fsharechat.registry import RegistryError
from fsharechat.settings_schema import MYSQL_PORT, Settings
from fsharechat.settings_types import ServiceTls
from fsharechat.store.imports import ImportRefused, check_free
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.state import StoreUnread
from fsharechat.store.store import Store

FAULTS = (SourceError, ImportRefused, StoreError, StartError, RegistryError)
"""What an import may fail with; the text says what is wrong."""

MEMBERS_SECONDS = 5.0


def source_of(place: str, authority: str) -> ImportSource:
    """Return what a url or a path names. `authority` is what [store.tls] calls ca. Raises SourceError."""
    if not place.startswith("mysql:"):
        path = Path(place)
        if not path.is_file():
            raise SourceError(f"{place}: there is no such file; or name mysql://user:password@host/database")
        return H2Script(path)
    try:
        url = urls.parse(place, "mysql", MYSQL_PORT)
    except urls.UrlError as error:
        raise SourceError(str(error)) from None
    if not url.user or not url.path or "/" in url.path:
        raise SourceError("the source must be mysql://user:password@host/database")
    return MysqlSource(url, ServiceTls(ca=authority))


async def run(
    settings: Settings, source: ImportSource, dry: bool, report: ImportReport, ticker: ProgressTicker
) -> list[str]:
    """Import, and return what the check at the end found to be wrong. Raises FAULTS."""
    try:
        async with _target(settings, source, dry) as store:
            importer = Importer(source, store, ticker, report)
            problems = await importer.run()
    finally:
        await source.close()
    report.totals(importer.totals)
    return problems


@asynccontextmanager
async def _target(settings: Settings, source: ImportSource, dry: bool) -> AsyncIterator[Store]:
    """Yield the open store that rows go into: for a dry run a file that is removed afterwards."""
    with ExitStack() as stack:
        store = backends.make_store(settings)
        if settings.on_sqlite:
            data_folder.look(settings.data_path(), "import-data")
        try:
            check_free(await store.look(), source.name)
        except StoreUnread:  # an import was killed there: to open the store puts that right, and looks again
            if dry:
                raise
        if dry:
            if settings.on_sqlite and (process := data_folder.running_on(settings.data_path())):
                raise StartError(f"process {process} runs on {settings.data_path()}: stop it first")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fsharechat-import-"))
            store = SqliteStore(Path(folder) / "dry.db", settings.store.max_queue)
        elif settings.on_sqlite:
            data_folder.check_owner(settings.data_path(), "import-data")
            stack.enter_context(DataFolder(settings.data_path()))
        if not settings.embedded:
            await _check_nobody_serves(settings)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


async def _check_nobody_serves(settings: Settings) -> None:
    """Raise StartError where group processes of the cluster run: what they cache would be wrong."""
    registry = backends.make_registry(settings)
    found: list[Mapping[int, str]] = []
    try:
        async with asyncio.timeout(MEMBERS_SECONDS):
            await registry.open()
            await registry.watch("group", found.append)
    except TimeoutError:
        raise RegistryError(f"{settings.registry.url}: no answer within {MEMBERS_SECONDS:g} s") from None
    finally:
        await registry.close()
    if found and found[-1]:
        raise StartError(f"group processes run: {', '.join(found[-1].values())}. Stop all of them first")
