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
from fsharechat.protocol.signals import Code, ContentType, SubSignal
from fsharechat.settings import RobotsSettings
from fsharechat.store import users
from roles.group.robots import CANNOT, MAX_WAITING, TOO_MANY
from tests.unit.group.group_kit import Office, text, words
from tools.testing.server import until

ROBOT = "robot"
MAX_CHARS = 2_000

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
async def address(agent: FakeAgent) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/fake/stream", agent.stream)
    app.add_subapp("/echo/", robot.echo(0))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    agent.go_on.set()
    await runner.cleanup()


@pytest.fixture
def robots(address: str) -> RobotsSettings:
    agents = [
        {"uid": ROBOT, "name": "机器人", "agent": f"{address}/fake", "portrait": "http://p"},
        {"uid": "echo", "name": "Echo", "agent": f"{address}/echo/"},
        {"uid": "away", "name": "Away", "agent": "http://127.0.0.1:9"},
    ]
    return RobotsSettings.model_validate({"agents": agents, "max_chars": MAX_CHARS})


@pytest.fixture
async def ann(office: Office) -> str:
    uid = await office.user()
    office.online(uid)
    return uid


def streamed(events: list[Event]) -> list[dict[str, Any]]:
    """Return the SAI frames, in order."""
    return [
        orjson.loads(event.body) for event in events if isinstance(event, Notify) and event.sub_signal == 40
    ]


def said(office: Office) -> list[str]:
    """Return the texts that robots have sent, in order."""
    messages = [pb.Message.FromString(event.body) for event in office.events if isinstance(event, Deliver)]
    return [one.content.searchable_content for one in messages if one.from_user in (ROBOT, "echo", "away")]


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
    office: Office, ann: str, agent: FakeAgent, role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    robots = role._business._robots
    monkeypatch.setattr(robots, "_settings", robots._settings.model_copy(update={"seconds": 0.01}))

    async def answer(request: web.Request) -> web.StreamResponse:
        await agent.go_on.wait()
        return await begun(request)

    agent.handler = answer
    await ask(office, ann, "?")
    assert await answered(office) == [CANNOT]


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
