"""Calls within one process: plain function calls, with the deadline and the bound of calls over a network."""

import asyncio

import structlog

from fsharechat.metrics import Metrics
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Handler, Reply, Rpc
from fsharechat.rpc.deadlines import Deadlines
from fsharechat.tracing import trace_of

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
MAX_UNDER_WAY = 32_768


class LocalRpc(Rpc):
    """`timeout` is in seconds. A call is given up at most SWEEP_SECONDS after it.

    Beyond about `limit` calls under way, new ones get code 4.
    """

    address = "local"

    def __init__(self, timeout: float, limit: int = MAX_UNDER_WAY) -> None:
        self._timeout = timeout
        self._limit = limit
        self._handler: Handler | None = None
        self._ready, self._change = asyncio.Event(), asyncio.Event()
        self.refused = 0
        """How many calls got code 4: nobody takes calls, too many are under way, or the handler failed."""
        self.given_up = 0

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._deadlines = Deadlines(self._give_up, SWEEP_SECONDS, self._limit)
        self._deadlines.start()

    async def close(self) -> None:
        self._deadlines.stop()

    async def serve(self, handler: Handler) -> None:
        self._handler = handler
        self._ready.set()
        self._changed()

    async def unserve(self) -> None:
        self._handler = None
        self._ready.clear()
        self._changed()
        if pending := {future for _, future in self.under_way()}:
            await asyncio.wait(pending, timeout=self._timeout)

    async def wait_ready(self) -> None:
        await self._ready.wait()

    def next_change(self) -> asyncio.Event:
        return self._change

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def call(self, call: Call, seconds: float | None = None) -> asyncio.Future[Reply]:
        """Make a call. `seconds` is its own deadline, if any.

        An error in the handler fails only this call, and does not reach the caller.
        """
        handler = self._handler
        if handler is None or self._deadlines.crowded:
            return self._refused()
        try:
            future = handler(call)
        except Exception:
            log.exception("a call failed", method=call.method, trace=trace_of(call))
            return self._refused()
        self._deadlines.watch(self._time() + (seconds or self._timeout), call.uid, future)
        return future

    def call_all(self, call: Call) -> list[asyncio.Future[Reply]]:
        return [self.call(call)]

    def publish(self, metrics: Metrics) -> None:
        metrics.gauge(
            "calls_under_way",
            "Calls that this process carries out.",
            lambda: len(self._deadlines.under_way()),
        )
        metrics.counter("calls_refused", "Calls that it could not take.", lambda: self.refused)
        metrics.counter("calls_given_up", "Calls that it did not answer in time.", lambda: self.given_up)

    def _refused(self) -> asyncio.Future[Reply]:
        self.refused += 1
        future: asyncio.Future[Reply] = self._loop.create_future()
        future.set_result(Reply(Code.SERVER_ERROR))
        return future

    @property
    def taking(self) -> bool:
        """Whether a call would be carried out: there is a handler, and there is room."""
        return self._handler is not None and not self._deadlines.crowded

    def under_way(self) -> list[tuple[str, asyncio.Future[Reply]]]:
        """Return the users and the futures of the calls that are not done, oldest first."""
        return self._deadlines.under_way()

    def _give_up(self, future: asyncio.Future[Reply]) -> None:
        if isinstance(future, asyncio.Task):
            # The handler turns this into code 249. So its first step must come before; that step is in the queue by
            # now.
            future.get_loop().call_soon(future.cancel)
        elif not future.done():
            future.set_result(Reply(Code.TIMEOUT))
        else:
            return
        self.given_up += 1
