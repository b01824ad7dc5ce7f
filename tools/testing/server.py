"""A server process for tests: started on a data folder, stopped, killed, and started again on the same ports."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

from fsharechat.client import send_code

SUPER_CODE = "66666"
BOUND = 60.0
"""After so many seconds something counts as never coming: far more than a busy machine needs."""

_READY = re.compile(r"^ready roles=\S+ (.+)$", re.MULTILINE)
_PORTS = {"tcp": "CONNECTOR__TCP_PORT", "ws": "CONNECTOR__WS_PORT", "http": "API__PORT"}
"""The settings for the port of each address."""
_NO_LIMITS = {"LIMITS__REQUESTS": "0"}
_FOR_MACHINES = {"LOG__FORMAT": "json"}


class Where(TypedDict, total=False):
    """The address arguments for a `Client`: one of the two."""

    tcp: Sequence[str]
    ws: Sequence[str]


class ServerAddresses(NamedTuple):
    """The addresses of a server or a cluster for clients: host:port, a ws:// address and an http:// one.

    The first two may be several, with commas between them: a client that loses one goes to the next.
    """

    tcp: str
    ws: str
    http: str

    def of(self, transport: str) -> Where:
        """Return the arguments for `Client`, for "tcp" or "ws"."""
        return {"tcp": Where(tcp=self.tcp.split(",")), "ws": Where(ws=self.ws.split(","))}[transport]


async def until(
    condition: Callable[[], object],
    what: str | Callable[[], str] = "the condition never held",
    within: float = BOUND,
) -> None:
    """Wait until `condition` holds. If it does not, fail and name what did not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"after {within:g} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(0.01)


def run_command(
    data: Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
    command: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str, str]:
    """Run `fsharechat` to its end and return its exit code, output and errors.

    `command` is one that has flags of its own, and comes before all of them. `environment` are other variables.
    """
    done = subprocess.run(
        _command(data, *arguments, command=command),
        env={**_environment(settings or {}), **(environment or {})},
        cwd=data.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class Server:
    """`fsharechat --dev` on the folder `data`, on free ports, which it keeps when it is started again.

    `settings` are more settings, as variables without their prefix: {"STORE__MAX_QUEUE": "5"}. None takes away a
    default of this class, for an older version that does not know the key. There is no rate limit unless they set
    one. With them it may also be one process of a cluster, without the api role: then `http` is where that is.
    `environment` are other variables for the process.
    """

    def __init__(
        self,
        data: Path,
        settings: Mapping[str, str | None] | None = None,
        http: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self._environment = environment or {}
        self.addresses: dict[str, str] = {}
        """The addresses that it printed, by purpose."""
        self._http = http
        wanted: dict[str, str | None] = {
            **dict.fromkeys(_PORTS.values(), "0"),
            "MEDIA__LISTEN": "127.0.0.1:0",
            **_NO_LIMITS,
            **_FOR_MACHINES,
            **(settings or {}),
        }
        self._settings = {key: value for key, value in wanted.items() if value is not None}
        self._output = data.with_name(data.name + ".out")
        self._errors = data.with_name(data.name + ".err")
        self._process: subprocess.Popen[bytes] | None = None
        self._kept: list[socket.socket] = []
        weakref.finalize(self, _close, self._kept)  # a test may end without `put_away`

    @property
    def at(self) -> ServerAddresses:
        """Its addresses, even while it is down."""
        assert self.addresses, "the server was never started"
        return ServerAddresses(
            self.addresses["tcp"], self.addresses["ws"], self.addresses.get("http", self._http)
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def errors(self) -> str:
        """Its log, and everything else on standard error, since its first start."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log with an event."""
        lines = (json.loads(line) for line in self.errors.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    @property
    def output(self) -> str:
        """Its standard output since its last start."""
        return self._output.read_text()

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._keep_ports()
        process = self._process = self._spawn()
        try:
            await until(
                lambda: self._ready() or process.poll() is not None, lambda: f"not ready\n{self._tail()}"
            )
            assert self._ready(), f"the server ended with exit code {process.poll()}\n{self._tail()}"
        except BaseException:
            self.put_away()
            raise

    async def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to stop. It must end with exit code 0, and must have logged no fault."""
        process = self._running()
        process.send_signal(by)
        await until(lambda: process.poll() is not None, lambda: f"it runs on after {by.name}\n{self._tail()}")
        self._process = None
        assert process.returncode == 0, f"exit code {process.returncode} after {by.name}\n{self._tail()}"
        assert "Traceback" not in self.errors, self._tail()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running().send_signal(number)

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        process = self._running()
        process.kill()
        await until(lambda: process.poll() is not None, "it runs on after SIGKILL")
        self._process = None

    async def code_for(self, number: str) -> str:
        """Ask for a login code like a user, and take it from the log."""
        await send_code(self.at.http, number)
        codes: list[str] = []

        def found() -> bool:
            codes[:] = [one["code"] for one in self.logged("login code") if one["number"] == number]
            return bool(codes)

        await until(found, f"no code for {number} in the log")
        return codes[-1]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Stop it properly after a successful test."""
        try:
            if self._process is not None and kind is None:
                await self.stop()
        finally:
            self.put_away()

    def put_away(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        _close(self._kept)

    def _keep_ports(self) -> None:
        """Choose free ports, and keep them from other programs while the server is down.

        A socket that only has the port refuses connections, and lets a server listen there that reuses addresses.
        """
        for key in _PORTS.values():
            if self._settings.get(key) == "0":
                kept = socket.socket()
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                kept.bind(("127.0.0.1", 0))
                self._kept.append(kept)
                self._settings[key] = str(kept.getsockname()[1])

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._output.open("wb") as output, self._errors.open("ab") as errors:
            return subprocess.Popen(
                _command(self.data, "--dev"),
                env={**_environment(self._settings), **self._environment},
                cwd=self.data.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        assert process is not None, "the server is not running"
        assert process.poll() is None, (
            f"the server ended by itself, exit code {process.returncode}\n{self._tail()}"
        )
        return process

    def _ready(self) -> bool:
        found = _READY.search(self.output)
        if found is None:
            return False
        self.addresses = dict(part.split("=", 1) for part in found[1].split())
        return True

    def _tail(self) -> str:
        return "\n".join(self.errors.splitlines()[-40:])


def _close(sockets: list[socket.socket]) -> None:
    while sockets:
        sockets.pop().close()


def _command(data: Path, *arguments: str, command: str = "") -> list[str]:
    program = [sys.executable, "-P", "-m", "fsharechat", *([command] if command else [])]
    return [*program, "--data", str(data), *arguments]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("FSHARECHAT_")}
    return ours | {f"FSHARECHAT_{key}": value for key, value in settings.items()}
