"""A small server of the tests that speaks OpenAI's chat completions, streamed, as server-sent events.

It stands for OpenAI and for the servers that people run themselves: no service is asked. It also does what none of
them should.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web

KEY = "sk-of-the-tests"
Events = Callable[[], AsyncIterator[bytes]]


def event(piece: str | None, finish: str | None = None) -> bytes:
    """Return the server-sent event of a piece of an answer."""
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "tiny",
        "choices": [
            {"index": 0, "delta": {} if piece is None else {"content": piece}, "finish_reason": finish}
        ],
    }
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


DONE = b"data: [DONE]\n\n"


class ChatCompletionsServer:
    """`pieces` is what it answers, `events` what it sends instead, `statuses` the errors that it answers first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.pieces = ["Hello", " ", "there"]
        self.events: Events | None = None
        self.statuses: list[int] = []
        self.go_on = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_post("/v1/chat/completions", self._complete)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            error = {"message": f"Incorrect API key: {request.headers.get('Authorization')}", "code": None}
            return web.json_response({"error": error}, status=401)
        self.asked.append(await request.json())
        if self.statuses:
            status = self.statuses.pop(0)
            headers = {"retry-after-ms": "1"}
            return web.json_response({"error": {"message": "not now"}}, status=status, headers=headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self.events is not None:
            async for data in self.events():
                await response.write(data)
        else:
            for piece in self.pieces:
                await response.write(event(piece))
            await response.write(event(None, "stop") + DONE)
        return response
