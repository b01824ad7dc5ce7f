"""The all-in-one server: one process with every role and the embedded parts, on its own data folder."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tools.services.process import ProcessIdentity
from tools.testing.workers import workers_of

from .link import BenchError
from .server import SETTINGS, BenchServer, ProcessGroup, with_logs, with_tools

KIND = "all-in-one"
SAMPLER = "tools.bench.sampler"
COUNTER = "tools.bench.counter"
_READY = re.compile(
    r"^ready roles=\S+ media=\S+ tcp=(\S+):(\d+) ws=ws://(\S+?):(\d+)/? http=(\S+)$", re.MULTILINE
)
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_PORTS = {
    "FSHARECHAT_CONNECTOR__TCP_PORT": "0",
    "FSHARECHAT_CONNECTOR__WS_PORT": "0",
    "FSHARECHAT_API__PORT": "0",
    "FSHARECHAT_MEDIA__LISTEN": "127.0.0.1:0",
}


class Looks(NamedTuple):
    """A module that runs a server and looks at it between two signals, and the file into which it writes."""

    module: str
    file: Path


@asynccontextmanager
async def all_in_one(
    data: Path, looks: Looks | None = None, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[BenchServer]:
    """Run `fsharechat --dev` on `data`, under a looking program if there is one.

    `more`: settings besides those of every server under test.

    Raises BenchError if it does not start. Each error has the last lines of its log.
    """
    log = data.with_suffix(".log")
    process = await _launch(data, log, looks, more)
    try:
        ready = await _ready(process, log)
        tcp_host, tcp_port, ws_host, ws_port, http = ready.groups()
        # With FSHARECHAT_NODE__WORKERS it is several processes.
        pids = (process.pid, *workers_of(process.pid))
        identities = tuple(filter(None, map(ProcessIdentity.of, pids)))
        if len(identities) < len(pids):
            raise BenchError("the server is gone")
        yield BenchServer(
            kind=KIND,
            http=http,
            addresses={"tcp": [(tcp_host, int(tcp_port))], "ws": [(ws_host, int(ws_port))]},
            groups=[ProcessGroup("server", identities[:1]), *_workers(identities[1:])],
            logs=[log],
            looked_at=[process.pid] if looks else [],
        )
    except BenchError as error:
        raise with_logs(error, [log]) from None
    finally:
        await _stop(process)


def _workers(identities: Sequence[ProcessIdentity]) -> list[ProcessGroup]:
    return [ProcessGroup("workers", tuple(identities))] if identities else []


async def _launch(
    data: Path, log: Path, looks: Looks | None, more: Mapping[str, str]
) -> asyncio.subprocess.Process:
    program = [looks.module, str(looks.file)] if looks else ["fsharechat"]
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", *program, "--dev", "--data", str(data)),
            cwd=data,
            env={**with_tools(), **SETTINGS, **more, **_PORTS},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


async def _ready(process: asyncio.subprocess.Process, log: Path) -> re.Match[str]:
    """Wait until it says that it is ready, with its addresses."""
    deadline = time.monotonic() + _START_SECONDS
    while (ready := _said_ready(log)) is None:
        if process.returncode is not None:
            raise BenchError(f"the server is gone, exit code {process.returncode}")
        if time.monotonic() > deadline:
            raise BenchError(f"the server was not ready within {_START_SECONDS:.0f} s")
        await asyncio.sleep(0.05)
    return ready


def _said_ready(log: Path) -> re.Match[str] | None:
    return _READY.search(log.read_text(errors="replace"))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Stop it, by force if it does not drain in time. Print a line if it did not end well."""
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
