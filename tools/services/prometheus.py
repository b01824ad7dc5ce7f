"""Prometheus, which reads the metrics of servers. `promtool` comes with it."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import ClassVar

from .install import Installer, program
from .service import HOST, OnePortDaemon, Say, Service

TARGETS = "targets.json"
"""The file in the folder of the daemon that says what to read: Prometheus' `file_sd_configs`. It is read again when
it changes.
"""
USER, PASSWORD = "prometheus", "a password for tests"
"""What it shows to the servers."""


class PrometheusDaemon(OnePortDaemon):
    def prepare(self, say: Say) -> None:
        self.data.mkdir(exist_ok=True)
        targets = self.folder / TARGETS
        if not targets.exists():
            targets.write_text("[]")
        # JSON is YAML.
        job = {
            "job_name": "fsharechat",
            "basic_auth": {"username": USER, "password": PASSWORD},
            "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
        }
        times = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (self.folder / "prometheus.yml").write_text(json.dumps({"global": times, "scrape_configs": [job]}))

    def command(self) -> list[str]:
        return [
            program("prometheus") or "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.data}",
            f"--web.listen-address={HOST}:{self._port}",
        ]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


class Prometheus(Service):
    name: ClassVar[str] = "prometheus"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        there = ("prometheus", "promtool")
        installer.require(["prometheus"], lambda: all(program(name) is not None for name in there))

    @property
    def daemons(self) -> Sequence[PrometheusDaemon]:
        return [PrometheusDaemon(self.name, self.folder / self.name, self.ports[0])]

    def variables(self) -> dict[str, str]:
        daemon = self.daemons[0]
        return {
            "PROMETHEUS_URL": f"http://{HOST}:{self.ports[0]}",
            "PROMETHEUS_TARGETS": str(daemon.folder / TARGETS),
            "PROMTOOL": program("promtool") or "promtool",
        }
