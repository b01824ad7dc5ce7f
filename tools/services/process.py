"""Detached processes. A file identifies each, so that it can be found again."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

_POLL = 0.05


@dataclass(frozen=True)
class Identity:
    """A process id and the start of that process: another process may have the id by now."""

    pid: int
    started: int
    """Clock ticks after the machine's start."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of a running process, None if there is none, or only its exit code is left."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        # The first thread of a killed JVM may be dead while others still hold its ports.
        is_dead = fields[0] in "ZX" and int(fields[17]) <= 1
        return None if is_dead else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    @property
    def paused(self) -> bool:
        """Whether it is stopped by SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] == "T"

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - self.started / os.sysconf("SC_CLK_TCK"))

    @property
    def memory(self) -> int:
        """Resident memory, bytes; 0 if the process is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def launch(command: list[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Identity:
    """Start `command` in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    identity = Identity.of(process.pid)
    # If it ends before the script, its exit code is collected. The script does not wait for that.
    threading.Thread(target=process.wait, daemon=True).start()
    # The start distinguishes a process that is gone from a running one with the same id.
    return identity or Identity(process.pid, -1)


def write_identity(path: Path, identity: Identity) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(identity)))
    temporary.replace(path)


def read_identity(path: Path) -> Identity | None:
    """The identity from `write_identity`, None if there is none."""
    try:
        value = json.loads(path.read_text())
        return Identity(int(value["pid"]), int(value["started"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def terminate(identity: Identity, seconds: float) -> bool:
    """End a process by SIGTERM. False if it had to be killed after `seconds`."""
    _send(identity, signal.SIGTERM)
    if _gone(identity, seconds):
        return True
    kill(identity)
    return False


def kill(identity: Identity) -> None:
    """End a process, and the children in its session, by SIGKILL."""
    if identity.alive:
        try:
            os.killpg(identity.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        _gone(identity, 10)


def pause(identity: Identity) -> None:
    """Stop a process where it is, by SIGSTOP."""
    _send(identity, signal.SIGSTOP)


def resume(identity: Identity) -> None:
    """Let a paused process go on."""
    _send(identity, signal.SIGCONT)


def _send(identity: Identity, number: signal.Signals) -> None:
    if identity.alive:
        try:
            os.kill(identity.pid, number)
        except ProcessLookupError:
            return


def _gone(identity: Identity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
