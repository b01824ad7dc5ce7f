"""The health of this process and its parts, for load balancers and people."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from fsharechat import __version__

LOOK_SECONDS = 2.0
"""A part counts as not serving if it does not answer within so many seconds."""
FRESH_SECONDS = 1.0
"""How long a result is reused, s, however many callers ask."""


class Finding(NamedTuple):
    """`reason`: the fault, "" if there is none. `serves`: whether the process can still do its work."""

    reason: str = ""
    serves: bool = True

    def __str__(self) -> str:
        if not self.reason:
            return "ok"
        return f"degraded: {self.reason}" if self.serves else self.reason


FINE = Finding()
Look = Callable[[], Awaitable[Finding]]


class Health:
    """The parts of a process, by name. The process is ready if all of them serve."""

    def __init__(self) -> None:
        self._parts: dict[str, Look] = {}
        self._looking: asyncio.Task[dict[str, Finding]] | None = None
        self._found_at = 0.0

    def part(self, name: str, look: Look) -> None:
        """Add a part. `look` returns its state, and does not raise."""
        self._parts[name] = look

    def forget(self) -> None:
        """Forget what was found: the process has changed. The next caller gets a new result."""
        self._looking = None

    async def look(self) -> dict[str, Finding]:
        """Return the states of all parts, within LOOK_SECONDS and at most FRESH_SECONDS old."""
        loop = asyncio.get_running_loop()
        looking = self._looking
        if looking is None or (looking.done() and loop.time() - self._found_at > FRESH_SECONDS):
            looking = self._looking = loop.create_task(self._look())
        return await asyncio.shield(looking)

    async def _look(self) -> dict[str, Finding]:
        found = await asyncio.gather(*map(_within_time, self._parts.values()))
        self._found_at = asyncio.get_running_loop().time()
        return dict(zip(self._parts, found, strict=True))

    def add_routes(self, app: web.Application) -> None:
        """Serve GET /monitor/alive and /monitor/ready."""
        app.router.add_get("/monitor/alive", _alive)
        app.router.add_get("/monitor/ready", self._ready)

    async def _ready(self, _: web.Request) -> web.Response:
        """Answer 200 while the process can serve, else 503, both with the state of each part."""
        found = await self.look()
        code = 200 if all(finding.serves for finding in found.values()) else 503
        parts = {name: str(finding) for name, finding in found.items()}
        return web.json_response({"code": code, "parts": parts}, status=code)


async def _alive(_: web.Request) -> web.Response:
    """Answer 200 with the version: the process is alive, whether it can serve or not."""
    return web.json_response({"code": 200, "version": __version__})


async def _within_time(look: Look) -> Finding:
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await look()
    except TimeoutError:
        return Finding(f"no answer within {LOOK_SECONDS:g} s", serves=False)
