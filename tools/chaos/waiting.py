"""Waiting for the end of a load."""

import asyncio
import time
from collections.abc import Callable

PAUSE_SECONDS = 0.1


async def until_done(done: Callable[[], bool], check: Callable[[], None], seconds: float) -> bool:
    """Wait until `done` holds. False if the time is over first. `check` raises errors of the load."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        check()
        await asyncio.sleep(PAUSE_SECONDS)
    return True
