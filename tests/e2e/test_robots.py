"""A robot on a whole server, with the agent that ships for development: the stream, then the message."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from fsharechat.admin.office import AdminApi
from fsharechat.client import Client, Options, StreamPart, login
from fsharechat.client.models import Event
from fsharechat.protocol import messages_pb2 as pb
from roles.group.robots import CANNOT
from tools.testing.chat_completions import KEY, ChatCompletionsServer, event
from tools.testing.devices import Handset, log_in
from tools.testing.echo_robot import echo_robot
from tools.testing.server import SUPER_CODE, Server, until

pytestmark = pytest.mark.slow


@pytest.fixture
def agent() -> Iterator[str]:
    with echo_robot() as address:
        yield address


async def test_a_person_asks_a_robot_over_either_transport(tmp_path: Path, agent: str) -> None:
    robots = json.dumps([{"uid": "assistant", "name": "Assistant", "agent": agent}])
    async with Server(tmp_path / "data", {"ROBOTS__AGENTS": robots}) as server:
        who = await login(server.at.http, "13800000001", SUPER_CODE, "phone")
        tablet = await login(server.at.http, "13800000001", SUPER_CODE, "tablet")
        parts: dict[str, list[StreamPart]] = {"tcp": [], "ws": []}
        messages: dict[str, list[pb.Message]] = {"tcp": [], "ws": []}

        def answers(transport: str) -> list[str]:
            mine = [one for one in messages[transport] if one.from_user == "assistant"]
            return [one.content.searchable_content for one in mine]

        def client(transport: str) -> Client:
            def on_event(event: Event) -> None:
                if isinstance(event, StreamPart):
                    parts[transport].append(event)

            return Client(
                who if transport == "tcp" else tablet,
                **server.at.of(transport),
                options=Options.fast(),
                on_event=on_event,
                on_message=messages[transport].append,
            )

        async with client("tcp") as first, client("ws") as second:
            for number, asking in enumerate((first, second), 1):
                await until(lambda: first.connected and second.connected)
                assert (await asking.search_users("Assistant"))[0].uid == "assistant"
                await asking.send("assistant", f"question {number} 飞享")
                await until(lambda number=number: [len(answers(one)) for one in messages] == [number] * 2)  # type: ignore[misc]
        for transport, found in parts.items():
            said = [
                one.content.searchable_content for one in messages[transport] if one.from_user == "assistant"
            ]
            assert said == ["question 1 飞享 ", "question 2 飞享 "]
            streams = list(dict.fromkeys(part.stream_id for part in found))
            assert len(streams) == 2
            for stream, text in zip(streams, said, strict=True):
                of_it = [part for part in found if part.stream_id == stream]
                assert "".join(part.delta for part in of_it) == text
                assert [part.done for part in of_it] == [False] * (len(of_it) - 1) + [True]
                assert len(of_it) > 3  # it came in pieces
                assert {part.robot for part in of_it} == {"assistant"}


API_KEY = "a-key-of-the-tests-of-robots"


@pytest.fixture
async def model() -> AsyncIterator[tuple[ChatCompletionsServer, str]]:
    """A server of chat completions, and its address."""
    completions = ChatCompletionsServer()
    runner = web.AppRunner(completions.app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield completions, f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    completions.go_on.set()
    await runner.cleanup()


def robots_read(server: Server) -> list[int]:
    """Return how many robots the process has known, by its log."""
    events = map(json.loads, server.errors.splitlines())
    return [one["count"] for one in events if one["event"] == "robots read"]


async def test_an_answer_that_a_killed_server_was_writing_is_ended_and_the_next_one_comes(
    tmp_path: Path, model: tuple[ChatCompletionsServer, str]
) -> None:
    completions, address = model

    async def half() -> AsyncIterator[bytes]:
        yield event("half")
        await completions.go_on.wait()

    async with Server(tmp_path / "data", {"API__KEY": API_KEY}) as server:
        made = {"uid": "helper", "name": "Helper", "kind": "openai", "agent": address, "model": "tiny"}
        async with AdminApi(server.at.http, API_KEY) as office:
            await office.ask("POST", "admin", "robots", body={**made, "key": KEY})
        anna = Handset(await log_in(server.at, "13800000001", "phone"), server.at, "tcp")
        async with anna:
            # It is known within moments.
            await until(lambda: 1 in robots_read(server), lambda: f"unknown: {server.errors}")
            await anna.send("helper", "first")
            await until(lambda: anna.texts_of("helper") == ["Hello there"], "no answer")
            completions.events = half
            await anna.send("helper", "second")

            def parts() -> list[StreamPart]:
                return [event for event in anna.seen if isinstance(event, StreamPart)]

            await until(lambda: parts()[-1].delta == "half", "no stream")
            await server.kill()
            await server.start()
            await until(
                lambda: anna.texts_of("helper") == ["Hello there", CANNOT], "the answer is still open"
            )
            completions.events = None
            await anna.send("helper", "third")
            await until(lambda: anna.texts_of("helper")[2:] == ["Hello there"], "no answer afterwards")
    said = [message["content"] for message in completions.asked[-1]["messages"]]
    assert said == ["first", "Hello there", "third"]
    assert KEY not in server.errors
