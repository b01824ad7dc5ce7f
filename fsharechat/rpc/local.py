"""Calls within one process: plain function calls, with the deadline that a network would need."""

import asyncio
from collections import deque

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Handler, Reply, Rpc

SWEEP_SECONDS = 1.0


class LocalRpc(Rpc):
    """`timeout` is in seconds; a call is given up at most two sweeps later."""

    address = "local"

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._handler: Handler | None = None
        self._ready = asyncio.Event()
        # Instead of a timer for each call: what was asked since the last sweep, and what was open at earlier ones.
        self._asked: list[asyncio.Future[Reply]] = []
        self._open: deque[tuple[float, list[asyncio.Future[Reply]]]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    async def close(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()

    async def serve(self, handler: Handler) -> None:
        self._handler = handler
        self._ready.set()

    async def unserve(self) -> None:
        self._handler = None
        self._ready.clear()
        pending = {future for _, futures in self._open for future in futures} | set(self._asked)
        if pending := {future for future in pending if not future.done()}:
            await asyncio.wait(pending, timeout=self._timeout)

    async def wait_ready(self) -> None:
        await self._ready.wait()

    def call(self, call: Call) -> asyncio.Future[Reply]:
        if self._handler is None:
            future: asyncio.Future[Reply] = self._loop.create_future()
            future.set_result(Reply(Code.SERVER_ERROR))
            return future
        future = self._handler(call)
        self._asked.append(future)
        return future

    def _sweep(self) -> None:
        now = self._loop.time()
        if still_open := [future for future in self._asked if not future.done()]:
            self._open.append((now + self._timeout, still_open))
        self._asked = []
        while self._open and self._open[0][0] <= now:
            for future in self._open.popleft()[1]:
                self._give_up(future)
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    @staticmethod
    def _give_up(future: asyncio.Future[Reply]) -> None:
        if isinstance(future, asyncio.Task):
            future.cancel()  # the handler makes code 249 of it
        elif not future.done():
            future.set_result(Reply(Code.TIMEOUT))
