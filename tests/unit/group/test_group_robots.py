"""Robots: what is streamed and stored when a user asks one, whatever its agent does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import ValidationError

from fsharechat import robot
from fsharechat.bus import Deliver, Event, Notify
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import IdGenerator
from fsharechat.protocol.signals import Code, ContentType, ConversationType, SubSignal
from fsharechat.settings_schema import RobotsSettings
from fsharechat.store import robots as robot_rows
from fsharechat.store import users
from fsharechat.store.robots import AnswerUnderWay
from roles.group import GroupRole
from roles.group.robots import CANNOT, MAX_WAITING, TOO_MANY, Robots
from tests.unit.group.group_kit import NODE, Office, text, words
from tests.unit.group.groups_kit import create
from tools.testing.chat_completions import KEY, ChatCompletionsServer, event
from tools.testing.server import until

ROBOT = "robot"
MODEL = "model"
MAX_CHARS = 2_000
CONTEXT_CHARS = 60

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeAgent:
    """An agent that does what a test wants, also what no agent should."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.asked: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        assert self.handler is not None
        return await self.handler(request)


async def begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    return response


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def completions() -> ChatCompletionsServer:
    return ChatCompletionsServer()


@pytest.fixture
async def address(agent: FakeAgent, completions: ChatCompletionsServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/fake/stream", agent.stream)
    app.add_subapp("/echo/", robot.echo(0))
    app.add_subapp("/model/", completions.app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    agent.go_on.set()
    completions.go_on.set()
    await runner.cleanup()


@pytest.fixture
def robots(address: str) -> RobotsSettings:
    agents = [
        {"uid": ROBOT, "name": "机器人", "agent": f"{address}/fake", "portrait": "http://p"},
        {"uid": "echo", "name": "Echo", "agent": f"{address}/echo/"},
        {"uid": "away", "name": "Away", "agent": "http://127.0.0.1:9"},
        {"uid": "asked", "name": "Asked", "kind": "ask", "agent": f"{address}/echo"},
        {"uid": MODEL, "name": "Model", "exchanges": 2, **chat_model(address)},
    ]
    limits = {"max_chars": MAX_CHARS, "context_chars": CONTEXT_CHARS}
    return RobotsSettings.model_validate({"agents": agents, **limits})


def chat_model(address: str) -> dict[str, str]:
    return {"kind": "openai", "agent": f"{address}/model/v1", "key": KEY, "model": "tiny"}


@pytest.fixture
def robots_of(office: Office, role: GroupRole) -> Robots:
    """The service of the office."""
    assert role._business is not None
    return role._business._robots


@pytest.fixture
async def ann(office: Office) -> str:
    office.ids = IdGenerator(NODE)  # by the real time, as the ids of robots' messages
    uid = await office.user()
    office.online(uid)
    return uid


def streamed(events: list[Event]) -> list[dict[str, Any]]:
    """Return the SAI frames, in order."""
    return [
        orjson.loads(event.body) for event in events if isinstance(event, Notify) and event.sub_signal == 40
    ]


ALL = (ROBOT, "echo", "away", "asked", MODEL)


def said(office: Office) -> list[str]:
    """Return the texts that robots have sent, in order."""
    messages = [pb.Message.FromString(event.body) for event in office.events if isinstance(event, Deliver)]
    return [one.content.searchable_content for one in messages if one.from_user in ALL]


async def ask(office: Office, uid: str, question: str, to: str = ROBOT) -> None:
    assert (await office.ask(uid, SubSignal.MS, text(to, question))).code == Code.SUCCESS


async def answered(office: Office, count: int = 1) -> list[str]:
    await until(lambda: len(said(office)) >= count, lambda: f"{said(office)}")
    return said(office)


async def test_an_answer_is_streamed_and_then_stored(office: Office, ann: str) -> None:
    await ask(office, ann, "how are you?", "echo")
    assert await answered(office) == ["how are you? "]
    frames = streamed(office.events)
    assert frames[0] == {"i": frames[0]["i"], "d": "", "f": False, "t": "echo"}
    assert frames[-1] == {"i": frames[0]["i"], "d": "", "f": True, "t": "echo"}
    assert "".join(frame["d"] for frame in frames) == "how are you? "
    assert {(frame["i"], frame["t"]) for frame in frames} == {(frames[0]["i"], "echo")}
    assert not any(frame["f"] for frame in frames[:-1])
    # The message is what comes right behind the last frame.
    kinds = [type(event) for event in office.events]
    assert kinds[-2:] == [Notify, Deliver]
    assert words(await office.inbox(ann)) == ["how are you?", "how are you? "]


async def test_a_robot_is_a_user_of_that_type(office: Office) -> None:
    found = await office.node.store.read(users.profiles, [ROBOT])
    profile = dict(zip(users.PROFILE, found[ROBOT], strict=True))
    assert (profile["display_name"], profile["portrait"], profile["type"]) == ("机器人", "http://p", 1)


async def test_pieces_may_be_cut_within_a_character(office: Office, ann: str, agent: FakeAgent) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        for byte in "飞享\n😀".encode():
            await response.write(bytes([byte]))
        return response

    agent.handler = answer
    await ask(office, ann, "问题")
    assert await answered(office) == ["飞享\n😀"]
    assert agent.asked == [{"question": "问题", "userid": ann}]
    assert "".join(frame["d"] for frame in streamed(office.events)) == "飞享\n😀"


async def status(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="no answer")


async def elsewhere(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/echo/stream")


async def empty(request: web.Request) -> web.StreamResponse:
    return await begun(request)


async def not_utf8(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"\xff\xfe")


async def half_a_character(request: web.Request) -> web.StreamResponse:
    return web.Response(body="飞".encode()[:2])


@pytest.mark.parametrize("handler", [status, elsewhere, empty, not_utf8, half_a_character])
async def test_an_agent_that_fails_ends_the_stream_and_says_so(
    office: Office, ann: str, agent: FakeAgent, handler: Handler
) -> None:
    agent.handler = handler
    await ask(office, ann, "?")
    assert await answered(office) == [CANNOT]
    assert [(frame["d"], frame["f"]) for frame in streamed(office.events)] == [("", False), ("", True)]


async def test_an_agent_that_is_not_there_is_one_that_fails(office: Office, ann: str) -> None:
    await ask(office, ann, "?", "away")
    assert await answered(office) == [CANNOT]
    assert streamed(office.events)[-1]["f"] is True


async def test_what_came_before_a_failure_is_kept(office: Office, ann: str, agent: FakeAgent) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        await response.write(b"half")
        await until(lambda: any(frame["d"] for frame in streamed(office.events)))
        assert request.transport is not None
        request.transport.close()
        return response

    agent.handler = answer
    await ask(office, ann, "?")
    assert await answered(office) == [f"half\n\n{CANNOT}"]
    assert streamed(office.events)[-1]["f"] is True


async def test_an_answer_without_an_end_is_cut_off(office: Office, ann: str, agent: FakeAgent) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await begun(request)
        while True:
            await response.write("飞享".encode() * 100)

    agent.handler = answer
    await ask(office, ann, "?")
    (text,) = await answered(office)
    assert text == "飞享" * (MAX_CHARS // 2)


async def test_a_slow_agent_holds_up_one_user_alone(office: Office, ann: str, agent: FakeAgent) -> None:
    ben = await office.user()
    office.online(ben)

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = agent.asked[-1]
        if asked["userid"] == ann:
            await agent.go_on.wait()
        return web.Response(text=asked["question"])

    agent.handler = answer
    for number in range(MAX_WAITING + 3):
        await ask(office, ann, f"question {number}")
    await ask(office, ben, "quick")
    assert await answered(office, 3) == [TOO_MANY, TOO_MANY, "quick"]
    agent.go_on.set()
    # One after the other, without those that were too many.
    assert (await answered(office, 7))[3:] == [f"question {number}" for number in range(MAX_WAITING + 1)]


async def test_a_slow_agent_has_a_bound(
    office: Office, ann: str, agent: FakeAgent, robots_of: Robots, monkeypatch: pytest.MonkeyPatch
) -> None:
    robots = robots_of
    monkeypatch.setattr(robots, "_settings", robots._settings.model_copy(update={"seconds": 0.01}))

    async def answer(request: web.Request) -> web.StreamResponse:
        await agent.go_on.wait()
        return await begun(request)

    agent.handler = answer
    await ask(office, ann, "?")
    assert await answered(office) == [CANNOT]


async def test_a_whole_answer_is_one_piece_of_a_stream(office: Office, ann: str) -> None:
    await ask(office, ann, "how are you?", "asked")
    assert await answered(office) == ["how are you?"]
    assert [frame["d"] for frame in streamed(office.events)] == ["", "how are you?", ""]


async def test_pieces_that_come_fast_are_put_together(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    completions.pieces = ["ab"] * 900
    await ask(office, ann, "?", MODEL)
    assert await answered(office) == ["ab" * 900]
    frames = streamed(office.events)
    assert "".join(frame["d"] for frame in frames) == "ab" * 900
    assert len(frames) < 200
    assert frames[-1]["f"] is True


async def test_a_model_that_fails_ends_the_stream_and_says_so(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield event("half")
        yield b"data: {\n\n"

    completions.events = events
    await ask(office, ann, "?", MODEL)
    assert await answered(office) == [f"half\n\n{CANNOT}"]
    assert [(frame["d"], frame["f"]) for frame in streamed(office.events)][1:] == [
        ("half", False),
        ("", True),
    ]


# What was said before


def asked(completions: ChatCompletionsServer) -> list[tuple[str, str]]:
    """Return what the model was asked last: who says what."""
    return [(one["role"][0], one["content"]) for one in completions.asked[-1]["messages"]]


async def test_a_model_gets_the_last_exchanges(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    ben = await office.user()
    for number in range(4):
        completions.pieces = [f"answer {number}"]
        await ask(office, ann, f"question {number}", MODEL)
        await answered(office, number + 1)
        await ask(office, ann, "to somebody else", ben)
    assert asked(completions) == [
        *[("u", "question 1"), ("a", "answer 1")],
        *[("u", "question 2"), ("a", "answer 2")],
        ("u", "question 3"),
    ]


async def test_what_was_said_before_has_a_bound(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    for number, length in enumerate((10, 50, 20)):
        completions.pieces = ["a" * length]
        await ask(office, ann, f"question {number}", MODEL)
        await answered(office, number + 1)
    assert asked(completions) == [("u", "question 1"), ("a", "a" * 50), ("u", "question 2")]
    await ask(office, ann, "question 3", MODEL)
    await answered(office, 4)
    assert asked(completions) == [("u", "question 2"), ("a", "a" * 20), ("u", "question 3")]


async def test_what_could_not_be_answered_is_no_part_of_it(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    completions.statuses = [400]
    await ask(office, ann, "bad", MODEL)
    assert await answered(office) == [CANNOT]
    completions.pieces = ["yes"]
    await ask(office, ann, "good", MODEL)
    await answered(office, 2)
    await ask(office, ann, "more", MODEL)
    await answered(office, 3)
    assert asked(completions) == [("u", "bad\n\ngood"), ("a", "yes"), ("u", "more")]


# In groups


async def in_group(office: Office, owner: str, *others: str) -> str:
    return await create(office, owner, *others)


async def mention(office: Office, uid: str, group: str, words: str, *robots: str, kind: int = 1) -> None:
    message = text(group, words, kind=ConversationType.GROUP)
    message.content.mentioned_type = kind
    message.content.mentioned_target.extend(robots)
    assert (await office.ask(uid, SubSignal.MS, message)).code == Code.SUCCESS


async def test_a_robot_in_a_group_answers_who_mentions_it(office: Office, ann: str, agent: FakeAgent) -> None:
    ben = await office.user()
    group = await in_group(office, ann, ben, "echo")
    await mention(office, ann, group, "hello all")
    await mention(office, ann, group, "everybody", kind=2)
    await mention(office, ann, group, "@Echo how are you?", "echo")
    assert await answered(office) == ["how are you? "]
    assert streamed(office.events) == []
    answer = (await office.inbox(ben)).message[-1]
    assert (answer.from_user, answer.conversation.type, answer.conversation.target) == ("echo", 1, group)
    assert answer.content.searchable_content == "how are you? "
    assert (answer.content.mentioned_type, list(answer.content.mentioned_target)) == (1, [ann])


async def test_a_robot_that_may_not_speak_in_a_group_is_not_asked(
    office: Office, ann: str, agent: FakeAgent
) -> None:
    group = await in_group(office, ann, "echo")
    await mention(office, ann, group, "@机器人 are you in?", ROBOT)
    await mention(office, ann, group, "@Echo you are", "echo")
    assert await answered(office) == ["you are "]
    assert agent.asked == []


async def test_a_model_in_a_group_gets_what_was_said_to_it_and_nothing_else(
    office: Office, ann: str, completions: ChatCompletionsServer
) -> None:
    ben = await office.user()
    group = await in_group(office, ann, ben, MODEL)
    completions.pieces = ["to Ben"]
    await mention(office, ben, group, "@Model of Ben", MODEL)
    await answered(office)
    completions.pieces = ["to Ann"]
    await mention(office, ann, group, "@Model first", MODEL)
    await answered(office, 2)
    await mention(office, ann, group, "a secret")
    await mention(office, ann, group, "second", MODEL)
    await answered(office, 3)
    assert asked(completions) == [("u", "@Model first"), ("a", "to Ann"), ("u", "second")]


async def test_robots_do_not_ask_each_other(office: Office, ann: str, agent: FakeAgent) -> None:
    await ask(office, "echo", "talk to me", ROBOT)
    await ask(office, ann, "hello", "echo")
    await answered(office)
    assert agent.asked == []


# Processes that die


async def lost(office: Office, uid: str, *, group: str = "", node: int = 7) -> None:
    """Leave an answer behind as a process does that dies."""
    answer = AnswerUnderWay(f"stream {node}", "echo", uid, group, node, office.now)
    await office.node.store.write(robot_rows.begin_answer, answer)


async def test_the_answer_of_a_process_that_died_is_ended(
    office: Office, ann: str, robots_of: Robots
) -> None:
    await lost(office, ann)
    await robots_of.sweep()  # of its own node id
    await robots_of.sweep()
    assert await answered(office) == [CANNOT]
    assert streamed(office.events) == [{"i": "stream 7", "d": "", "f": True, "t": "echo"}]
    await robots_of.sweep()
    assert said(office) == [CANNOT]
    await ask(office, ann, "and now?", "echo")
    assert await answered(office, 2) == [CANNOT, "and now? "]


async def test_a_process_that_starts_again_ends_the_answers_from_before(
    office: Office, ann: str, robots_of: Robots
) -> None:
    await lost(office, ann, node=robots_of._clock.ids.node)
    # another one may look after the others'
    robots_of._processes.on_change({robots_of._clock.ids.node, 1, 2, 3, 4, 5})
    robots_of._begun = False
    await robots_of.sweep()
    assert await answered(office) == [CANNOT]


async def test_an_answer_that_is_stored_is_not_lost(office: Office, ann: str, robots_of: Robots) -> None:
    """The process has died between the message and the note that it is stored."""
    under_way = AnswerUnderWay("stream 7", "echo", ann, "", 7, office.now)
    await office.node.store.write(robot_rows.begin_answer, under_way)

    async def no_note(*_: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(office.node.store, "write", no_note)
        await robots_of._conclude(under_way, "the answer")
    robots_of._begun = True
    await robots_of.sweep()
    await ask(office, ann, "next", "echo")
    assert await answered(office, 2) == ["the answer", "next "]
    found = await office.node.store.read(robot_rows.lost_answers, {0}, 0, 10)
    assert found == []


async def test_answers_that_are_being_written_are_not_lost(
    office: Office, ann: str, agent: FakeAgent, robots_of: Robots
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await agent.go_on.wait()
        return web.Response(text="at last")

    agent.handler = answer
    await ask(office, ann, "?")
    await until(lambda: bool(agent.asked))
    for begun in (False, True):
        robots_of._begun = begun
        await robots_of.sweep()
    agent.go_on.set()
    assert await answered(office) == ["at last"]


async def test_in_a_group_an_answer_that_is_lost_is_told_there(
    office: Office, ann: str, robots_of: Robots
) -> None:
    group = await in_group(office, ann, "echo")
    await lost(office, ann, group=group)
    robots_of._begun = True
    await robots_of.sweep()
    assert await answered(office) == [CANNOT]
    assert streamed(office.events) == []
    assert (await office.inbox(ann)).message[-1].conversation.target == group


async def test_only_texts_to_robots_are_questions(office: Office, ann: str, agent: FakeAgent) -> None:
    ben = await office.user()
    await ask(office, ann, "hello", ben)
    assert (await office.ask(ann, SubSignal.MS, text(ROBOT, "x", content_type=ContentType.TYPING))).code == 0
    assert (await office.ask(ann, SubSignal.MS, text(ROBOT, "x", content_type=ContentType.IMAGE))).code == 0
    await ask(office, ann, "again", "echo")
    assert await answered(office) == ["again "]
    assert agent.asked == []


async def test_a_resend_is_no_second_question(office: Office, ann: str) -> None:
    for _ in range(2):
        message = text("echo", "once", local_id=7)
        assert (await office.ask(ann, SubSignal.MS, message)).code == Code.SUCCESS
    await ask(office, ann, "twice", "echo")
    assert await answered(office, 2) == ["once ", "twice "]


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": "", "name": "n", "agent": "http://h"},
        {"uid": "a b", "name": "n", "agent": "http://h"},
        {"uid": "a", "name": "", "agent": "http://h"},
        {"uid": "a", "name": "n", "agent": "h:80"},
        {"uid": "a", "name": "n", "agent": "http://h?x=1"},
        {"uid": "a", "name": "n"},
    ],
    ids=str,
)
def test_settings_that_are_no_robot_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        RobotsSettings.model_validate({"agents": [wrong]})


def test_each_uid_is_one_robot() -> None:
    one = {"uid": "a", "name": "n", "agent": "http://h"}
    with pytest.raises(ValidationError):
        RobotsSettings.model_validate({"agents": [one, one]})
