"""Several connector processes of one machine behind one port (docs/decisions/workers.md).

The main process runs the other roles, and starts the workers. Each worker is a process with the connector role. All
workers listen on the same ports, and the kernel gives each connection to one of them.
"""

from typing import NamedTuple

import orjson

from fsharechat.link import FrameLink
from fsharechat.settings_schema import Settings

_SECTIONS = {"node", "connector", "limits", "metrics", "log"}
"""What a worker needs of the settings. The rest, with its passwords, stays in the main process."""


class WorkerPlace(NamedTuple):
    """What a worker knows of the main process: the link to it, and the address of its group role for the rpc."""

    link: FrameLink
    group: str


class Plan(NamedTuple):
    """What the main process tells a worker, which reads nothing else: no files of settings, no variables."""

    settings: Settings
    group: str
    """The address of the group role."""

    def encode(self) -> bytes:
        values = self.settings.model_dump(mode="json", include=_SECTIONS)
        values["rpc"] = {"timeout_seconds": self.settings.rpc.timeout_seconds}
        return orjson.dumps({"settings": values, "group": self.group})

    @classmethod
    def decode(cls, data: bytes) -> "Plan":
        """Raises ValueError."""
        values = orjson.loads(data)
        return cls(Settings.model_validate(values["settings"]), values["group"])


def settings_of_worker(settings: Settings, number: int, tcp_port: int, ws_port: int) -> Settings:
    """Return the settings of a worker: its number is its node id."""
    metrics = settings.metrics
    if isinstance(metrics.port, int) and metrics.port:
        metrics = metrics.model_copy(update={"port": metrics.port + 1 + number})
    return settings.model_copy(
        update={
            "node": settings.node.model_copy(update={"roles": ("connector",), "id": number, "workers": 0}),
            "connector": settings.connector.model_copy(update={"tcp_port": tcp_port, "ws_port": ws_port}),
            "metrics": metrics,
        }
    )
