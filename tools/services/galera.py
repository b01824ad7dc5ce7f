"""A Galera cluster: three MariaDB servers with the same data. Each takes writes."""

import os
import re
import shlex
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from .errors import ServicesError, Unavailable
from .install import Installer, program, run
from .mariadb import MariaDbDaemon, has_mariadb, url
from .service import HERE, HOST, Location, Say, Service

_NODES = 3
_PORTS_EACH = 4
_PROVIDERS = (
    "/usr/lib/galera/*.so",
    "/usr/lib/galera-4/*.so",
    "/usr/lib*/*/galera*/*.so",
    "/usr/lib64/galera*/*.so",
)
_READY_SECONDS = 180.0
_RECOVER_SECONDS = 120
_SYNCED = "4"
_ROOT_METHOD = "rsync_as_root"


class GaleraDaemon(MariaDbDaemon):
    """One server of the cluster."""

    stop_seconds: ClassVar[float] = 60.0

    def __init__(
        self,
        name: str,
        folder: Path,
        ports: Sequence[int],
        cluster: Sequence[str],
        location: Location = HERE,
    ) -> None:
        """`cluster` are the addresses at which the servers talk to each other, with this one's: host:port."""
        super().__init__(name, folder, ports[0], location)
        _, self._group, self._incremental, self._snapshot = ports
        self._cluster = cluster
        self._programs = folder / "bin"
        self.bootstrap = False
        """Whether it starts a new cluster instead of joining the others."""
        self._from = ""
        """The position of its data, "id:transaction", if it was killed."""

    @property
    def ports(self) -> Mapping[str, int]:
        return {
            "clients": self.port,
            "the cluster": self._group,
            "incremental transfers": self._incremental,
            "snapshots": self._snapshot,
        }

    def environment(self) -> dict[str, str]:
        # The server itself puts the system's programs first.
        return {"PATH": f"{os.environ.get('PATH', os.defpath)}:{self._programs}"}

    def prepare(self, say: Say) -> None:
        super().prepare(say)
        if _is_root():
            self._write_transfer()
        if self.bootstrap:
            # It has the last state, so it may start without waiting for the others.
            (self.data / "gvwstate.dat").unlink(missing_ok=True)
            state = self.data / "grastate.dat"
            if state.exists():
                state.write_text(re.sub(r"(safe_to_bootstrap:) \d", r"\1 1", state.read_text()))
        elif self._was_killed():
            # With its position it gets what it missed. Without one it would get everything, and the server that gives
            # it takes no writes meanwhile.
            self._from = self._recovered()

    def _write_transfer(self) -> None:
        # A server that joins receives the data by an rsync daemon, which Debian's script starts. Run by root, it
        # would write as the user nobody, who may not do so here, and the script has no setting for that. So root
        # has a method of its own: the same script, with an rsync that stays root.
        self._programs.mkdir(exist_ok=True)
        rsync, method = program("rsync"), program("wsrep_sst_rsync")
        for name, lines in {
            "rsync": f"""\
[ "${{1:-}}" = --daemon ] || exec {rsync} "$@"
shift
exec {rsync} --daemon --dparam=uid=0 --dparam=gid=0 "$@"
""",
            f"wsrep_sst_{_ROOT_METHOD}": f"""\
PATH={shlex.quote(str(self._programs))}:$PATH
export PATH
exec {method} "$@"
""",
        }.items():
            script = self._programs / name
            script.write_text(f"#!/bin/sh\n{lines}")
            script.chmod(0o755)

    def command(self) -> list[str]:
        host = self.location.host
        options = (
            f"base_port={self._group}",
            f"gmcast.listen_addr=tcp://{host}:{self._group}",
            f"ist.recv_addr={host}:{self._incremental}",
            "gcache.size=32M",
        )
        return [
            *super().command(),
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--wsrep-on=ON",
            f"--wsrep-provider={_provider()}",
            f"--wsrep-provider-options={';'.join(options)}",
            "--wsrep-cluster-name=fsharechat",
            f"--wsrep-cluster-address=gcomm://{','.join(self._cluster)}",
            f"--wsrep-node-name={self.name}",
            f"--wsrep-node-address={host}:{self._group}",
            f"--wsrep-sst-method={_ROOT_METHOD if _is_root() else 'rsync'}",
            f"--wsrep-sst-receive-address={host}:{self._snapshot}",
            *(["--wsrep-new-cluster"] if self.bootstrap else []),
            *([f"--wsrep-start-position={self._from}"] if self._from else []),
        ]

    def ready(self) -> bool:
        names = "'wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state'"
        rows = self.query(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
        found = {str(name): value for name, value in rows or ()}
        wanted = {"wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_local_state": _SYNCED}
        return found == wanted

    def position(self) -> tuple[bool, int]:
        """The position of its data: whether it was the last to stop in order, and its last transaction."""
        state = self._state()
        last = re.search(r"safe_to_bootstrap: 1", state) is not None
        seqno = self._recovered().rpartition(":")[2] if self._was_killed() else _seqno(state)
        return last, int(seqno or -1)

    def _was_killed(self) -> bool:
        state = self._state()
        return bool(state) and int(_seqno(state)) < 0

    def _recovered(self) -> str:
        """The position as the database itself knows it, "" if it has none."""
        output = run([*self.command(), "--wsrep-recover"], seconds=_RECOVER_SECONDS)
        found = re.search(r"Recovered position: +([0-9a-f-]+:\d+)", output)
        return found[1] if found else ""

    def _state(self) -> str:
        path = self.data / "grastate.dat"
        return path.read_text() if path.exists() else ""


def _seqno(state: str) -> str:
    found = re.search(r"seqno: +(-?\d+)", state)
    return found[1] if found else "-1"


class Galera(Service):
    name: ClassVar[str] = "galera"
    port_count: ClassVar[int] = _NODES * _PORTS_EACH

    def install(self, installer: Installer) -> None:
        packages = ["mariadb-server", "galera-4", "rsync"]
        installer.require(
            packages,
            lambda: (
                has_mariadb()
                and program("wsrep_sst_rsync") is not None
                and program("rsync") is not None
                and _find_provider() is not None
            ),
        )

    @property
    def daemons(self) -> Sequence[GaleraDaemon]:
        ports = [self.ports[node * _PORTS_EACH : (node + 1) * _PORTS_EACH] for node in range(_NODES)]
        cluster = [f"{HOST}:{group}" for _, group, _, _ in ports]
        names = [f"{self.name}.{node + 1}" for node in range(_NODES)]
        return [
            GaleraDaemon(name, self.folder / name, own, cluster)
            for name, own in zip(names, ports, strict=True)
        ]

    def variables(self) -> dict[str, str]:
        return {"FSHARECHAT_STORE__URL": url([f"{HOST}:{daemon.port}" for daemon in self.daemons])}

    def start(self, say: Say, cancelled: threading.Event, wanted: Collection[str] = ()) -> None:
        """Start the cluster with the server that has the last state, then the others, which join it."""
        start_cluster(self.daemons, say, cancelled, wanted)


def start_cluster(
    daemons: Sequence[GaleraDaemon],
    say: Say,
    cancelled: threading.Event,
    wanted: Collection[str] = (),
) -> None:
    """Start the servers of a cluster, or only those `wanted`: first the one that has the last state."""
    new = [daemon for daemon in daemons if daemon.running is None]
    if len(new) == len(daemons):
        first = max(new, key=lambda daemon: daemon.position())
        if wanted and first.name not in wanted:
            raise ServicesError(f"no server of the cluster runs; {first.name} has the last state: start it")
        first.bootstrap = True
        _launch([first], say, cancelled)
        new.remove(first)
    _launch([daemon for daemon in new if not wanted or daemon.name in wanted], say, cancelled)
    if not wanted:
        for daemon in daemons:
            daemon.wait(_READY_SECONDS, cancelled)


def _launch(daemons: Sequence[GaleraDaemon], say: Say, cancelled: threading.Event) -> None:
    # Start all before waiting for one: after a crash it may need several for a majority.
    started = time.monotonic()
    for daemon in daemons:
        daemon.launch(say)
    for daemon in daemons:
        daemon.wait(_READY_SECONDS, cancelled)
        say(f"{daemon.name}: ready after {time.monotonic() - started:.1f} s")


def _is_root() -> bool:
    return os.geteuid() == 0


def _find_provider() -> str | None:
    for pattern in _PROVIDERS:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            if path.name == "libgalera_smm.so":
                return str(path)
    return None


def _provider() -> str:
    provider = _find_provider()
    if provider is None:
        raise Unavailable("libgalera_smm.so was not found; it is of the package galera-4")
    return provider
