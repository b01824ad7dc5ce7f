"""A disk that takes long to open a file. It is a fake: a real one does not do so when it is told."""

import asyncio
import gc
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from tools.testing.server import BOUND, until


async def give_up_while_opening(work: Awaitable[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel `work` while a thread opens a file for it, and wait until the thread has done so.

    The test fails if nobody closes the file, or if the loop stands still until the file is open. Afterwards the loop
    runs nothing in threads.
    """
    open_at_once = Path.open
    begun, go_on = threading.Event(), threading.Event()
    went_on: list[bool] = []

    def open_slowly(path: Path, *mode: Any) -> Any:
        begun.set()
        went_on.append(go_on.wait(BOUND))
        return open_at_once(path, *mode)

    with monkeypatch.context() as slow:
        slow.setattr(Path, "open", open_slowly)
        task = asyncio.ensure_future(work)
        await until(begun.is_set, "no file is opened")
        task.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.get_running_loop().shutdown_default_executor()
    assert went_on == [True], "the loop waited for the disk"
    gc.collect()  # this warns of a file that nobody closed
