"""The command lines of `fsharechat backup` and `fsharechat restore`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from fsharechat import backends, data_folder, log
from fsharechat.arguments import CommandParser
from fsharechat.backup import BackupError, pruning
from fsharechat.backup.making import BackupMaker
from fsharechat.backup.restoring import Restorer
from fsharechat.backup.vault import FolderVault, S3Vault, Vault
from fsharechat.blobs import Blobs, BlobsError
from fsharechat.data_folder import DataFolder
from fsharechat.errors import StartError, StoreError
from fsharechat.settings import Settings, SettingsError, load
from fsharechat.ticker import Ticker

_S3 = "s3:"
_FAULTS = (BackupError, StartError, StoreError, BlobsError, OSError)
_ON_MYSQL = (
    "[store] url is MySQL, which has its own means: mysqldump --single-transaction, or mariadb-backup. "
    "--media-only takes the media alone"
)
_PLACE = "a folder, or s3:BUCKET/PREFIX on the server of [backup]"


def main(argv: Sequence[str], settings_file: Callable[[Path | None], Path | None]) -> int:
    """Run the command that comes first and return the exit code (see cli.COMMANDS)."""
    command, *rest = argv
    args = (_backup_parser if command == "backup" else _restore_parser)().parse_args(rest)
    try:
        settings = load(settings_file(args.settings), {"data": args.data}, os.environ)
        vault = _vault(args.place, settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(settings.log)
    os.umask(0o077)  # a back-up is as private as the original
    work = _back_up if command == "backup" else _restore
    try:
        asyncio.run(work(settings, vault, args))
    except KeyboardInterrupt:
        print("fsharechat: cut off. The same command goes on where it was", file=sys.stderr)
        return 130
    except _FAULTS as error:
        print(f"fsharechat: {_said(error)}", file=sys.stderr)
        return 1
    return 0


def _said(error: Exception) -> str:
    """Return the text of a fault for the operator."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _backup_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="fsharechat backup",
        description="Copy the embedded store and the media while the server runs. Each back-up is whole, and shares "
        "unchanged media with those before it. What is written is read again and compared.",
    )
    parser.add_argument("place", metavar="DEST", help=_PLACE)
    parser.add_argument(
        "--keep", type=_count, default=0, metavar="N", help="afterwards remove all back-ups but the last N"
    )
    return _with_common(parser)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, at least 1")
    return int(text)


def _restore_parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="fsharechat restore",
        description="Put a back-up into the data folder, where no server runs and no database is. Then start the "
        "server.",
    )
    parser.add_argument("place", metavar="SRC", help=_PLACE)
    parser.add_argument(
        "--at", default="", metavar="TIME", help="the name of a back-up; the last one if left out"
    )
    return _with_common(parser)


def _with_common(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="the settings file; ./settings.toml if it exists"
    )
    parser.add_argument("--data", metavar="DIR", help="the folder that keeps the data")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--no-media", action="store_true", help="the database alone")
    parts.add_argument("--media-only", action="store_true", help="the media alone")
    return parser


def _vault(place: str, settings: Settings) -> Vault:
    """Return the vault at a place. Raises SettingsError."""
    if not place.startswith(_S3):
        return FolderVault(Path(place).expanduser().absolute())
    access = settings.backup
    bucket, _, prefix = place.removeprefix(_S3).lstrip("/").partition("/")
    if not bucket or not access.url:
        raise SettingsError([f"{place}: must be s3:BUCKET/PREFIX, and [backup] url must name the S3 server"])
    return S3Vault(access.url, access.access_key, access.secret_key, access.region, bucket, prefix)


async def _back_up(settings: Settings, vault: Vault, args: argparse.Namespace) -> None:
    if not settings.on_sqlite and not args.media_only:
        raise BackupError(_ON_MYSQL)
    database = None if args.media_only else settings.store_path()
    if database is not None and not database.exists():
        raise BackupError(f"{database} is not there: [store] url and [node] data say where the store is")
    data_folder.check_owner(settings.data_path(), "backup")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(vault.close)
        await vault.open(to_write=True)
        blobs = None if args.no_media else await _media(settings, stack)
        print(await BackupMaker.at(vault, datetime.now(UTC), Ticker()).make(database, blobs))
        if args.keep:
            print(await pruning.keep_last(vault, args.keep))


async def _restore(settings: Settings, vault: Vault, args: argparse.Namespace) -> None:
    if not settings.on_sqlite and not args.media_only:
        raise BackupError(_ON_MYSQL)
    path = settings.store_path()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(vault.close)
        await vault.open(to_write=False)
        restorer = Restorer(vault, Ticker())
        name, found = await restorer.choose(args.at)
        if not args.media_only:
            if found.database is None:
                raise BackupError(f"the back-up {name} has no database; --media-only takes its media")
            stack.enter_context(DataFolder(settings.data_path()))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            restorer.check_place(found, path)
        done = [] if args.no_media else [await restorer.media(found, await _media(settings, stack))]
        if not args.media_only and found.database is not None:
            done.append(await restorer.database(found.database, path))
        print(f"restored {name}: {'; '.join(done)}")


async def _media(settings: Settings, stack: AsyncExitStack) -> Blobs:
    blobs = backends.make_blobs(settings, backends.make_store(settings))
    stack.push_async_callback(blobs.close)
    await blobs.open()
    return blobs
