"""Robots: users whose answers come from an agent over HTTP, piece by piece (calls.md section 10)."""

import asyncio
import codecs
import uuid
from collections import deque
from collections.abc import AsyncIterator

import aiohttp
import orjson
import structlog

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import ContentType, PersistFlag, SubSignal
from fsharechat.settings import AgentSettings, RobotsSettings
from fsharechat.store import admin
from fsharechat.store.store import Store
from fsharechat.tasks import spawn
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox
from roles.group.own_messages import send_private

log = structlog.get_logger(__name__)

MAX_WAITING = 3
"""Questions of one user that wait for the answer to another one."""
MAX_ASKING = 200
"""Users whom one process answers at a time."""
PACE_SECONDS = 0.05
"""Pieces that come faster are put together."""

CANNOT = "机器人暂时无法回答，请稍后再试。\nThe robot cannot answer now. Please try again later."
TOO_MANY = "请等待上一个问题的回答。\nPlease wait for the answer to your last question."


class AgentError(Exception):
    """The agent does not answer as agents do; the text says how, for the log."""


class Robots:
    """Asks agents and streams their answers: one at a time for each user, each within bounds of time and length.

    A user who asks waits for nobody, and an agent that is slow holds up nobody but who has asked it.
    """

    def __init__(
        self, settings: RobotsSettings, store: Store, clock: ServerClock, outbox: EventOutbox
    ) -> None:
        self.agents: dict[str, AgentSettings] = {agent.uid: agent for agent in settings.agents}
        """By the uid of the robot."""
        self._settings = settings
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self._waiting: dict[str, deque[tuple[str, str]]] = {}
        """By user: the robot that is asked, and the question; the first one is being answered."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the users that robots are. Raises StoreError."""
        for agent in self.agents.values():
            await self._store.write(
                admin.keep_robot, agent.uid, agent.name, agent.portrait, self._clock.now()
            )
        if self.agents:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def asked(self, uid: str, robot: str, question: str) -> None:
        """Answer a text that a user has sent to a robot, which is stored."""
        waiting = self._waiting.get(uid)
        if waiting is not None and len(waiting) <= MAX_WAITING:
            waiting.append((robot, question))
        elif waiting is not None:
            self._say(robot, uid, TOO_MANY)
        elif len(self._waiting) >= MAX_ASKING:
            log.warning("a robot is asked by too many at a time", robot=robot, users=len(self._waiting))
            self._say(robot, uid, CANNOT)
        else:
            self._waiting[uid] = deque([(robot, question)])
            task = spawn("answers of a robot", self._answer_all(uid))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_all(self, uid: str) -> None:
        waiting = self._waiting[uid]
        try:
            while waiting:
                await self._answer(uid, *waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[uid]

    async def _answer(self, uid: str, robot: str, question: str) -> None:
        """Stream an answer, then store it: whatever happens the stream ends, and a message says what came of it."""
        stream = str(uuid.uuid4())
        self._stream(uid, robot, stream, "")
        said: list[str] = []
        try:
            async with asyncio.timeout(self._settings.seconds):
                async for piece in self._pieces(uid, robot, question):
                    said.append(piece)
                    self._stream(uid, robot, stream, piece)
                    await asyncio.sleep(PACE_SECONDS)
            if not said:
                raise AgentError("its answer is empty")
        except (aiohttp.ClientError, AgentError, TimeoutError, UnicodeDecodeError) as error:
            reason = str(error) or type(error).__name__
            log.warning("a robot's agent failed", robot=robot, uid=uid, reason=reason)
            said.append(f"\n\n{CANNOT}" if said else CANNOT)
        finally:
            self._stream(uid, robot, stream, "", done=True)
        self._say(robot, uid, "".join(said))

    async def _pieces(self, uid: str, robot: str, question: str) -> AsyncIterator[str]:
        """Give the agent's answer as it comes, without empty pieces; what is too long is cut off."""
        assert self._http is not None
        decoder = codecs.getincrementaldecoder("utf-8")()
        left = self._settings.max_chars
        address = self.agents[robot].agent.rstrip("/") + "/stream"
        body = {"question": question, "userid": uid}
        async with self._http.post(address, json=body, allow_redirects=False) as response:
            if response.status != 200:
                raise AgentError(f"{address} answers with status {response.status}")
            async for data in response.content.iter_any():
                if piece := decoder.decode(data)[:left]:
                    yield piece
                left -= len(piece)
                if not left:
                    return
        if piece := decoder.decode(b"", final=True)[:left]:
            yield piece

    def _stream(self, uid: str, robot: str, stream: str, piece: str, *, done: bool = False) -> None:
        body = orjson.dumps({"i": stream, "d": piece, "f": done, "t": robot})
        self._outbox.notify(SubSignal.SAI, body, uid)

    def _say(self, robot: str, uid: str, text: str) -> None:
        content = pb.MessageContent(
            type=ContentType.TEXT, searchable_content=text, persist_flag=PersistFlag.STORED_AND_COUNTED
        )
        try:
            send_private(self._store, self._clock, self._outbox, robot, uid, content)
        except LeaseError as error:
            log.error("no message id", error=str(error))
