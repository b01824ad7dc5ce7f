"""A worker: a process with the connector role. Its standard input is the link to the main process.

Its only argument is its number. It ends when the main process says so, or is gone. It leaves signals to the main
process: a terminal and systemd send them to both.
"""

import asyncio
import socket
import sys

import orjson
import structlog

from fsharechat import event_loop
from fsharechat import log as logs
from fsharechat.errors import StartError
from fsharechat.link import FrameKind, FrameLink
from fsharechat.node import Node, log_loop_error, settle
from fsharechat.settings_schema import Settings
from fsharechat.workers import Plan, WorkerPlace

log = structlog.get_logger(__name__)

END_SECONDS = 1.0
"""How long it takes to close its connections when the main process is gone, s."""


async def run(number: int, end: socket.socket) -> int:
    """Serve as the worker of that number until the main process says to stop, or is gone. Return the exit code."""
    # Before there is a link: what is called for its frames has the variables of this moment.
    structlog.contextvars.bind_contextvars(worker=number)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    link, planned = FrameLink(), loop.create_future()
    stop = asyncio.Event()
    link.on(FrameKind.PLAN, planned.set_result)
    link.on(FrameKind.STOP, lambda _: stop.set())
    link.on_lost(stop.set)
    await loop.create_unix_connection(lambda: link, sock=end)
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((planned, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not planned.done():
        return 0
    plan = Plan.decode(planned.result())
    logs.configure(plan.settings.log)
    return await _serve(plan, link, stopping)


async def _serve(plan: Plan, link: FrameLink, stopping: "asyncio.Task[bool]") -> int:
    node = Node(plan.settings, WorkerPlace(link, plan.group))
    link.on(FrameKind.RELOAD, lambda body: node.reload(lambda: _at_level(plan.settings, body.decode())))
    booting = asyncio.get_running_loop().create_task(node.boot())
    await asyncio.wait((stopping, booting), return_when=asyncio.FIRST_COMPLETED)
    if not booting.done():
        booting.cancel()
        await asyncio.wait((booting,))
        return 0
    try:
        await booting
    except StartError as error:
        link.send(FrameKind.FAILED, str(error).encode())
        link.close()
        await link.gone.wait()
        return 1
    settle()
    log.info("ready", roles=list(plan.settings.node.roles), **node.addresses)
    link.send(FrameKind.READY, orjson.dumps(node.addresses))
    await stopping
    if not link.ended:
        await node.drain()
        return 0
    log.error("the main process is gone: this worker ends")
    try:
        async with asyncio.timeout(END_SECONDS):
            await node.drain()
    except TimeoutError:
        pass
    return 1


def _at_level(settings: Settings, level: str) -> Settings:
    return settings.model_copy(update={"log": settings.log.model_copy(update={"level": level})})


def main() -> int:
    event_loop.ignore(event_loop.STOP + event_loop.RELOAD)
    with asyncio.Runner(loop_factory=event_loop.new_event_loop) as runner:
        return runner.run(run(int(sys.argv[1]), socket.socket(fileno=0)))


if __name__ == "__main__":
    sys.exit(main())
