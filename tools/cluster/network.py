"""A network of several machines on this one: namespaces on a bridge, whose cables can be pulled. It needs root."""

import os
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

from tools.services.errors import ServicesError, Unavailable
from tools.services.install import Installer, program
from tools.services.places import ROOT
from tools.services.service import Location

_NAMESPACES = Path("/run/netns")
_INTERFACES = Path("/sys/class/net")
_PACKAGES = ("iproute2", "nftables", "util-linux")
_PROGRAMS = ("ip", "nft", "nsenter")
_NETWORKS = 256
_FRONT = 254
"""The last part of the address of this machine."""
_CUT = """\
table inet cut {{
    chain input {{ type filter hook input priority 0; ip saddr {{ {hosts} }} drop; }}
    chain output {{ type filter hook output priority 0; ip daddr {{ {hosts} }} drop; }}
}}
"""


class MachineNetwork:
    """The network 198.18.NUMBER.0/24. This range is kept free for tests of networks (RFC 2544).

    Machine 1 is 198.18.NUMBER.1. This machine is 198.18.NUMBER.254, and stands for the outside.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._bridge = f"fshare{number}br"

    @property
    def front(self) -> Location:
        """The address of this machine in the network."""
        return Location(f"198.18.{self.number}.{_FRONT}")

    def machine(self, number: int) -> Location:
        return Location(f"198.18.{self.number}.{number}", f"fshare{self.number}m{number}")

    @property
    def taken(self) -> bool:
        return (_INTERFACES / self._bridge).exists()

    @staticmethod
    def install(installer: Installer) -> None:
        """Install the programs that make it. Raises Unavailable if they cannot be had, or this is not root."""
        if os.geteuid() != 0:
            raise Unavailable("machines are network namespaces, which only root can make: run it as root")
        installer.require(_PACKAGES, lambda: None not in [program(name) for name in _PROGRAMS])

    def open(self, machines: int) -> None:
        """Make what is missing of it. Raises Unavailable if this machine allows no namespaces."""
        try:
            if not self.taken:
                _run("ip", "link", "add", self._bridge, "type", "bridge")
                _run("ip", "addr", "add", f"{self.front.host}/24", "dev", self._bridge)
                _run("ip", "link", "set", self._bridge, "up")
            for number in range(1, machines + 1):
                self._open_machine(number)
        except ServicesError as error:
            self.close()
            raise Unavailable(f"network namespaces cannot be made here: {error}") from error

    def _open_machine(self, number: int) -> None:
        location = self.machine(number)
        if (_NAMESPACES / location.namespace).exists():
            return
        _run("ip", "netns", "add", location.namespace)
        card = ("peer", "name", "eth0", "netns", location.namespace)
        _run("ip", "link", "add", self._cable(number), "type", "veth", *card)
        _run("ip", "link", "set", self._cable(number), "master", self._bridge, "up")
        inside = ("ip", "-n", location.namespace)
        _run(*inside, "addr", "add", f"{location.host}/24", "dev", "eth0")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "link", "set", "lo", "up")

    def close(self) -> None:
        """Remove all of it that is there."""
        for path in _NAMESPACES.glob(f"fshare{self.number}m*"):
            _run("ip", "netns", "del", path.name)
        # A namespace, and its cable, stay until its last connection is closed.
        for path in _INTERFACES.glob(f"fshare{self.number}m*"):
            _run("ip", "link", "del", path.name)
        if self.taken:
            _run("ip", "link", "del", self._bridge)

    def pull(self, number: int) -> None:
        """Pull the cable of a machine: no packet reaches it or leaves it."""
        _run("ip", "link", "set", self._cable(number), "down")

    def separate(self, number: int, hosts: Sequence[str]) -> None:
        """Drop every packet between a machine and these hosts. The others still reach it."""
        self._filter(number, _CUT.format(hosts=", ".join(hosts)))

    def plug(self, number: int) -> None:
        """Undo `pull` and `separate`."""
        self._filter(number, "add table inet cut\ndelete table inet cut\n")
        _run("ip", "link", "set", self._cable(number), "up")

    def is_cut(self, number: int) -> bool:
        state = (_INTERFACES / self._cable(number) / "operstate").read_text().strip()
        tables = _run(*self.machine(number).inside([program("nft") or "nft", "list", "tables"]))
        return state != "up" or "inet cut" in tables

    def _filter(self, number: int, rules: str) -> None:
        _run(*self.machine(number).inside([program("nft") or "nft", "-f", "-"]), given=rules)

    def _cable(self, number: int) -> str:
        return f"fshare{self.number}m{number}"


def free_network(name: str) -> MachineNetwork:
    """Return a network that does not exist yet. Each checkout begins its search at another number."""
    start = zlib.crc32(f"{ROOT}\0{name}".encode())
    for step in range(_NETWORKS):
        network = MachineNetwork((start + step) % _NETWORKS)
        if not network.taken:
            return network
    raise ServicesError(f"all {_NETWORKS} networks are taken")


def _run(*command: str, given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServicesError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
