"""The layout of several machines, without starting any."""

import os
from pathlib import Path

import pytest

from tools.cluster import machines
from tools.cluster.machines import Machines
from tools.cluster.network import MachineNetwork
from tools.services.command import say
from tools.services.errors import ServicesError, Unavailable
from tools.services.install import Installer


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
