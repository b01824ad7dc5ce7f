"""The command line of `scripts/services`."""

import argparse
import json
import os
import shlex
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from .catalogue import DEFAULT, SERVICES, ServiceSet, set_name, set_names
from .command import EXIT_FAILED, EXIT_UNAVAILABLE, exit_code_of, say
from .errors import ServicesError, Unavailable
from .install import Installer
from .places import locked
from .report import as_json, table
from .service import Service


def main() -> int:
    arguments = _arguments()

    def work() -> int:
        set_name(arguments.set)
        return int(arguments.run(arguments))

    return exit_code_of("scripts/services", work)


def up(arguments: argparse.Namespace) -> int:
    """Start services, and wait until they are ready."""
    with locked(arguments.set, say):
        chosen = ServiceSet.load_or_create(arguments.set, say)
        services = [chosen.service(name) for name in arguments.names or chosen.services or DEFAULT]
        errors: list[ServicesError] = []
        installed = _install(services, errors)
        chosen.services = [
            kind.name
            for kind in SERVICES
            if kind.name in chosen.services or kind.name in (service.name for service in installed)
        ]
        chosen.save()
        _start(installed, errors)
    return _reported(errors)


def _reported(errors: list[ServicesError]) -> int:
    """Print the errors, and return the exit code that says the same."""
    for error in errors:
        print(f"scripts/services: {error}", file=sys.stderr)
    if errors:
        only_missing = all(isinstance(error, Unavailable) for error in errors)
        return EXIT_UNAVAILABLE if only_missing else EXIT_FAILED
    return 0


def _install(services: list[Service], errors: list[ServicesError]) -> list[Service]:
    """Install what services need. Return the services that can run."""
    installer = Installer(say)
    installed = []
    for service in services:
        try:
            service.install(installer)
            installed.append(service)
        except ServicesError as error:
            errors.append(error)
    return installed


def _start(services: list[Service], errors: list[ServicesError]) -> None:
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        starts = [pool.submit(service.start, say, cancelled) for service in services]
        try:
            for start in as_completed(starts):
                if isinstance(error := start.exception(), ServicesError):
                    errors.append(error)
                elif error is not None:
                    raise error
        except BaseException:
            cancelled.set()
            raise


def install(arguments: argparse.Namespace) -> int:
    """Install the programs of services, those of all if none is named, and start nothing. All sets share them."""
    chosen = ServiceSet(arguments.set, port=0)
    errors: list[ServicesError] = []
    _install([chosen.service(name) for name in arguments.names or [kind.name for kind in SERVICES]], errors)
    return _reported(errors)


