"""Asking agents: each form, with all that agents do and should not do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from aiohttp import web

from fsharechat.settings_schema import AgentSettings
from roles.group.agents import INSTALL_OPENAI, MAX_EVENT_BYTES, AgentError, Agents, SaidBefore
from tools.testing.chat_completions import DONE, KEY, ChatCompletionsServer, event

MAX_CHARS = 1_000


@pytest.fixture
def completions() -> ChatCompletionsServer:
    return ChatCompletionsServer()


@pytest.fixture
def said() -> list[bytes]:
    """What POST /ask answers, in pieces."""
    return [orjson.dumps({"question": "?", "answer": "飞享", "route": "x"})]


@pytest.fixture
async def address(completions: ChatCompletionsServer, said: list[bytes]) -> AsyncIterator[str]:
    async def ask(request: web.Request) -> web.StreamResponse:
        assert request.headers.get("Authorization") == f"Bearer {KEY}"
        assert await request.json() == {"question": "?", "userid": "ann"}
        response = web.StreamResponse()
        await response.prepare(request)
        for part in said:
            await response.write(part)
        return response

    app = web.Application()
    app.router.add_post("/ask", ask)
    app.add_subapp("/model/", completions.app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    completions.go_on.set()
    await runner.cleanup()


Answer = Callable[..., Awaitable[str]]


@pytest.fixture
async def answer(address: str) -> AsyncIterator[Answer]:
    """Return what an agent answers to "?"."""
    agents = Agents(MAX_CHARS)

    async def answer(kind: str, past: list[SaidBefore] | None = None, **more: object) -> str:
        path = "/model/v1/" if kind == "openai" else "/"
        given = {"uid": "r", "name": "R", "kind": kind, "agent": address + path, "key": KEY, "model": "tiny"}
        agent = AgentSettings.model_validate({**given, **more})
        return "".join([piece async for piece in agents.pieces(agent, "ann", "?", past or [])])

    yield answer
    await agents.close()


# A whole answer (POST /ask)


async def test_a_whole_answer_is_one_piece(answer: Answer) -> None:
    assert await answer("ask") == "飞享"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"', b"{}", b'{"answer": 1}', b'{"answer": "\xff"}'])
async def test_a_whole_answer_that_is_none_is_an_error(
    answer: Answer, said: list[bytes], body: bytes
) -> None:
    said[:] = [body]
    with pytest.raises(AgentError, match="its answer is no"):
        await answer("ask")


async def test_a_whole_answer_is_cut_off_and_one_without_an_end_is_an_error(
    answer: Answer, said: list[bytes]
) -> None:
    said[:] = [orjson.dumps({"answer": "a" * MAX_CHARS + "b"})]
    assert await answer("ask") == "a" * MAX_CHARS
    said[:] = [b" " * MAX_EVENT_BYTES] * 10_000
    with pytest.raises(AgentError, match="more than"):
        await answer("ask")


# The form of OpenAI


async def test_pieces_of_a_completion_are_the_answer(
    answer: Answer, completions: ChatCompletionsServer
) -> None:
    past = [SaidBefore(True, "hi"), SaidBefore(False, "hello")]
    assert await answer("openai", past, system="Be brief.") == "Hello there"
    (asked,) = completions.asked
    assert asked["model"] == "tiny"
    assert asked["stream"] is True
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "?"},
    ]


async def test_a_wrong_key_is_an_error_that_does_not_show_it(answer: Answer) -> None:
    with pytest.raises(AgentError, match="status 401") as caught:
        await answer("openai", key="sk-a-wrong-one")
    assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500])
async def test_an_agent_that_is_busy_is_asked_again_and_then_no_more(
    answer: Answer, completions: ChatCompletionsServer, status: int
) -> None:
    completions.statuses = [status]
    assert await answer("openai") == "Hello there"
    completions.statuses = [status] * 10
    with pytest.raises(AgentError, match=f"status {status}"):
        await answer("openai")
    assert len(completions.asked) == 2 + 3


async def test_an_agent_that_is_not_there_is_an_error(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.01)
    with pytest.raises(AgentError):
        await answer("openai", agent="http://127.0.0.1:9/v1")


async def test_a_completion_without_an_end_is_cut_off(
    answer: Answer, completions: ChatCompletionsServer
) -> None:
    async def events() -> AsyncIterator[bytes]:
        while True:
            yield event("飞享" * 10)

    completions.events = events
    assert await answer("openai") == "飞享" * (MAX_CHARS // 2)


@pytest.mark.parametrize(
    "part", [b"data: " + b"x" * 10_000, b"a\n" * 5_000, b": \r\n" * 5_000], ids=["line", "lines", "comment"]
)
async def test_an_event_without_an_end_is_an_error(
    answer: Answer, completions: ChatCompletionsServer, part: bytes
) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield event("begun")
        while True:
            yield part

    completions.events = events
    with pytest.raises(AgentError, match="too large"):
        await answer("openai")


async def test_many_small_events_are_no_large_one(answer: Answer, completions: ChatCompletionsServer) -> None:
    async def events() -> AsyncIterator[bytes]:
        for _ in range(MAX_EVENT_BYTES // 1_000):
            yield b": " + b"alive" * 400 + b"\n\n"
        yield event("at last") + DONE

    completions.events = events
    assert await answer("openai") == "at last"


@pytest.mark.parametrize(
    "sent",
    [
        b"data: \xff\xfe\n\n",
        b"data: {\n\n",
        b"data: 5\n\n",
        b'data: {"choices": 5}\n\n',
        b'data: {"choices": [{}]}\n\n',
        b'data: {"choices": [{"delta": 5}]}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"error": {"message": "out of memory"}}\n\n',
    ],
    ids=str,
)
async def test_events_that_are_none_of_this_form_are_an_error(
    answer: Answer, completions: ChatCompletionsServer, sent: bytes
) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield sent
        yield event("more") + DONE

    completions.events = events
    with pytest.raises(AgentError):
        await answer("openai")


async def test_halves_of_characters_become_marks(answer: Answer, completions: ChatCompletionsServer) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield event("HALF").replace(b"HALF", rb"a\ud83db") + DONE

    completions.events = events
    assert await answer("openai") == "a?b"


async def test_what_says_nothing_is_passed_over(answer: Answer, completions: ChatCompletionsServer) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b": keep-alive\n\n" + event(None) + event("") + b'data: {"choices": []}\n\n'
        yield event("said").replace(b"\n\n", b"\r\n\r\n") + DONE

    completions.events = events
    assert await answer("openai") == "said"


async def test_a_stream_that_breaks_is_an_error(answer: Answer, completions: ChatCompletionsServer) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield event("half")
        raise ConnectionResetError

    completions.events = events
    with pytest.raises(AgentError):
        await answer("openai")


async def test_a_slow_agent_can_be_left(answer: Answer, completions: ChatCompletionsServer) -> None:
    async def events() -> AsyncIterator[bytes]:
        yield event("half")
        await completions.go_on.wait()

    completions.events = events
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await answer("openai")


async def test_without_the_package_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("roles.group.agents.import_module", missing)
    agent = AgentSettings(uid="r", name="R", kind="openai", agent="http://h/v1", model="tiny")
    assert await Agents.prepare(agent) == INSTALL_OPENAI
    assert await Agents.prepare(agent.model_copy(update={"kind": "ask"})) == ""
