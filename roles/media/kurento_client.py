"""A connection to a Kurento Media Server: JSON-RPC 2.0 over a WebSocket, one session for as long as that lives.

The request `id` keeps growing over reconnects: Kurento answers an id that it has had in the session from its memory.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import structlog

from fsharechat.mediaserver import MediaServerError
from fsharechat.tasks import spawn

log = structlog.get_logger(__name__)

INVALID_SESSION = 40007
EVENT_NOT_SUPPORTED = 40106

CALL_SECONDS = 10.0
PING_SECONDS = 30.0
"""Between two signs of life."""
RECONNECT_SECONDS = 1.0
DEAD_SECONDS = 15.0
"""After so long without a connection all that was there counts as lost."""
_PING_INTERVAL_MS = 240_000
"""What Kurento is told of the time between pings, as its own clients do."""
_MAX_MESSAGE = 1 << 20
_MAX_UNDER_WAY = 2000


class KurentoError(MediaServerError):
    """Kurento answered a request with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"Kurento: {message} ({code})")
        self.code = code


class KurentoClient:
    """Reconnects by itself, and takes up its session again.

    `on_event` is called with the object, the type and the data of each event; `on_lost` when the session is lost, and
    all objects with it.
    """

    def __init__(
        self, url: str, on_event: Callable[[str, str, dict[str, Any]], None], on_lost: Callable[[str], None]
    ) -> None:
        self.url = url
        self._on_event = on_event
        self._on_lost = on_lost
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._session = ""
        self._server = ""
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._away = ""

    @property
    def ready(self) -> bool:
        """Whether requests can be made."""
        return self._ready.is_set()

    @property
    def away(self) -> str:
        """Why it cannot be reached now; "" while it can."""
        return "" if self.ready else self._away or "it has not been reached yet"

    def open(self) -> None:
        self._task = spawn(f"Kurento at {self.url}", self._stay())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def request(self, method: str, **params: Any) -> Any:
        """Return the `value` of the answer. Raises MediaServerError."""
        if not self.ready:
            raise MediaServerError(f"Kurento at {self.url} cannot be reached: {self.away}")
        result = await self._call(method, params)
        return result.get("value") if isinstance(result, dict) else None

    async def invoke(self, target: str, operation: str, **params: Any) -> Any:
        """Call an operation of an object. Raises MediaServerError."""
        return await self.request("invoke", object=target, operation=operation, operationParams=params)

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        socket = self._socket
        if socket is None or socket.closed:
            raise MediaServerError("the connection to Kurento is lost")
        if len(self._waiting) >= _MAX_UNDER_WAY:
            raise MediaServerError("too many requests wait for Kurento")
        number = next(self._ids)
        if self._session and method != "connect":
            params = {**params, "sessionId": self._session}
        message = {"id": number, "method": method, "params": params, "jsonrpc": "2.0"}
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await socket.send_str(orjson.dumps(message).decode())
                return await future
        except TimeoutError:
            raise MediaServerError(f"Kurento did not answer {method} in time") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise MediaServerError("the connection to Kurento is lost") from error
        finally:
            self._waiting.pop(number, None)

    async def _stay(self) -> None:
        """Be connected, again and again."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        async with aiohttp.ClientSession() as client:
            while True:
                try:
                    async with asyncio.timeout(CALL_SECONDS):
                        socket = await client.ws_connect(self.url, max_msg_size=_MAX_MESSAGE)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self._told(str(error) or "no answer")
                else:
                    async with socket:
                        if await self._talk(socket):
                            since = loop.time()
                if self._session and loop.time() - since > DEAD_SECONDS:
                    self._lose("it cannot be reached")
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Use a connection until it ends, and return whether it was of any use."""
        self._socket = socket
        reading = spawn(f"answers of Kurento at {self.url}", self._read(socket))
        try:
            await self._begin_session()
            self._away = ""
            self._ready.set()
            log.info("Kurento is reached", url=self.url)
            while not reading.done():
                await asyncio.wait((reading,), timeout=PING_SECONDS)
                if not reading.done():
                    await self._call("ping", {"interval": _PING_INTERVAL_MS})
        except MediaServerError as error:
            self._told(str(error))
        else:
            self._told("the connection was lost")
        finally:
            used = self._ready.is_set()
            self._ready.clear()
            self._socket = None
            reading.cancel()
            await asyncio.wait((reading,))
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(MediaServerError("the connection to Kurento is lost"))
        return used

    async def _begin_session(self) -> None:
        """Take up the session that there was, or begin one. Raises MediaServerError."""
        if self._session:
            try:
                found = await self._call("connect", {"sessionId": self._session})
            except KurentoError as error:
                if error.code != INVALID_SESSION:
                    raise
                self._lose("it has forgotten the session")
            else:
                if found.get("serverId", self._server) == self._server:
                    return
                self._lose("it was started anew")
        found = await self._call("connect", {})
        self._session, self._server = found["sessionId"], found.get("serverId", "")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                said = orjson.loads(message.data)
                self._hear(said)
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                log.warning("an answer of Kurento was not understood", url=self.url, reason=repr(error))

    def _hear(self, said: dict[str, Any]) -> None:
        if said.get("method") == "onEvent":
            value = said["params"]["value"]
            self._on_event(value["object"], value["type"], value.get("data") or {})
            return
        future = self._waiting.get(said.get("id", 0))
        if future is None or future.done():
            return
        if (error := said.get("error")) is not None:
            future.set_exception(KurentoError(error["code"], error.get("message", "")))
        else:
            future.set_result(said.get("result"))

    def _told(self, reason: str) -> None:
        if reason != self._away:
            log.warning("Kurento cannot be reached", url=self.url, reason=reason)
        self._away = reason

    def _lose(self, reason: str) -> None:
        self._session = ""
        self._on_lost(reason)
