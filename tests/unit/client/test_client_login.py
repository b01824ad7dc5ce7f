"""Login over HTTP and the credentials it gives (contract.md section 3)."""

import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fsharechat.client import Credentials, Disconnected, InvalidReply, LoginError, login, send_code
from fsharechat.protocol.crypto import login_token

Serve = Callable[[Any], Awaitable[tuple[str, list[tuple[str, Any]]]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A fake HTTP server that answers everything with one JSON value, and keeps what it was asked."""
    runners: list[web.AppRunner] = []

    async def start(answer: Any) -> tuple[str, list[tuple[str, Any]]]:
        asked: list[tuple[str, Any]] = []

        async def handle(request: web.Request) -> web.Response:
            asked.append((request.path, await request.json()))
            return web.json_response(answer)

        app = web.Application()
        app.router.add_post("/{path}", handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}", asked

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_send_code(serve: Serve) -> None:
    url, asked = await serve({"code": 0, "message": "success", "result": None})
    await send_code(url + "/", "13800000001")
    assert asked == [("/send_code", {"mobile": "13800000001"})]


async def test_login_opens_the_token(serve: Serve) -> None:
    token = login_token("dG9rZW4=", "0123456789abcdef", "db")
    url, asked = await serve(
        {"code": 0, "message": "success", "result": {"userId": "u1", "token": token, "register": True}}
    )
    credentials = await login(url, "13800000001", "66666", "device-1")
    assert asked == [("/login", {"mobile": "13800000001", "code": "66666", "clientId": "device-1"})]
    assert credentials == Credentials("u1", "dG9rZW4=", "0123456789abcdef", "db", "device-1", True)


async def test_an_invitation_goes_with_both_requests(serve: Serve) -> None:
    url, asked = await serve({"code": 6, "message": "error", "result": None})
    with pytest.raises(LoginError):
        await send_code(url, "13800000001", invitation="abc")
    with pytest.raises(LoginError):
        await login(url, "13800000001", "66666", "device-1", invitation="abc")
    assert [body["invitation"] for _, body in asked] == ["abc", "abc"]


@pytest.mark.parametrize(("code", "words"), [(6, "code is wrong"), (3, "too often"), (77, "unknown code 77")])
async def test_a_refused_login_says_why(serve: Serve, code: int, words: str) -> None:
    url, _ = await serve({"code": code, "message": "error", "result": None})
    with pytest.raises(LoginError, match=words) as caught:
        await login(url, "13800000001", "00000", "device-1")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "answer",
    [[], "no", {"result": 1}, {"code": 0, "result": {"userId": "u1", "token": "AAAA", "register": False}}],
)
async def test_an_answer_that_is_no_login(serve: Serve, answer: Any) -> None:
    url, _ = await serve(answer)
    with pytest.raises(InvalidReply):
        await login(url, "13800000001", "66666", "device-1")


async def test_an_unreachable_server() -> None:
    with pytest.raises(Disconnected, match="cannot be reached"):
        await send_code("http://127.0.0.1:1", "13800000001")


def test_credentials_are_kept_in_a_private_file_and_their_secrets_out_of_the_repr(tmp_path: Path) -> None:
    credentials = Credentials("u1", "dG9rZW4=", "0123456789abcdef", "db-secret", "device-1")
    path = tmp_path / "credentials.json"
    credentials.save(path)
    assert Credentials.load(path) == credentials
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "0123456789abcdef" not in repr(credentials)
    assert "dG9rZW4=" not in repr(credentials)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"user_id": "u1", "more": 1}'])
def test_other_text_is_no_credentials(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Credentials.from_json(text)
