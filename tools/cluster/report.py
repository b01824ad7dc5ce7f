"""The output of `scripts/cluster`."""

import shlex
from collections.abc import Sequence
from typing import Any

from tools.services.service import Daemon

from .cluster import Cluster
from .member import ClusterMember


def table(members: Sequence[Daemon]) -> str:
    rows = [("name", "state", "pid", "memory", "up", "addresses")]
    for member in members:
        identity = member.running
        where = "  ".join(f"{purpose} {address}" for purpose, address in member.addresses.items())
        if identity is None:
            rows.append((member.name, member.state, "-", "-", "-", where))
        else:
            memory, up = f"{identity.memory / 2**20:.0f} MB", f"{identity.seconds:.0f} s"
            rows.append((member.name, member.state, str(identity.pid), memory, up, where))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def guide(cluster: Cluster, members: list[ClusterMember]) -> str:
    """How to log in and chat through two connectors and two api processes, if there are two."""
    http = _addresses(members, "http")
    tcp, ws = _addresses(members, "tcp"), _addresses(members, "ws")
    code = cluster.environment.get("FSHARECHAT_CODES__SUPER_CODE") or ("66666" if cluster.dev else "")
    login = f" --code {code}" if code else ""
    commands = [
        f".venv/bin/fsharechat chat --number 13800000001{login} --http {http[0]} --tcp {tcp[0]}",
        f".venv/bin/fsharechat chat --number 13800000002{login} --http {http[-1]} --ws {ws[-1]}",
    ]
    hint = ""
    if not code:
        hint = f"Login codes are in the log of a group process: scripts/cluster logs group --set {cluster.name}\n"
    return (
        f"To chat, in two terminals:\n\n    {commands[0]}\n    {commands[1]}\n\n{hint}"
        "In the second, /add 13800000001; in the first, /accept; then type a text in either.\n"
        f"Its settings: {shlex.quote(str(cluster.settings))}\n"
        f"Stop it with scripts/cluster down --set {cluster.name}"
    )


def as_json(cluster: Cluster) -> dict[str, Any]:
    members = cluster.members()
    return {
        "set": cluster.name,
        "settings": str(cluster.settings),
        "variables": variables(cluster),
        "tcp": _addresses(members, "tcp"),
        "ws": _addresses(members, "ws"),
        "http": _addresses(members, "http"),
        "members": {member.name: describe(member) for member in members},
    }


def variables(cluster: Cluster) -> dict[str, str]:
    """The settings with which one more process joins the cluster."""
    return {
        **cluster.environment,
        **cluster.services(),
        "FSHARECHAT_NODE__CLUSTER_SECRET": cluster.secret,
    }


def shell(cluster: Cluster) -> str:
    members = cluster.members()
    lines = {f"CLUSTER_{kind.upper()}": " ".join(_addresses(members, kind)) for kind in ("tcp", "ws", "http")}
    return "\n".join(
        f"export {key}={shlex.quote(value)}" for key, value in (lines | variables(cluster)).items()
    )


def _addresses(members: list[ClusterMember], purpose: str) -> list[str]:
    return [member.addresses[purpose] for member in members if purpose in member.ports]


def describe(member: ClusterMember) -> dict[str, Any]:
    identity = member.running
    return {
        "role": member.role,
        "state": member.state,
        "pid": identity.pid if identity else None,
        "addresses": member.addresses,
        "log": str(member.log),
        "tree": str(member.tree),
    }
