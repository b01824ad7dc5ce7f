"""Robots: users whose answers come from an agent over HTTP, piece by piece (calls.md section 10)."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import NamedTuple

import structlog

from fsharechat.errors import Refusal, StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import NODES, LeaseError
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    ConversationType,
    MemberType,
    MentionedType,
    SubSignal,
)
from fsharechat.rpc import Call, Reply
from fsharechat.settings_schema import AgentSettings, RobotsSettings
from fsharechat.store import messages, robots
from fsharechat.store.messages import conversation_key
from fsharechat.store.robots import AnswerUnderWay
from fsharechat.store.store import Store
from fsharechat.tasks import TaskSet, repeat, spawn
from roles.group.agents import AgentError, Agents, SaidBefore
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox
from roles.group.own_messages import local_id_of, send_private, text_content
from roles.group.processes import GroupProcesses
from roles.group.robot_list import RobotList
from roles.group.standing import Standing

log = structlog.get_logger(__name__)

MAX_WAITING = 3
"""Questions of one user that wait for the answer to another one."""
MAX_ASKING = 200
"""Users whom one process answers at a time."""
PACE_SECONDS = 0.05
"""Pieces that come faster are put together."""
SWEEP_SECONDS = 2.0
"""Between looks for answers of processes that are gone."""
LATE_SECONDS = 30.0
"""An answer that takes so much longer than it may is lost, whoever was to write it."""
MAX_LOST = 500
"""Lost answers that are ended at one look."""
MAX_LOOKED_THROUGH = 100
"""Messages among which what was said before is looked for."""

CANNOT = "机器人暂时无法回答，请稍后再试。\nThe robot cannot answer now. Please try again later."
TOO_MANY = "请等待上一个问题的回答。\nPlease wait for the answer to your last question."


class Question(NamedTuple):
    """A text that a user has sent to a robot: alone with it, or in a group where it mentions the robot."""

    uid: str
    robot: str
    text: str
    message_id: int
    group_id: str = ""

    @property
    def trace(self) -> str:
        """What the logs call the request that asked (fsharechat/tracing.py)."""
        return str(self.message_id)


class Bubble:
    """An answer on a user's screens while it is written: SAI. What comes faster than the pace is put together."""

    def __init__(self, outbox: EventOutbox, question: Question, id: str) -> None:
        """Open it. In a group there is none: SAI names no group."""
        self._outbox = outbox
        self._question = question
        self._id = id
        self._waiting = ""
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._tell("")

    def add(self, piece: str) -> None:
        self._waiting += piece
        if self._timer is None:
            self._timer = self._loop.call_at(self._next, self._flush)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._flush()
        self._tell("", done=True)

    def _flush(self) -> None:
        self._timer = None
        self._next = self._loop.time() + PACE_SECONDS
        self._tell(self._waiting)
        self._waiting = ""

    def _tell(self, piece: str, *, done: bool = False) -> None:
        if not self._question.group_id:
            question = self._question
            self._outbox.stream(question.uid, self._id, piece, question.robot, done=done)


