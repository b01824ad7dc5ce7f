"""The layout of several machines, without starting any."""

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tools.cluster import machines, network, on_machines
from tools.cluster.machine import Machine
from tools.cluster.machines import Machines
from tools.cluster.member import ClusterMember
from tools.cluster.network import MachineNetwork
from tools.services.command import say
from tools.services.errors import ServicesError, Unavailable
from tools.services.install import Installer
from tools.services.places import ROOT
from tools.services.service import Daemon
from tools.testing import machines as live
from tools.testing.machines import LiveMachines


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    monkeypatch.setattr(machines, "CLUSTERS", tmp_path)
    return Machines.new("three", 3, MachineNetwork(7))


def test_without_root_there_are_no_machines_and_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Unavailable, match="only root"):
        MachineNetwork.install(Installer(say))


def test_each_machine_has_all_services_and_all_roles(three: Machines) -> None:
    for number, machine in enumerate(three.machines(), 1):
        kinds = ("zookeeper", "kafka", "galera", "media", "group", "connector", "api")
        assert [one.name for one in machine.daemons] == [f"{kind}-{number}" for kind in kinds]
        assert {one.location.host for one in machine.daemons} == {f"198.18.7.{number}"}
        assert {one.location.namespace for one in machine.daemons} == {f"fshare7m{number}"}


def test_a_machine_whose_version_lacks_a_role_runs_the_others(three: Machines, tmp_path: Path) -> None:
    older = tmp_path / "older"
    (older / "fsharechat").mkdir(parents=True)
    for role in ("group", "connector", "api"):
        (older / "roles" / role).mkdir(parents=True)
    (three.folder).mkdir()
    three.run_from(older, three.machines()[:1])
    first, second, _ = three.machines()
    assert [one.name for one in first.members] == ["group-1", "connector-1", "api-1"]
    assert {one.tree for one in first.members} == {older}
    assert [one.name for one in second.members] == ["media-2", "group-2", "connector-2", "api-2"]


def test_another_source_tree_restarts_the_roles_and_leaves_the_services(
    three: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.folder.mkdir()
    done: list[str] = []
    monkeypatch.setattr(Daemon, "stop", lambda it, _: done.append(f"{it.name} stopped"))
    monkeypatch.setattr(
        Machines, "start", lambda _, machines, __: done.extend(f"{it.name} started" for it in machines)
    )
    restart = on_machines.COMMANDS["restart"]
    restart(three, Namespace(names=["machine-2", "machine-3"], tree=ROOT))
    roles = {f"{role} stopped" for role in ("media-2", "group-2", "connector-2", "api-2")}
    assert set(done[:4]) == roles
    assert done[4] == "machine-2 started"
    assert (len(done), done[-1]) == (10, "machine-3 started")
    done.clear()
    restart(three, Namespace(names=["machine-2"], tree=None))
    assert {"galera-2 stopped", "kafka-2 stopped", "zookeeper-2 stopped"} | roles < set(done)


def test_a_source_tree_is_for_whole_machines_and_is_looked_at_before_anything_stops(
    three: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(Daemon, "stop", lambda it, _: stopped.append(it.name))
    for command in ("start", "restart"):
        with pytest.raises(ServicesError, match="group-1 is a process; only whole machines can be"):
            on_machines.COMMANDS[command](three, Namespace(names=["machine-2", "group-1"], tree=ROOT))
        with pytest.raises(ServicesError, match="no source tree"):
            on_machines.COMMANDS[command](three, Namespace(names=["machine-2"], tree=tmp_path))
    assert stopped == []


def test_the_programs_are_installed_before_the_network_is_made(
    three: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []

    def require(_: Installer, packages: Sequence[str], present: Callable[[], bool]) -> None:
        assert not present()
        wanted.extend(packages)
        raise Unavailable("not now")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(network, "program", lambda _: None)
    monkeypatch.setattr(Installer, "require", require)
    with pytest.raises(Unavailable, match="not now"):
        on_machines.up(Namespace(count=3, set=three.name, network=7))
    assert {"nftables", "iproute2"} <= set(wanted)


async def test_machines_are_waited_for_without_a_command_for_each_look(
    three: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.folder.mkdir()
    three.save()
    looks = iter([("apart", "ready"), ("well", "starting"), ("well", "ready")])
    now = ["", ""]

    def look(it: Machine) -> str:
        if it.number == 1:
            now[:] = next(looks)
        return now[0]

    monkeypatch.setattr(Machine, "state", property(look))
    monkeypatch.setattr(Daemon, "state", property(lambda _: now[1]))
    monkeypatch.setattr(ClusterMember, "state", property(lambda _: now[1]))
    monkeypatch.setattr(LiveMachines, "run", None)
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    assert three.unwell() == ["machine-1: apart", "machine-2: apart", "machine-3: apart"]
    await LiveMachines(three.name).until_well()
    assert list(looks) == []


def test_names_are_those_of_machines_and_of_processes(three: Machines) -> None:
    whole, processes = three.parted(["machine-2", "kafka-3"])
    assert ([one.name for one in whole], [one.name for one in processes]) == (["machine-2"], ["kafka-3"])
    assert len(three.parted(["all"])[0]) == 3
    with pytest.raises(
        ServicesError, match="no 'machine-4'; it has machine-1, machine-2, machine-3, zookeeper-1"
    ):
        three.parted(["machine-4"])


def test_the_balancer_asks_each_machine_whether_it_is_ready(three: Machines) -> None:
    balancer = three.balancer
    balancer.folder.mkdir(parents=True)
    balancer.prepare(say)
    written = (balancer.folder / "haproxy.cfg").read_text()
    assert "bind 198.18.7.254:6789\n" in written
    for number in (1, 2, 3):
        assert f"server machine-{number} 198.18.7.{number}:6789 check port 9102\n" in written
        assert f"server machine-{number} 198.18.7.{number}:8081 check port 9103\n" in written