def down(arguments: argparse.Namespace) -> int:
    """Stop all of a set and remove its data."""
    with locked(arguments.set, say):
        chosen = ServiceSet.load(arguments.set)
        if chosen is None:
            say(f"there is no set {arguments.set!r}")
            return 0
        with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
            list(pool.map(lambda service: service.stop(say), chosen.present()))
        if not arguments.keep:
            chosen.remove()
            say(f"the data of the set {chosen.name!r} are removed")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Print what runs; exit code 1 unless all is ready."""
    chosen = ServiceSet.load(arguments.set)
    services = chosen.present() if chosen else []
    daemons = [daemon for service in services for daemon in service.daemons]
    with ThreadPoolExecutor(max_workers=max(1, len(daemons))) as pool:
        states = dict(zip(daemons, pool.map(lambda daemon: daemon.state, daemons), strict=True))
    if arguments.json:
        print(json.dumps(as_json(services, states), indent=2))
    elif chosen is None:
        print(f"there is no set {arguments.set!r}")
    else:
        print(table(states))
    others = [name for name in set_names() if name != arguments.set]
    if others and not arguments.json:
        print(f"other sets: {', '.join(others)}")
    return 0 if chosen and all(state == "ready" for state in states.values()) else EXIT_FAILED


def start(arguments: argparse.Namespace) -> int:
    with locked(arguments.set, say):
        _start_named(_existing(arguments.set), arguments.names)
    return 0


def restart(arguments: argparse.Namespace) -> int:
    with locked(arguments.set, say):
        chosen = _existing(arguments.set)
        _stop_named(chosen, arguments.names)
        _start_named(chosen, arguments.names)
    return 0


def stop(arguments: argparse.Namespace) -> int:
    with locked(arguments.set, say):
        _stop_named(_existing(arguments.set), arguments.names)
    return 0


def kill(arguments: argparse.Namespace) -> int:
    with locked(arguments.set, say):
        chosen = _existing(arguments.set)
        for daemon in [daemon for name in arguments.names for daemon in chosen.daemons(name)]:
            daemon.kill(say)
    return 0


def _existing(name: str) -> ServiceSet:
    chosen = ServiceSet.load(name)
    if chosen is None:
        raise ServicesError(f"there is no set {name!r}; `scripts/services up --set {name}` makes it")
    return chosen


def _start_named(chosen: ServiceSet, names: list[str]) -> None:
    wanted = {daemon.name for name in names for daemon in chosen.daemons(name)}
    for service in chosen.present():
        if any(daemon.name in wanted for daemon in service.daemons):
            service.start(say, threading.Event(), wanted)


def _stop_named(chosen: ServiceSet, names: list[str]) -> None:
    for name in names:
        for daemon in reversed(chosen.daemons(name)):
            daemon.stop(say)


def logs(arguments: argparse.Namespace) -> int:
    """Print, or follow, the log of a service."""
    daemons = _existing(arguments.set).daemons(arguments.name)
    files = [str(daemon.log) for daemon in daemons if daemon.log.exists()]
    if not files:
        raise ServicesError(f"{arguments.name} has no log yet")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), *files])


def env(arguments: argparse.Namespace) -> int:
    """Print the environment variables that lead to the services."""
    chosen = _existing(arguments.set)
    variables: dict[str, str] = {}
    for name in arguments.names or chosen.services:
        chosen.daemons(name)  # an error if the set does not have it
        for key, value in chosen.service(name).variables().items():
            variables.setdefault(key, value)
    if arguments.json:
        print(json.dumps(variables, indent=2))
    else:
        for key, value in variables.items():
            print(f"export {key}={shlex.quote(value)}")
    return 0


def _arguments() -> argparse.Namespace:
    names = ", ".join(kind.name for kind in SERVICES)
    parser = argparse.ArgumentParser(
        prog="scripts/services",
        description=f"Real services on this machine, for development and tests: {names}.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--set", default="default", metavar="NAME", help="which set of services (default)")

    def command(run: object, help_text: str, name: str = "") -> argparse.ArgumentParser:
        new = commands.add_parser(
            name or getattr(run, "__name__", ""), help=help_text, description=help_text, parents=[common]
        )
        new.set_defaults(run=run)
        return new

    new = command(up, "start services, and wait until they are ready; missing programs are installed")
    new.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; without: {', '.join(DEFAULT)}")
    new = command(install, "install the programs of services, and start nothing")
    new.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; without: all")
    new = command(down, "stop all of a set, and remove its data")
    new.add_argument("--keep", action="store_true", help="keep the data and the ports")
    new = command(status, "show the services and their ports; exit code 0 if all are ready")
    new.add_argument("--json", action="store_true")
    new = command(logs, "the last lines of a log")
    new.add_argument("name", metavar="NAME")
    new.add_argument("-n", dest="lines", type=int, default=100, metavar="LINES", help="how many (100)")
    new.add_argument("-f", dest="follow", action="store_true", help="follow the log")
    for run, help_text in (
        (start, "start stopped or killed services again"),
        (stop, "stop services (SIGTERM) and keep their data"),
        (kill, "kill services (SIGKILL) and keep their data"),
        (restart, "stop and start"),
    ):
        new = command(run, help_text)
        new.add_argument(
            "names", nargs="+", metavar="NAME", help="a service, or one process of it (galera.2)"
        )
    new = command(env, 'the settings that lead to the services: eval "$(scripts/services env)"')
    new.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    new.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
