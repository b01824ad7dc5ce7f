"""Asks the api role over HTTP."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple

import orjson
from aiohttp import ClientSession
from multidict import CIMultiDictProxy

from fsharechat.node import Node
from fsharechat.protocol.signals import LoginCode

NUMBER = "13812345678"
KEY = "key-of-the-back-office"


class ApiAnswer(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: dict[str, Any]

    @property
    def code(self) -> int:
        return int(self.body["code"])


class Site:
    """A server at a time of the test's choice; `logs` has what it logged. `http` is there while it runs."""

    http: ClientSession

    def __init__(self, node: Node, logs: list[MutableMapping[str, Any]]) -> None:
        self.node = node
        self.logs = logs
        self.now = 1_700_000_000_000

    async def post(self, path: str, body: object, **headers: str) -> ApiAnswer:
        """POST a body: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.http.post(path, data=data, headers=headers) as response:
            return ApiAnswer(response.status, response.headers, orjson.loads(await response.read()))

    async def send_code(self, number: object = NUMBER) -> ApiAnswer:
        return await self.post("/send_code", {"mobile": number})

    async def login(self, code: object, number: object = NUMBER, client_id: object = "phone") -> ApiAnswer:
        return await self.post("/login", {"mobile": number, "code": code, "clientId": client_id})

    def printed_code(self) -> str:
        """Return the code that was logged last."""
        return str([line["code"] for line in self.logs if line["event"] == "login code"][-1])

    async def new_code(self, number: str = NUMBER) -> str:
        """Have a code sent and return it."""
        assert (await self.send_code(number)).code == LoginCode.SUCCESS
        return self.printed_code()

    def wrong_code(self) -> str:
        """Return a code that is not the one that was sent last."""
        return f"{(int(self.printed_code()) + 1) % 1_000_000:06}"
