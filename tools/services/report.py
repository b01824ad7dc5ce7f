"""The output of `scripts/services status`."""

from collections.abc import Mapping, Sequence

from .service import Daemon, Service


def table(states: Mapping[Daemon, str]) -> str:
    rows = [("name", "state", "pid", "port", "memory", "up")]
    for daemon, state in states.items():
        identity = daemon.running
        port = str(next(iter(daemon.ports.values())))
        if identity is None:
            rows.append((daemon.name, state, "-", port, "-", "-"))
        else:
            memory = f"{identity.memory / 2**20:.0f} MB"
            rows.append((daemon.name, state, str(identity.pid), port, memory, f"{identity.seconds:.0f} s"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_json(services: Sequence[Service], states: Mapping[Daemon, str]) -> dict[str, object]:
    by_name = {daemon.name: state for daemon, state in states.items()}
    return {
        service.name: {
            "environment": service.variables(),
            "processes": [_process(daemon, by_name[daemon.name]) for daemon in service.daemons],
        }
        for service in services
    }


def _process(daemon: Daemon, state: str) -> dict[str, object]:
    identity = daemon.running
    return {
        "name": daemon.name,
        "state": state,
        "pid": identity.pid if identity else None,
        "ports": dict(daemon.ports),
        "log": str(daemon.log),
    }
