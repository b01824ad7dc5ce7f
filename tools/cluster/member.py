"""One process of the cluster."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tools.services.places import ROOT
from tools.services.service import HERE, Daemon, Location, Say

PORTS = {
    "media": ("udp", "rpc", "metrics"),
    "group": ("rpc", "metrics"),
    "connector": ("tcp", "ws", "metrics"),
    "api": ("http", "metrics"),
}
"""The ports of each role."""

_KEYS = {
    "tcp": "CONNECTOR__TCP_PORT",
    "ws": "CONNECTOR__WS_PORT",
    "rpc": "RPC__PORT",
    "http": "API__PORT",
    "udp": "MEDIA__LISTEN",
    "metrics": "METRICS__PORT",
}
_VALUES = {"udp": "{host}:{port}"}
"""The forms of settings that are more than the port."""
_HOSTS = tuple(f"FSHARECHAT_{section}__HOST" for section in ("CONNECTOR", "API", "RPC", "METRICS"))
"""The settings that name the host of a process on another machine."""
_FORMS = {"ws": "ws://{}/", "http": "http://{}", "metrics": "http://{}/metrics"}
_READY = re.compile(rb"^ready roles=", re.MULTILINE)


class Launch(NamedTuple):
    """The parameters with which all processes of a cluster are started."""

    settings: Path
    dev: bool
    fixed_ids: bool
    environment: Mapping[str, str]
    """FSHARECHAT_ variables beside those of the ports."""
    kurento: str = ""
    """The Kurento that media processes use, if any."""
    tree: Path = ROOT
    """The source tree that it runs. The libraries are those of the tree's own .venv, or else of this one."""


class ClusterMember(Daemon):
    """A process with one role. Its standard output goes to its log too, with the line `ready`."""

    stop_seconds: ClassVar[float] = 60.0
    ready_seconds: ClassVar[float] = 120.0

    def __init__(
        self,
        name: str,
        folder: Path,
        ports: Mapping[str, int],
        launch: Launch,
        location: Location = HERE,
    ) -> None:
        super().__init__(name, folder, location)
        self.role, _, number = name.rpartition("-")
        self.number = int(number)
        self._ports = ports
        self._launch = launch
        self._run_file = folder / "run.json"

    @property
    def ports(self) -> Mapping[str, int]:
        return self._ports

    @property
    def tree(self) -> Path:
        return self._launch.tree

    @property
    def addresses(self) -> dict[str, str]:
        """Its addresses, by purpose: host:port, or a url."""
        return {
            purpose: _FORMS.get(purpose, "{}").format(f"{self.location.host}:{port}")
            for purpose, port in self._ports.items()
        }

    @property
    def state(self) -> str:
        state = super().state
        return "starting" if state == "not answering" else state

    def prepare(self, say: Say) -> None:
        size = self.log.stat().st_size if self.log.exists() else 0
        self._run_file.touch(mode=0o600)
        self._run_file.write_text(json.dumps({"log": size, "given": self._given()}))

    @property
    def outdated(self) -> bool:
        """Whether its settings differ from those of a new start."""
        return self.running is not None and self._run().get("given") != self._given()

    def _given(self) -> list[Any]:
        return [self.command(), self.environment(), self._launch.settings.read_text()]

    def _run(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._run_file.read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def command(self) -> list[str]:
        own = self.tree / ".venv" / "bin" / "python"
        python = str(own) if self.tree != ROOT and own.exists() else sys.executable
        command = [python, "-P", "-m", "fsharechat"]
        command += ["--roles", self.role]
        command += ["--settings", str(self._launch.settings), "--data", str(self.data)]
        return [*command, "--dev"] if self._launch.dev else command

    def environment(self) -> dict[str, str]:
        variables = {"PYTHONPATH": str(self._launch.tree), **self._launch.environment}
        for purpose, port in self._ports.items():
            variables[f"FSHARECHAT_{_KEYS[purpose]}"] = _VALUES.get(purpose, "{port}").format(
                host=self.location.host, port=port
            )
        if self.location.namespace:
            variables |= dict.fromkeys(_HOSTS, self.location.host)
        if self._launch.kurento and self.role == "media":
            variables["FSHARECHAT_MEDIA__BACKEND"] = "kurento"
            variables["FSHARECHAT_MEDIA__KURENTO"] = self._launch.kurento
        if self._launch.fixed_ids and self.role != "api":
            variables["FSHARECHAT_NODE__ID"] = str(self.number)
        return variables

    def ready(self) -> bool:
        """Whether it has printed `ready` since its last start."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._run()["log"])
                return _READY.search(log.read()) is not None
        except (FileNotFoundError, KeyError):
            return False
