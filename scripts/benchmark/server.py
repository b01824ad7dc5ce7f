"""The server under test: a process of its own, started on an empty data folder, read through /proc."""

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path

from .link import BenchError

_READY = re.compile(r"^ready roles=\S+ tcp=(\S+):(\d+) ws=ws://(\S+?):(\d+)/? http=(\S+)$", re.MULTILINE)
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LOG_LINES = 20
_TICKS = os.sysconf("SC_CLK_TCK")
_SETTINGS = {
    "FSHARECHAT_CONNECTOR__TCP_PORT": "0",
    "FSHARECHAT_CONNECTOR__WS_PORT": "0",
    "FSHARECHAT_API__PORT": "0",
    "FSHARECHAT_LIMITS__REQUESTS": "0",
    "FSHARECHAT_LOG__LEVEL": "warning",
}


class Server:
    """`fsharechat --dev` with all roles on `data`; settings of the caller's environment reach it.

    With `profile` it runs under the sampler, which writes there.
    """

    def __init__(self, data: Path, profile: Path | None = None) -> None:
        self._data = data
        self._profile = profile
        self._log = data.with_suffix(".log")
        self._process: asyncio.subprocess.Process | None = None
        self._addresses: dict[str, tuple[str, int]] = {}
        self.http = ""

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises BenchError when it is not."""
        program = ["benchmark.sampler", str(self._profile)] if self._profile else ["fsharechat"]
        self._data.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", *program, "--dev", "--data", str(self._data)),
                cwd=self._data,
                env={**os.environ, **_SETTINGS},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while (ready := _READY.search(self._log.read_text(errors="replace"))) is None:
            self.check_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"the server was not ready within {_START_SECONDS:.0f} s")
            await asyncio.sleep(0.05)
        tcp_host, tcp_port, ws_host, ws_port, self.http = ready.groups()
        self._addresses = {"tcp": (tcp_host, int(tcp_port)), "ws": (ws_host, int(ws_port))}

    async def stop(self) -> None:
        """Stop it, by force when it does not drain in time. Says so when it did not end well."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                code = await process.wait()
        except TimeoutError:
            print(f"the server did not stop in {_STOP_SECONDS:.0f} s after SIGTERM: killed", file=sys.stderr)
            process.kill()
            await process.wait()
        else:
            if code:
                print(f"the server ended with exit code {code}", file=sys.stderr)

    def address(self, transport: str) -> tuple[str, int]:
        return self._addresses[transport]

    def check_alive(self) -> None:
        if self._process is not None and self._process.returncode is not None:
            raise BenchError(f"the server is gone, exit code {self._process.returncode}")

    def log_tail(self) -> str:
        """Return its last log lines."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def sample(self, on: bool) -> None:
        """Start or end the profile, when there is one."""
        if self._profile is not None and self._process is not None:
            self._process.send_signal(signal.SIGUSR1 if on else signal.SIGUSR2)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its threads so far, user and system."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @staticmethod
    def machine_cpu_seconds() -> float:
        """Return the CPU time that all processes of the machine have had so far, and what it was kept waiting for."""
        user, nice, system, _, _, irq, softirq, steal, *_ = (
            int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        )
        return (user + nice + system + irq + softirq + steal) / _TICKS

    def memory(self) -> tuple[int, int]:
        """Return its resident and its proportional set size in bytes."""
        sizes = {}
        for line in Path(f"/proc/{self._pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, amount, *_ = line.split()
            sizes[name] = int(amount) * 1024
        return sizes["Rss:"], sizes["Pss:"]

    @property
    def _pid(self) -> int:
        if self._process is None:
            raise BenchError("the server is not running")
        return self._process.pid
