"""LOGIN and SEND_CODE that are made again because the connection to a group process broke."""

from typing import Any

import orjson
import pytest

from fsharechat.codes.log import LogCodes
from fsharechat.protocol import crypto
from fsharechat.protocol.signals import Code, LoginCode, SubSignal
from fsharechat.rpc import Method
from tests.unit.group.group_kit import Office

NUMBER = "13812345678"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the codes as they are sent."""
    codes: list[str] = []

    async def send(_sender: LogCodes, _number: str, code: str) -> None:
        codes.append(code)

    monkeypatch.setattr(LogCodes, "send", send)
    return codes


async def ask(office: Office, method: Method, retried: bool = False, **body: str) -> dict[str, Any]:
    reply = await office.ask("", method, orjson.dumps({"mobile": NUMBER, **body}), retried=retried)
    assert reply.code == Code.SUCCESS
    answer: dict[str, Any] = orjson.loads(reply.payload)
    return answer


async def login(office: Office, code: str, client: str = "phone", retried: bool = False) -> dict[str, Any]:
    return await ask(office, Method.LOGIN, retried, code=code, clientId=client)


async def test_a_login_made_again_succeeds_as_the_first_did_and_its_token_connects(
    office: Office, sent: list[str]
) -> None:
    await ask(office, Method.SEND_CODE)
    first = await login(office, sent[0])
    again = await login(office, sent[0], retried=True)
    for answer in (first, again):
        assert (answer["code"], answer["result"]["register"]) == (LoginCode.SUCCESS, True)
    assert again["result"]["userId"] == first["result"]["userId"]
    user_token, secret, db_secret = crypto.open_login_token(again["result"]["token"])
    assert db_secret == crypto.open_login_token(first["result"]["token"])[2]
    password = crypto.connect_password(user_token, secret).encode()
    reply = await office.ask(again["result"]["userId"], Method.AUTHENTICATE, password)
    assert reply.code == SubSignal.CONNECTION_ACCEPTED


async def test_a_used_code_serves_neither_a_new_login_nor_another_device(
    office: Office, sent: list[str]
) -> None:
    await ask(office, Method.SEND_CODE)
    await login(office, sent[0])
    assert (await login(office, sent[0]))["code"] == LoginCode.CODE_EXPIRED
    assert (await login(office, sent[0], "thief", retried=True))["code"] == LoginCode.CODE_EXPIRED


async def set_status(office: Office, status: str) -> None:
    body = orjson.dumps({"op": "users.status", "user": NUMBER, "status": status})
    reply = await office.ask("", Method.ADMIN, body)
    assert orjson.loads(reply.payload)["code"] == 200


async def connect(office: Office, result: dict[str, str], client: str = "phone") -> int:
    user_token, secret, _ = crypto.open_login_token(result["token"])
    password = crypto.connect_password(user_token, secret).encode()
    return (await office.ask(result["userId"], Method.AUTHENTICATE, password, client=client)).code


async def new_code(office: Office, sent: list[str]) -> str:
    office.now += 60_000
    assert (await ask(office, Method.SEND_CODE))["code"] == LoginCode.SUCCESS
    return sent[-1]


async def test_a_blocked_user_cannot_log_in_and_nobody_without_a_code_learns_why(
    office: Office, sent: list[str]
) -> None:
    before = (await login(office, await new_code(office, sent)))["result"]
    assert await connect(office, before) == SubSignal.CONNECTION_ACCEPTED
    await set_status(office, "blocked")
    code = await new_code(office, sent)
    assert (await login(office, f"{(int(code) + 1) % 1_000_000:06}"))["code"] == LoginCode.WRONG_CODE
    for client, retried in (("phone", False), ("phone", True)):
        answer = await login(office, code, client, retried)
        assert (answer["code"], answer["result"]) == (LoginCode.NO_SESSION, None)
    assert await connect(office, before) == SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED
    assert await connect(office, before, "web") == SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST


async def test_after_a_block_one_logs_in_again_and_keeps_what_the_device_has(
    office: Office, sent: list[str]
) -> None:
    before = (await login(office, await new_code(office, sent)))["result"]
    for status in ("blocked", "normal"):
        await set_status(office, status)
    assert await connect(office, before) == SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD
    after = (await login(office, await new_code(office, sent)))["result"]
    assert await connect(office, after) == SubSignal.CONNECTION_ACCEPTED
    assert after["register"] is False
    assert crypto.open_login_token(after["token"])[2] == crypto.open_login_token(before["token"])[2]


async def test_a_code_asked_for_again_is_sent_again(office: Office, sent: list[str]) -> None:
    assert (await ask(office, Method.SEND_CODE))["code"] == LoginCode.SUCCESS
    assert (await ask(office, Method.SEND_CODE))["code"] == LoginCode.TOO_OFTEN
    assert (await ask(office, Method.SEND_CODE, retried=True))["code"] == LoginCode.SUCCESS
    assert (await login(office, sent[-1]))["code"] == LoginCode.SUCCESS
