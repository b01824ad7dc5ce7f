"""The command line of `scripts/cluster`."""

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tools.services.catalogue import ServiceSet, set_name
from tools.services.command import EXIT_FAILED, exit_code_of, say
from tools.services.errors import ServicesError
from tools.services.places import locked

from . import on_machines, report
from .cluster import MOST, ROLES, Cluster, names, services_of
from .machines import Machines
from .member import ClusterMember

OUR_VARIABLES = "FSHARECHAT_"


def main() -> int:
    arguments = _arguments()
    # `up` keeps the settings of this shell. A process that is started again gets the kept ones.
    arguments.environment = {
        name: os.environ.pop(name) for name in list(os.environ) if name.startswith(OUR_VARIABLES)
    }

    def work() -> int:
        set_name(arguments.set)
        machines = Machines.load(arguments.set)
        on_it = on_machines.COMMANDS.get(arguments.command)
        if machines is None or on_it is None:
            return int(arguments.run(arguments))
        with locked(f"cluster-{arguments.set}", say):
            return on_it(machines, arguments)

    return exit_code_of("scripts/cluster", work)


def up(arguments: argparse.Namespace) -> int:
    """Bring up the services and the processes, and wait until all are ready."""
    counts = {"connector": arguments.connectors, "group": arguments.groups, "api": arguments.api}
    if not all(1 <= count <= MOST for count in counts.values()) or not 0 <= arguments.media <= MOST:
        raise ServicesError(f"each role needs 1 to {MOST} processes, media 0 to {MOST}")
    counts["media"] = arguments.media
    if Machines.load(arguments.set) is not None:
        raise ServicesError(f"{arguments.set!r} is a cluster of machines; give another name by --set")
    if code := _services("up", *services_of(arguments.set), "--set", arguments.set):
        return code
    with locked(f"cluster-{arguments.set}", say):
        cluster = Cluster.load(arguments.set) or Cluster.new(arguments.set)
        cluster.dev, cluster.fixed_ids, cluster.kurento = (
            arguments.dev,
            arguments.fixed_ids,
            arguments.kurento,
        )
        # These come from the set itself: its services, its secret, and an id for each process.
        ours = {*cluster.services(), "FSHARECHAT_NODE__CLUSTER_SECRET", "FSHARECHAT_NODE__ID"}
        cluster.environment = {
            name: value for name, value in arguments.environment.items() if name not in ours
        }
        before = set(cluster.ports)
        for name in cluster.resize(counts, say):
            cluster.member(name).stop(say)
            cluster.remove_member(name)
        if arguments.tree is not None:
            cluster.run_from(arguments.tree, cluster.ports.keys() - before)
        cluster.write_settings()
        for member in cluster.members():
            if member.outdated:
                member.stop(say)
        _start(cluster.members())
    members = cluster.members()
    print(f"{report.table(members)}\n\n{report.guide(cluster, members)}")
    return 0


def _services(*arguments: str) -> int:
    """Run scripts/services. It prints its progress."""
    return subprocess.run([sys.executable, "-P", "-m", "tools.services", *arguments], check=False).returncode


def _start(members: list[ClusterMember]) -> None:
    """Start all of them at once. Each waits for what it needs."""
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=len(members)) as pool:
        try:
            for started in as_completed([pool.submit(member.start, say, cancelled) for member in members]):
                started.result()
        except BaseException:
            cancelled.set()
            raise


def down(arguments: argparse.Namespace) -> int:
    """Stop everything, and remove the data."""
    with locked(f"cluster-{arguments.set}", say):
        cluster = Cluster.load(arguments.set)
        if cluster is None:
            say(f"there is no cluster {arguments.set!r}")
        else:
            # Callers stop before the processes that answer them.
            for role in reversed(ROLES):
                if members := [member for member in cluster.members() if member.role == role]:
                    with ThreadPoolExecutor(max_workers=len(members)) as pool:
                        list(pool.map(lambda member: member.stop(say), members))
            cluster.remove()
    if arguments.keep_services or ServiceSet.load(arguments.set) is None:
        return 0
    return _services("down", "--set", arguments.set)


def start(arguments: argparse.Namespace) -> int:
    with locked(f"cluster-{arguments.set}", say):
        _start(_named(arguments))
    return 0


def restart(arguments: argparse.Namespace) -> int:
    """Restart one after the other, each when the one before is ready: a rolling restart."""
    with locked(f"cluster-{arguments.set}", say):
        for member in _named(arguments):
            member.stop(say)
            member.start(say, threading.Event())
    return 0


def _named(arguments: argparse.Namespace) -> list[ClusterMember]:
    """The named processes. From now on they run the source tree of the arguments, if there is one."""
    cluster = Cluster.existing(arguments.set)
    members = cluster.members(arguments.names)
    if arguments.tree is None:
        return members
    cluster.run_from(arguments.tree, [member.name for member in members])
    return cluster.members(arguments.names)