class Robots:
    """Asks agents and tells their answers: one at a time for each user, each within bounds of time and length.

    A user who asks waits for nobody, and an agent that is slow holds up nobody but who has asked it.
    """

    def __init__(
        self,
        settings: RobotsSettings,
        listed: RobotList,
        store: Store,
        clock: ServerClock,
        outbox: EventOutbox,
        standing: Standing,
        processes: GroupProcesses,
    ) -> None:
        self.agents = listed.agents
        self.send: Callable[[Call], asyncio.Future[Reply]] | None = None
        """Sends a message to a group. The handler of MS sets it, which hears the questions."""
        self._settings = settings
        self._agents = Agents(settings.max_chars)
        self._store = store
        self._clock = clock
        self._outbox = outbox
        self._standing = standing
        self._waiting: dict[str, deque[Question]] = {}
        """By user; the first one is being answered."""
        self._writing: set[str] = set()
        """The ids of the answers that this process writes."""
        self._tasks = TaskSet()
        self._processes = processes
        self._begun = False
        """Whether it has ended what the process before it with the same node id has left."""
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sweeping = spawn("lost answers", repeat(SWEEP_SECONDS, self.sweep))

    async def stop(self) -> None:
        """Break off all answers. Another process ends them, or the next one with this node id."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._tasks.cancel()
        await self._agents.close()

    def heard(self, uid: str, message: pb.Message) -> None:
        """Take a text that a user has sent, and that is stored: it may be a question, or several."""
        where, content = message.conversation, message.content
        if uid in self.agents:
            return
        if where.type == ConversationType.PRIVATE:
            if where.target in self.agents:
                self._ask(Question(uid, where.target, content.searchable_content, message.message_id))
        elif content.mentioned_type == MentionedType.SOME:
            only = {message.to_user, *message.to} - {""}
            for robot in dict.fromkeys(content.mentioned_target):
                agent = self.agents.get(robot)
                if agent is not None and (not only or robot in only):
                    text = _without_mention(content.searchable_content, agent.name)
                    self._ask(Question(uid, robot, text, message.message_id, where.target))

    def _ask(self, question: Question) -> None:
        uid = question.uid
        waiting = self._waiting.get(uid)
        if waiting is not None and len(waiting) <= MAX_WAITING:
            waiting.append(question)
        elif waiting is not None:
            self._tasks.spawn("word of a robot", self._only_say(question, TOO_MANY))
        elif len(self._waiting) >= MAX_ASKING:
            log.warning(
                "a robot is asked by too many at a time",
                robot=question.robot,
                users=len(self._waiting),
                trace=question.trace,
            )
            self._tasks.spawn("word of a robot", self._only_say(question, CANNOT))
        else:
            self._waiting[uid] = deque([question])
            self._tasks.spawn("answers of a robot", self._answer_all(uid))

    async def _answer_all(self, uid: str) -> None:
        waiting = self._waiting[uid]
        try:
            while waiting:
                await self._answer(waiting[0])
                waiting.popleft()
        finally:
            del self._waiting[uid]

    async def _answer(self, question: Question) -> None:
        """Tell an answer: whatever happens its stream ends, and a message says what came of it."""
        if (agent := self.agents.get(question.robot)) is None or not await self._may_answer(question):
            return
        under_way = AnswerUnderWay(
            str(uuid.uuid4()),
            question.robot,
            question.uid,
            question.group_id,
            self._clock.ids.node,
            self._clock.now(),
        )
        said: list[str] = []
        self._writing.add(under_way.id)
        bubble: Bubble | None = None
        try:
            # What is noted before the stream begins is ended, even if this process is killed.
            await self._store.write(robots.begin_answer, under_way)
            bubble = Bubble(self._outbox, question, under_way.id)
            async with asyncio.timeout(self._settings.seconds):
                past = await self._said_before(question, agent)
                pieces = self._agents.pieces(agent, question.uid, question.text, past)
                async with aclosing(pieces):
                    async for piece in pieces:
                        said.append(piece)
                        bubble.add(piece)
            if not said:
                raise AgentError("its answer is empty")
        except (AgentError, StoreError, TimeoutError) as error:
            reason = str(error) or f"no end of its answer within {self._settings.seconds:g} s"
            log.warning(
                "a robot's agent failed",
                robot=question.robot,
                uid=question.uid,
                reason=reason,
                trace=question.trace,
            )
            said.append(f"\n\n{CANNOT}" if said else CANNOT)
        finally:
            if bubble is not None:
                bubble.end()
        await self._conclude(under_way, "".join(said))
        self._writing.discard(under_way.id)

    async def _may_answer(self, question: Question) -> bool:
        """Return whether a robot may answer: not another robot, and in a group as a member who may speak."""
        try:
            if (await self._standing.rights_of(question.uid)).robot:
                return False
            if not question.group_id:
                return True
            members = await self._standing.members_with(question.group_id, question.robot)
            return members.types[question.robot] != MemberType.SILENCED
        except Refusal:
            return False
        except StoreError as error:
            log.log(
                error.log_level,
                "a question was not answered",
                uid=question.uid,
                reason=str(error),
                trace=question.trace,
            )
            return False

    async def _said_before(self, question: Question, agent: AgentSettings) -> list[SaidBefore]:
        """Return the last exchanges of the user with the robot, oldest first, and nothing else of a group."""
        if agent.kind != "openai" or not agent.exchanges:
            return []
        if question.group_id:
            kind, target, reader = ConversationType.GROUP, question.group_id, question.robot
        else:
            kind, target, reader = ConversationType.PRIVATE, question.robot, ""
        key = conversation_key(kind, 0, target, question.uid)
        bodies = await self._store.read(messages.history, key, 0, MAX_LOOKED_THROUGH, reader)
        return exchanges(
            question,
            (pb.Message.FromString(body) for body in reversed(bodies)),
            agent.exchanges,
            self._settings.context_chars,
        )

    # What robots say

    async def _conclude(self, under_way: AnswerUnderWay, text: str) -> None:
        """Send the message of an answer, once: a second one of the same answer counts as a resend of the first."""
        question = Question(under_way.uid, under_way.robot, "", 0, under_way.group_id)
        if not await self._say(question, text, local_id=local_id_of(under_way.id)):
            return
        try:
            await self._store.write(robots.end_answer, under_way.id)
        except StoreError as error:
            log.log(
                error.log_level, "a robot's answer is not stored yet", uid=under_way.uid, reason=str(error)
            )

    async def _only_say(self, question: Question, text: str) -> None:
        await self._say(question, text)

    async def _say(self, question: Question, text: str, *, local_id: int = 0) -> bool:
        """Send a message of a robot. Return False if it may be tried again, because it is not stored."""
        content = text_content(text)
        try:
            if question.group_id:
                return await self._say_in_group(question, content, local_id)
            sent = send_private(
                self._store,
                self._clock,
                self._outbox,
                question.robot,
                question.uid,
                content,
                local_id=local_id,
            )
        except LeaseError as error:
            log.error("no message id", error=str(error))
            return False
        return await sent is not None

    async def _say_in_group(self, question: Question, content: pb.MessageContent, local_id: int) -> bool:
        """Send a message to a group, as its other members do. Raises LeaseError."""
        content.mentioned_type = MentionedType.SOME
        content.mentioned_target.append(question.uid)
        message = pb.Message(
            conversation=pb.Conversation(type=ConversationType.GROUP, target=question.group_id, line=0),
            from_user=question.robot,
            content=content,
            local_message_id=local_id,
        )
        assert self.send is not None
        body = message.SerializeToString()
        reply = await self.send(Call(SubSignal.MS, question.robot, "", body, self._clock.next_id()))
        if reply.code in (Code.SERVER_ERROR, Code.TIMEOUT):
            return False
        if reply.code != Code.SUCCESS:
            log.info(
                "a robot's message was refused",
                robot=question.robot,
                group=question.group_id,
                code=reply.code,
            )
        return True

    # Answers that other processes have lost

    async def sweep(self) -> None:
        """End the answers of this node id's last process, then, if this process is to, those of all that are gone."""
        node = self._clock.ids.node
        others = self._processes.nodes - {node}
        if not self._begun:
            others = frozenset(range(NODES)) - {node}
        elif not self._processes.is_ours("lost answers"):
            return
        if self._store.away:
            return
        late = int(1000 * (self._settings.seconds + LATE_SECONDS))
        try:
            lost = await self._store.read(robots.lost_answers, others, self._clock.now() - late, MAX_LOST)
        except StoreError as error:
            log.log(error.log_level, "lost answers are not looked for", error=str(error))
            return
        self._begun = True
        for answer in lost:
            if answer.id not in self._writing:
                await self._end_lost(answer)

    async def _end_lost(self, answer: AnswerUnderWay) -> None:
        log.warning(
            "a robot's answer was lost with its process", robot=answer.robot, uid=answer.uid, node=answer.node
        )
        if not answer.group_id:
            self._outbox.stream(answer.uid, answer.id, "", answer.robot, done=True)
        await self._conclude(answer, CANNOT)


