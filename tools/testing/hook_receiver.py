"""A receiver of webhooks for tests: it checks every signature with the library of Standard Webhooks."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(b"a secret of 32 bytes for webhook").decode()

Event = dict[str, Any]
Answer = Callable[[Event], Awaitable[web.StreamResponse]]


async def taken(_: Event) -> web.StreamResponse:
    return web.Response(status=204)


class HookReceiver:
    """Keeps the events that it has taken with a 2xx, in their order. `answer` decides; a test may change it."""

    def __init__(self, answer: Answer = taken, secret: str = SECRET, host: str = "127.0.0.1") -> None:
        self.answer = answer
        self.events: list[Event] = []
        self.asked: list[Event] = []
        """All requests, also those that were refused."""
        self.under_way = 0
        self.most_under_way = 0
        self._checker = Webhook(secret)
        self._runner: web.AppRunner | None = None
        self._host = host
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        event: Event = self._checker.verify(body, dict(request.headers))
        assert event["id"] == request.headers["webhook-id"]
        self.asked.append(event)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            response = await self.answer(event)
        finally:
            self.under_way -= 1
        if response.status < 300:
            self.events.append(event)
        return response

    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def texts(self, kind: str = "message.stored") -> list[str]:
        """Return the texts of the messages that it was told, in their order."""
        return [one["data"]["content"]["searchableContent"] for one in self.events if one["type"] == kind]


async def hang(_: Event) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError
