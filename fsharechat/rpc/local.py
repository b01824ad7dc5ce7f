"""Calls within one process: plain function calls, with the deadline that a network would need."""

import asyncio

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Handler, Reply, Rpc


class LocalRpc(Rpc):
    """`timeout` is in seconds; a call is given up between one and two timeouts after it was made."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._handler: Handler | None = None
        self._ready = asyncio.Event()
        self._young: set[asyncio.Future[Reply]] = set()
        self._old: set[asyncio.Future[Reply]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweep = self._loop.call_later(self._timeout, self._expire)

    async def close(self) -> None:
        if self._sweep:
            self._sweep.cancel()

    async def serve(self, handler: Handler) -> None:
        self._handler = handler
        self._ready.set()

    async def unserve(self) -> None:
        self._handler = None
        self._ready.clear()
        if pending := self._young | self._old:
            await asyncio.wait(pending, timeout=self._timeout)

    async def wait_ready(self) -> None:
        await self._ready.wait()

    def call(self, call: Call) -> asyncio.Future[Reply]:
        if self._handler is None:
            future: asyncio.Future[Reply] = self._loop.create_future()
            future.set_result(Reply(Code.SERVER_ERROR))
            return future
        future = self._handler(call)
        if not future.done():
            self._young.add(future)
            future.add_done_callback(self._forget)
        return future

    def _forget(self, future: asyncio.Future[Reply]) -> None:
        self._young.discard(future)
        self._old.discard(future)

    def _expire(self) -> None:
        """Give up the calls that were there a timeout ago already: two sets instead of a timer for each call."""
        for future in list(self._old):
            if isinstance(future, asyncio.Task):
                future.cancel()
            else:
                future.set_result(Reply(Code.TIMEOUT))
        self._young, self._old = set(), self._young
        self._sweep = self._loop.call_later(self._timeout, self._expire)
