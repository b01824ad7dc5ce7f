"""The commands of the server: running it, `check`, `migrate` and `fence`. They need all packages of the server."""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fsharechat import event_loop, log
from fsharechat.admin import key_file
from fsharechat.errors import StartError
from fsharechat.settings import Settings, SettingsError, load, with_api_key, with_super_code
from fsharechat.store.migrate import MigrationStep

T = TypeVar("T")

LOOKS = ("check", "migrate", "fence")


def run(args: argparse.Namespace, settings_file: Path | None) -> int:
    """Carry out a command, and return the exit code."""
    read = partial(load, settings_file, vars(args), os.environ)
    try:
        settings = read()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    log.configure(settings.log)
    if args.command in LOOKS:
        return _check(args.command, settings)
    if args.dev and not settings.codes.super_code and "group" in settings.node.roles:
        # Other machines reach the server. With a well-known code anybody could log in as anybody.
        settings = with_super_code(settings, secrets.token_hex(8))
        print(f"super code: {settings.codes.super_code}", flush=True)
    if args.dev and settings.embedded and "api" in settings.node.roles and not settings.api.key:
        try:
            key = key_file.key_made(settings.data_path())
        except StartError as error:
            print(f"fsharechat: {error}", file=sys.stderr)
            return 1
        if key:
            settings = with_api_key(settings, key)
            print(f"admin key: {settings.data_path() / key_file.NAME}", flush=True)
    return _serve(settings, read)


def _serve(settings: Settings, read: Callable[[], Settings]) -> int:
    event_loop.ignore(event_loop.RELOAD)  # until it runs, and can read the settings again
    from fsharechat import node

    try:
        return _run(node.run(settings, read))
    except StartError as error:
        print(f"fsharechat: {error}", file=sys.stderr)
        return 1


def _check(command: str, settings: Settings) -> int:
    from fsharechat import check

    match command:
        case "migrate":
            results = [_run(check.migrate(settings, _print_step))]
        case "fence":
            results = [_run(check.close_to_older(settings))]
        case _:
            results = _run(check.check(settings))
    for result in results:
        print(f"{'ok  ' if result.ok else 'FAIL'} {result.name}: {result.detail}")
    return 0 if all(result.ok for result in results) else 1


def _print_step(step: MigrationStep) -> None:
    print(f"{step.number}/{step.of}  {step.revision}  {step.seconds:.1f} s  {step.what}", flush=True)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=event_loop.new_event_loop) as runner:
        return runner.run(work)
