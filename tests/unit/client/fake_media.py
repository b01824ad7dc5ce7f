"""A media store for the client's tests."""

import asyncio
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from tests.unit.client.fake_peer import Answer


class MediaStore:
    """A media store that takes PUTs signed with "%2Fgood%2F" and gives them back."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.stall = False
        self.parts_of = 0
        """The length of the parts of files with a size; 0: it knows no parts, as earlier versions."""
        self.failing: list[int] = []
        """What the next parts get in place of 200. Of such a part the first half stays."""
        self.lengths: list[int] = []
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_put("/{key:.*}", self._put)
        app.router.add_get("/{key:.*}", self._get)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_on.set()
        await self._runner.cleanup()

    def rule(self, sub: SubSignal, body: Any) -> Answer | None:
        if sub is not SubSignal.GMURL:
            return None
        key = "".join(c if c.isascii() and c.isalnum() else f"%{b:02X}" for c in body.key for b in c.encode())
        result = pb.GetMinioUploadUrlResult(
            domain=f"{self.url}/b{body.type}",
            server="s",
            port=1,
            url=f"{self.url}/b{body.type}/{key}?sig=%2Fgood%2F",
        )
        if body.size and self.parts_of:
            result.offset = len(self.files.get(f"b{body.type}/{body.key}", b""))
            result.length = min(self.parts_of, body.size - result.offset)
            result.url += "&part"
        return 0, result

    async def _put(self, request: web.Request) -> web.Response:
        if self.stall:
            self.arrived.set()
            await self.go_on.wait()
        if (
            "sig=%2Fgood%2F" not in str(request.rel_url.raw_query_string)
            or "Content-Length" not in request.headers
        ):
            return web.Response(status=403)
        key = unquote(request.rel_url.raw_path[1:])
        if "part" in request.rel_url.query:
            data = await request.read()
            status = self.failing.pop(0) if self.failing else 200
            kept = data if status == 200 else data[: len(data) // 2]
            self.lengths.append(len(data))
            self.files[key] = self.files.get(key, b"") + kept
            return web.Response(status=status)
        self.files[key] = await request.read()
        self.types[key] = request.content_type
        return web.Response()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        data = self.files.get(request.match_info["key"])
        if data is None:
            return web.Response(status=404)
        if "chunked" in request.rel_url.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(data)
            return response
        return web.Response(body=data)
