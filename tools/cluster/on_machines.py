"""The commands of `scripts/cluster` for a cluster on several machines."""

import argparse
import json
import shlex
import threading
from collections.abc import Callable, Mapping
from typing import Any

from fsharechat.settings import DEV_SUPER_CODE
from tools.services.command import EXIT_FAILED, say
from tools.services.errors import ServicesError
from tools.services.install import Installer
from tools.services.places import locked
from tools.services.service import Daemon

from . import report
from .cluster import Cluster, require_tree
from .machine import Machine
from .machines import LEAST_MACHINES, MOST_MACHINES, Machines
from .network import MachineNetwork, free_network

_SUPER_CODE = "FSHARECHAT_CODES__SUPER_CODE"

Work = Callable[[Machines, argparse.Namespace], int]


def up(arguments: argparse.Namespace) -> int:
    """Make the machines, start everything on them and the balancer, and wait until all is ready."""
    if not LEAST_MACHINES <= arguments.count <= MOST_MACHINES:
        raise ServicesError(f"{LEAST_MACHINES} to {MOST_MACHINES} machines")
    if Cluster.load(arguments.set) is not None:
        raise ServicesError(f"{arguments.set!r} is a cluster without machines; give another name by --set")
    MachineNetwork.install(Installer(say))
    with locked(f"cluster-{arguments.set}", say):
        it = _made(arguments)
        it.dev, it.environment = arguments.dev, arguments.environment
        if arguments.dev:
            # Other machines reach them, so --dev alone sets no super code.
            it.environment = {_SUPER_CODE: DEV_SUPER_CODE, **it.environment}
        if arguments.tree is not None:
            it.run_from(arguments.tree, it.machines())
        it.save()
        it.provide(say)
        for machine in it.machines():
            for member in machine.members:
                if member.outdated:
                    member.stop(say)
        it.start(it.machines(), say)
        it.balancer.start(say, threading.Event())
    _status(it, arguments)
    print(f"\n{_guide(it)}")
    return 0


def _made(arguments: argparse.Namespace) -> Machines:
    it = Machines.load(arguments.set)
    if it is None:
        with locked("networks", say):
            number = arguments.network
            network = free_network(arguments.set) if number is None else MachineNetwork(number)
            it = Machines.new(arguments.set, arguments.count, network)
            network.open(arguments.count)
            it.save()
    if it.count != arguments.count:
        raise ServicesError(f"{it.name!r} has {it.count} machines; `scripts/cluster down` removes them")
    return it


def _guide(it: Machines) -> str:
    at = it.addresses
    return (
        "Clients reach the load balancer: "
        + "  ".join(f"{purpose} {address}" for purpose, address in at.items())
        + f"\nIts settings: {shlex.quote(str(it.settings))}\n"
        f"Stop it with scripts/cluster down --set {it.name}"
    )


def _down(it: Machines, _: argparse.Namespace) -> int:
    it.remove(say)
    return 0


def _status(it: Machines, _: argparse.Namespace) -> int:
    print(report.table(it.daemons()))
    for machine in it.machines():
        print(f"{machine.name} ({machine.host}): {machine.state}")
    return EXIT_FAILED if it.unwell() else 0


def _env(it: Machines, arguments: argparse.Namespace) -> int:
    variables = {
        **it.environment,
        **{
            name: value if isinstance(value, str) else ",".join(value)
            for name, value in it.variables().items()
        },
    }
    if arguments.json:
        print(json.dumps(as_json(it) | {"variables": variables}, indent=2))
        return 0
    lines = {f"CLUSTER_{kind.upper()}": it.addresses[kind] for kind in ("tcp", "ws", "http")} | variables
    print("\n".join(f"export {key}={shlex.quote(value)}" for key, value in lines.items()))
    return 0


def as_json(it: Machines) -> dict[str, Any]:
    members = [member for machine in it.machines() for member in machine.members]
    return {
        "set": it.name,
        "settings": str(it.settings),
        **{kind: [it.addresses[kind]] for kind in ("tcp", "ws", "http")},
        "members": {member.name: report.describe(member) for member in members},
        "machines": {machine.name: machine.state for machine in it.machines()},
    }


def _parts(it: Machines, arguments: argparse.Namespace) -> tuple[list[Machine], list[Daemon]]:
    """Return the named machines and processes. Raises ServicesError if they cannot run the source tree."""
    machines, others = it.parted(arguments.names)
    if arguments.tree is not None:
        require_tree(arguments.tree)
        if others:
            raise ServicesError(
                f"{others[0].name} is a process; only whole machines can be given a source tree"
            )
    return machines, others


def _start(it: Machines, arguments: argparse.Namespace) -> int:
    machines, others = _parts(it, arguments)
    if arguments.tree is not None:
        it.run_from(arguments.tree, machines)
    it.start([machine for machine in it.machines() if machine.name in {one.name for one in machines}], say)
    for one in others:
        one.start(say, threading.Event())
    return 0


def _restart(it: Machines, arguments: argparse.Namespace) -> int:
    """Restart one after the other: each one waits until the one before is ready.

    With a source tree, only the roles of a machine are restarted. Its services go on.
    """
    stop = _each(lambda one: one.stop(say))
    if arguments.tree is not None:
        stop = _of_machines(lambda machine: machine.stop_roles(say))
    for name in [one.name for part in _parts(it, arguments) for one in part]:
        stop(it, argparse.Namespace(names=[name]))
        _start(it, argparse.Namespace(names=[name], tree=arguments.tree))
    return 0


def _each(do: Callable[[Any], None]) -> Work:
    def run(it: Machines, arguments: argparse.Namespace) -> int:
        for part in it.parted(arguments.names):
            for one in part:
                do(one)
        return 0

    return run


def _of_machines(do: Callable[[Machine], None]) -> Work:
    def run(it: Machines, arguments: argparse.Namespace) -> int:
        machines, others = it.parted(arguments.names)
        if others:
            raise ServicesError(f"{others[0].name} is a process; this command is for whole machines")
        for machine in machines:
            do(machine)
        return 0

    return run


def _cut(it: Machines, arguments: argparse.Namespace) -> int:
    def cut(machine: Machine) -> None:
        others = [one.host for one in it.machines() if one.name != machine.name]
        machine.cut(say, others if arguments.others else [])

    return _of_machines(cut)(it, arguments)


COMMANDS: Mapping[str, Work] = {
    "down": _down,
    "status": _status,
    "env": _env,
    "start": _start,
    "restart": _restart,
    "stop": _each(lambda one: one.stop(say)),
    "kill": _each(lambda one: one.kill(say)),
    "pause": _each(lambda one: one.pause(say)),
    "resume": _each(lambda one: one.resume(say)),
    "cut": _cut,
    "mend": _of_machines(lambda machine: machine.mend(say)),
    "fill": _of_machines(lambda machine: machine.fill(say)),
    "empty": _of_machines(lambda machine: machine.empty(say)),
}
"""The commands that do something else for machines, or are only for them."""
ONLY_MACHINES: Mapping[str, str] = {
    "cut": "cut machines off from each other and from clients",
    "mend": "undo `cut`",
    "fill": "leave no byte free on the disks of machines",
    "empty": "undo `fill`",
}
"""The help of the commands that are only for machines."""