def _without_mention(text: str, name: str) -> str:
    """Return what is asked, without the name by which the robot was called."""
    return text.replace(f"@{name}", "", 1).strip() or text


def exchanges(
    question: Question, messages: Iterable[pb.Message], count: int, max_chars: int
) -> list[SaidBefore]:
    """Return the last `count` exchanges before a question, of these messages, which are oldest first.

    Each has what the user wrote, and what the robot answered: models want the two to take turns. What the robot could
    not answer is left out.
    """
    said: list[SaidBefore] = []
    for message in messages:
        content = message.content
        by_user = message.from_user == question.uid
        other = question.robot if by_user else question.uid
        if (
            content.type != ContentType.TEXT
            or message.from_user not in (question.uid, question.robot)
            or (by_user and message.message_id >= question.message_id)
            or (question.group_id and other not in content.mentioned_target)
            or content.searchable_content.endswith((CANNOT, TOO_MANY))
        ):
            continue
        if said and said[-1].by_user is by_user:
            said[-1] = SaidBefore(by_user, f"{said[-1].text}\n\n{content.searchable_content}")
        elif said or by_user:
            said.append(SaidBefore(by_user, content.searchable_content))
    if said and said[-1].by_user:
        said.pop()
    said = said[-2 * count :]
    while sum(len(one.text) for one in said) > max_chars:
        del said[:2]
    return said
