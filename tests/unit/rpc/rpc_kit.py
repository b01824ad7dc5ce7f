"""Both ends of the rpc, and handlers."""

import asyncio
from typing import NamedTuple

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Handler, Reply, Rpc
from tools.testing.server import BOUND


class Ends(NamedTuple):
    """The rpc as the group role and as its callers have it; one object within one process."""

    group: Rpc
    caller: Rpc

    async def serve(self, handler: Handler) -> None:
        """Serve, and return when the caller has heard of it."""
        await self.group.serve(handler)
        async with asyncio.timeout(BOUND):
            await self.caller.wait_ready()


class Desk:
    """A handler that answers when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.replies: list[asyncio.Future[Reply]] = []
        self._arrived = asyncio.Event()
        self._closed = False

    def __call__(self, call: Call) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._closed:
            reply.set_result(Reply(Code.SERVER_ERROR))
            return reply
        self.calls.append(call)
        self.replies.append(reply)
        self._arrived.set()
        return reply

    async def arrived(self, count: int) -> None:
        """Return when so many calls are here."""
        async with asyncio.timeout(BOUND):
            while len(self.calls) < count:
                self._arrived.clear()
                await self._arrived.wait()

    def answer(self, n: int, reply: Reply) -> None:
        """Answer the call that came as number `n`, unless it was given up."""
        if not self.replies[n].done():
            self.replies[n].set_result(reply)

    def close(self) -> None:
        """Answer whatever has not been answered, and what is still to come."""
        self._closed = True
        for n in range(len(self.replies)):
            self.answer(n, Reply(Code.SERVER_ERROR))


async def nobody_to_ask(rpc: Rpc) -> None:
    """Return when the caller has heard that nobody serves."""
    async with asyncio.timeout(BOUND):
        while True:
            ready = asyncio.create_task(rpc.wait_ready())
            await asyncio.sleep(0.001)
            if not ready.done():
                ready.cancel()
                return


def echo(call: Call) -> asyncio.Future[Reply]:
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    reply.set_result(Reply(Code.SUCCESS, call.body))
    return reply


def call(body: bytes = b"", uid: str = "ann") -> Call:
    return Call(18, uid, "phone", body)