def each(do: Callable[[ClusterMember], None]) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        with locked(f"cluster-{arguments.set}", say):
            for member in Cluster.existing(arguments.set).members(arguments.names):
                do(member)
        return 0

    return run


def status(arguments: argparse.Namespace) -> int:
    """Print what runs; exit code 1 unless all is ready."""
    cluster = Cluster.load(arguments.set)
    if cluster is None:
        print(f"there is no cluster {arguments.set!r}")
        if others := names():
            print(f"there are: {', '.join(others)}")
        return EXIT_FAILED
    members = cluster.members()
    print(report.table(members))
    return 0 if all(member.state == "ready" for member in members) else EXIT_FAILED


def env(arguments: argparse.Namespace) -> int:
    """Print every address, and the settings with which one more process joins."""
    cluster = Cluster.existing(arguments.set)
    print(json.dumps(report.as_json(cluster), indent=2) if arguments.json else report.shell(cluster))
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Print, or follow, the logs of processes."""
    members = Cluster.existing(arguments.set).members([arguments.name])
    files = [str(member.log) for member in members if member.log.exists()]
    if not files:
        raise ServicesError(f"{arguments.name} has no log yet")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), *files])


def no_machines(arguments: argparse.Namespace) -> int:
    raise ServicesError(f"there are no machines {arguments.set!r}; `scripts/cluster machines 3` makes them")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/cluster",
        description="A cluster of fsharechat on this machine, on the services of scripts/services.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--set", default="default", metavar="NAME", help="which set of services (default)")

    of_tree = argparse.ArgumentParser(add_help=False)
    of_tree.add_argument(
        "--tree",
        type=Path,
        metavar="DIR",
        help="the source tree that they run from now on, for example another version; with `up`: new processes only",
    )

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        parents = [common, of_tree] if run in (up, start, restart, on_machines.up) else [common]
        new = commands.add_parser(name, help=text, description=text, parents=parents)
        new.set_defaults(run=run, command=name)
        return new

    new = command("up", up, "bring up the services and so many processes, and wait until all are ready")
    new.add_argument("connectors", type=int, metavar="N", help="connectors")
    new.add_argument("groups", type=int, metavar="M", help="group processes")
    new.add_argument("--api", type=int, default=2, metavar="K", help="api processes (2)")
    new.add_argument("--media", type=int, default=1, metavar="L", help="media processes (1)")
    new.add_argument(
        "--kurento",
        default="",
        metavar="URL",
        help="the Kurento of the media processes, ws://host:8888/kurento",
    )
    new.add_argument("--dev", action="store_true", help="super code 66666, and logs for people")
    new.add_argument("--fixed-ids", action="store_true", help="each process has a fixed node id, its number")
    new = command(
        "machines",
        on_machines.up,
        "the same on several machines; they are network namespaces, which need root",
    )
    new.add_argument("count", type=int, metavar="N", help="machines, each with all services and all roles: 3")
    new.add_argument("--dev", action="store_true", help="super code 66666, and logs for people")
    new.add_argument("--network", type=int, metavar="N", help="their network is 198.18.N.0/24 (a free one)")
    new = command("down", down, "stop the processes and the services, and remove their data")
    new.add_argument("--keep-services", action="store_true", help="leave the services running")
    command("status", status, "show the processes and their addresses; exit code 0 if all are ready")
    new = command("env", env, "every address, and the settings with which one more process joins")
    new.add_argument("--json", action="store_true")
    new = command("logs", logs, "the last lines of a log")
    new.add_argument("name", metavar="NAME", help="a process, a role, or all")
    new.add_argument("-n", dest="lines", type=int, default=100, metavar="LINES", help="how many (100)")
    new.add_argument("-f", dest="follow", action="store_true", help="follow the log")
    for name, text in on_machines.ONLY_MACHINES.items():
        new = command(name, no_machines, text)
        new.add_argument("names", nargs="+", metavar="NAME", help="machine-1, or all")
        if name == "cut":
            new.add_argument(
                "--others",
                action="store_true",
                help="cut them off from each other only; clients still reach them",
            )
    for name, run, text in (
        ("start", start, "start stopped or killed processes again"),
        ("stop", each(lambda member: member.stop(say)), "stop processes by SIGTERM: they drain"),
        ("kill", each(lambda member: member.kill(say)), "kill processes by SIGKILL"),
        ("restart", restart, "stop and start processes, one after the other"),
        ("pause", each(lambda member: member.pause(say)), "pause processes (SIGSTOP)"),
        ("resume", each(lambda member: member.resume(say)), "resume processes (SIGCONT)"),
    ):
        new = command(name, run, text)
        new.add_argument(
            "names", nargs="+", metavar="NAME", help="connector-0, or a role, or machine-1, or all"
        )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
