"""Asks the back office, with its key, and pulls what users have in their inboxes."""

from io import BytesIO
from typing import Any

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.store import inboxes, users
from tests.unit.api.api_kit import KEY, ApiAnswer, Site

PUSH = "/imopenapi/pushNotificationByMobile"
GROUP_PUSH = "/imopenapi/pushNotificationByGroup"


class Desk:
    """Somebody with the key; `key` is what is shown, None for nothing."""

    def __init__(self, site: Site, key: str | None = KEY) -> None:
        self.site = site
        self.key = key

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> ApiAnswer:
        """Send a request: bytes as they are, any other body as JSON."""
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        raw = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        data = raw and BytesIO(raw)
        async with self.site.http.request(method, path, data=data, headers=headers) as response:
            return ApiAnswer(response.status, response.headers, orjson.loads(await response.read()))

    async def push(self, mobiles: object, content: object, **more: object) -> ApiAnswer:
        return await self.ask("POST", PUSH, {"mobiles": mobiles, "content": {"content": content, **more}})

    async def user(self, number: str) -> str:
        """Return the uid of a user who has that number."""
        uid, _, _ = await self.site.node.store.write(users.get_or_create, number, 1)
        return uid

    async def inbox(self, uid: str) -> list[pb.Message]:
        found = await self.site.node.store.read(inboxes.pull, uid, inboxes.NOTHING)
        return [pb.Message.FromString(entry.body) for entry in found.entries]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [dict(line) for line in self.site.logs if line["event"] == event]
