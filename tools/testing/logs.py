"""What was logged while a test watched, with structlog's `capture_logs`."""

from collections.abc import Sequence
from typing import Any

from structlog.typing import EventDict

from tools.testing.server import until


def lines(logs: Sequence[EventDict], event: str) -> list[Any]:
    """Return the lines of that event."""
    return [line for line in logs if line["event"] == event]


async def until_logged(logs: Sequence[EventDict], event: str, count: int = 1) -> list[Any]:
    """Wait until there are so many lines of that event, and return them."""
    await until(lambda: len(lines(logs, event)) >= count, lambda: f"{event!r} is not logged: {logs}")
    return lines(logs, event)
