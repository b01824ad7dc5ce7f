"""The type of services: a name, ports, needed programs, and one process or several."""

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from . import process
from .errors import ServicesError
from .install import Installer, program
from .process import ProcessIdentity

HOST = "127.0.0.1"
JAVA_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
)
"""The properties with which slf4j-simple writes a usable log to standard error."""
SMALL_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For few cores: with this Kafka starts with half the CPU time, and needs no more when it is busy."""
_LOG_LINES = 15
_POLL = 0.1

Say = Callable[[str], None]


class Location(NamedTuple):
    """Where a daemon runs: the address it listens on, and its network namespace."""

    host: str = HOST
    namespace: str = ""
    """"" is the network of this machine."""

    def inside(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs `command` there. It becomes that program: its process id stays."""
        if not self.namespace:
            return list(command)
        return [program("nsenter") or "nsenter", f"--net=/run/netns/{self.namespace}", *command]


HERE = Location()


class Daemon(ABC):
    """One process of a service, with a folder of its own."""

    stop_seconds: ClassVar[float] = 30.0
    """How long it may take to stop, s. Then it is killed."""
    ready_seconds: ClassVar[float] = 180.0
    """How long it may take to start, s. Then that has failed."""

    def __init__(self, name: str, folder: Path, location: Location = HERE) -> None:
        self.name = name
        self.folder = folder
        self.location = location
        self.data = folder / "data"
        self.log = folder / "log"
        self._identity_file = folder / "process.json"

    @property
    @abstractmethod
    def ports(self) -> Mapping[str, int]:
        """Its TCP ports, by purpose. The first one is for clients."""

    @abstractmethod
    def prepare(self, say: Say) -> None:
        """Write its configuration and, the first time, make its data folder."""

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers like a client needs it. This takes a few seconds at most."""

    def environment(self) -> dict[str, str]:
        """Variables for the process, beside those of the script."""
        return {}

    @property
    def running(self) -> ProcessIdentity | None:
        identity = process.read_identity(self._identity_file)
        return identity if identity is not None and identity.alive else None

    @property
    def addresses(self) -> dict[str, str]:
        """Its addresses, by purpose."""
        return {purpose: f"{self.location.host}:{port}" for purpose, port in self.ports.items()}

    @property
    def state(self) -> str:
        """`ready`, `paused`, `not answering`, `died` or `stopped`."""
        identity = self.running
        if identity is not None and identity.paused:
            return "paused"
        if identity is not None:
            return "ready" if self.ready() else "not answering"
        return "died" if self._identity_file.exists() else "stopped"

    def launch(self, say: Say) -> None:
        """Start it if it does not run. It may not be ready yet."""
        if self.running:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for purpose, port in self.ports.items():
            if not self.location.namespace and not port_is_free(port, self.location.host):
                raise ServicesError(
                    f"{self.name}: another program listens on port {port}, which is for {purpose}"
                )
        self.prepare(say)
        say(f"{self.name}: starting on port {next(iter(self.ports.values()))}")
        identity = process.launch(
            self.location.inside(self.command()),
            environment=self.environment(),
            folder=self.folder,
            log=self.log,
        )
        process.write_identity(self._identity_file, identity)

    def start(self, say: Say, cancelled: threading.Event) -> None:
        """Start it, or let it go on, and wait until it is ready."""
        begun = time.monotonic()
        new = self.running is None
        self.launch(say)
        self.resume(say)
        self.wait(self.ready_seconds, cancelled)
        if new:
            say(f"{self.name}: ready after {time.monotonic() - begun:.1f} s")

    def wait(self, seconds: float, cancelled: threading.Event) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if self.running is None:
                raise ServicesError(f"{self.name} ended while it started; {self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServicesError(f"{self.name} was not ready after {seconds:g} s; {self.log_tail()}")
            if cancelled.wait(_POLL):
                raise ServicesError(f"{self.name}: interrupted")

    def stop(self, say: Say) -> None:
        self.resume()
        if identity := self.running:
            say(f"{self.name}: stopping")
            if not process.terminate(identity, self.stop_seconds):
                say(f"{self.name}: did not stop in {self.stop_seconds:g} s, killed")
        self._identity_file.unlink(missing_ok=True)

    def kill(self, say: Say) -> None:
        if identity := self.running:
            say(f"{self.name}: killing")
            process.kill(identity)
        self._identity_file.unlink(missing_ok=True)

    def pause(self, say: Say) -> None:
        """Stop it where it is, by SIGSTOP."""
        identity = self.running
        if identity is None:
            raise ServicesError(f"{self.name} does not run")
        say(f"{self.name}: paused")
        process.pause(identity)

    def resume(self, say: Say | None = None) -> None:
        """Let it go on, if it is paused."""
        identity = self.running
        if identity is not None and identity.paused:
            if say is not None:
                say(f"{self.name}: goes on")
            process.resume(identity)

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "it has no log"
        last = "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
        return f"the last lines of {self.log}:\n{last}"


class OnePortDaemon(Daemon):
    """A daemon that has one port, for clients."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        super().__init__(name, folder)
        self._port = port

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}


class Service(ABC):
    """A kind of service. An instance is that service in one set."""

    name: ClassVar[str]
    port_count: ClassVar[int]

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        """Take the folder of the set, and `port_count` ports."""
        self.folder = folder
        self.ports = ports

    @abstractmethod
    def install(self, installer: Installer) -> None:
        """Install the missing programs that it needs."""

    @property
    @abstractmethod
    def daemons(self) -> Sequence[Daemon]: ...

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """Environment variables that lead a client to it: keys of settings.toml, if there are any."""

    def start(self, say: Say, cancelled: threading.Event, wanted: Collection[str] = ()) -> None:
        """Start the processes that do not run, or only those `wanted`, and wait until they are ready."""
        for daemon in self.daemons:
            if wanted and daemon.name not in wanted:
                continue
            daemon.start(say, cancelled)

    def stop(self, say: Say) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop(say)


def free_port() -> int:
    """Return a port of this machine that nobody listens on at this moment."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def port_is_free(port: int, host: str = HOST) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
