"""The pulse asks, on its own connection, twice a second: does MySQL answer, and does it accept this version?

So a silent server is noticed in time, and a raised fence (fence.py) too.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from fsharechat.errors import StoreError
from fsharechat.store import fence
from fsharechat.store.mysql_connection import Hosts, MysqlConnection

log = structlog.get_logger(__name__)

BEAT_SECONDS = 0.5
"""The time between two questions, s."""
ANSWER_SECONDS = 1.0
"""A later answer counts as no answer, s."""
_SLICE_SECONDS = 0.1
"""Time is counted in slices, s, so that it stops while this process stands still."""


AWAY = "the store is away"
CLOSED = "the store is closed to this version"


class PulseState(NamedTuple):
    """Why the store cannot be used: AWAY or CLOSED, and details. Both are "" while it can be used."""

    event: str = ""
    reason: str = ""


class Pulse:
    """Calls `tell` with a reason when MySQL stops answering, or refuses writes of this version, and with "" when that
    is over.

    In between, all connections of `hosts` are cut, and new ones are refused at once. So callers get the error within
    BEAT_SECONDS + ANSWER_SECONDS, and need not wait for the time limit of their statement.
    """

    def __init__(self, hosts: Hosts, tell: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._tell = tell
        self._connection: MysqlConnection | None = None
        self._asking: asyncio.Task[PulseState] | None = None
        self._state = PulseState()

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                await self._beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            if self._asking is not None:
                self._asking.cancel()
                await asyncio.wait({self._asking})
            if self._connection is not None:
                await self._connection.close()

    async def _beat(self) -> None:
        asking = self._asking = asyncio.get_running_loop().create_task(self._ask())
        for _ in range(round(ANSWER_SECONDS / _SLICE_SECONDS)):
            if asking.done():
                break
            await asyncio.wait({asking}, timeout=_SLICE_SECONDS)
        else:
            self._note(PulseState(AWAY, f"no answer within {ANSWER_SECONDS:g} s"))
        await asyncio.wait({asking})
        self._asking = None
        error = asking.exception()
        self._note(asking.result() if error is None else PulseState(AWAY, repr(error)))

    async def _ask(self) -> PulseState:
        error: StoreError | None = None
        for _ in range(2):  # a connection may have ended while nobody used it
            try:
                if self._connection is None or not self._connection.usable:
                    self._connection = await self._hosts.connect(anyway=True)
                found = await self._connection.execute(fence.QUERY)
                problem = fence.problem(fence.level_in(found.rows))
                return PulseState(CLOSED, problem) if problem else PulseState()
            except StoreError as failed:
                error = failed
        return PulseState(AWAY, str(error))

    def _note(self, state: PulseState) -> None:
        before, self._state = self._state, state
        self._hosts.away = state.reason
        if state.event == before.event:
            return
        if state.event == AWAY:
            log.warning(AWAY, reason=state.reason)
        elif state.event == CLOSED:
            log.error(CLOSED, reason=state.reason)
        else:
            log.info("the store is back")
        if state.event:
            self._hosts.cut()
        self._tell(state.reason)
