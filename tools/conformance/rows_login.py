"""Section 3: codes and login over HTTP, and the token."""

import base64
import re

from tools.conformance import shapes
from tools.conformance.checks import Skip, same
from tools.conformance.device import ACCEPTED
from tools.conformance.rows import HTTP, row
from tools.conformance.world import World, new_client_id, new_number
from tools.wire import crypto

ANSWER = shapes.exact(code={"type": "integer", "minimum": 0, "maximum": 10}, message=shapes.TEXT, result={})
HAN = re.compile("[\u4e00-\u9fff]")
NO_NUMBERS = ("12345678901", "1380000000", "138000000011", "23800000000", "nobody", "a@b", "@b.com")


def _may_send_codes(world: World) -> None:
    if not world.target.own:
        raise Skip("codes would go to strangers (--send-codes)")


async def _code(world: World, path: str, **body: str) -> int:
    status, answer = await world.post(path, dict(body))
    shapes.check(answer, ANSWER, f"the answer to {path}")
    code: int = answer["code"]
    if path == "/send_code":
        same(answer["result"], True if code == 0 else None, "the result of /send_code")
    if code != 4:
        same(status, 200, "the HTTP status")
    return code


@row("3 send_code to a mobile number", HTTP)
async def send_code(world: World) -> None:
    _may_send_codes(world)
    same(await _code(world, "/send_code", mobile=new_number()), 0)


@row("3 send_code to an e-mail address", HTTP)
async def send_code_by_mail(world: World) -> None:
    _may_send_codes(world)
    same(await _code(world, "/send_code", mobile=f"{new_client_id()}@example.com"), 0)


@row("3 send_code to an invalid number: result 1", HTTP)
async def send_code_to_nobody(world: World) -> None:
    for number in NO_NUMBERS:
        same(await _code(world, "/send_code", mobile=number), 1, number)


@row("3 send_code twice within a minute: result 3", HTTP)
async def too_often(world: World) -> None:
    _may_send_codes(world)
    number = new_number()
    same(await _code(world, "/send_code", mobile=number), 0)
    same(await _code(world, "/send_code", mobile=number), 3)
    same(await _code(world, "/send_code", mobile=new_number()), 0, "another number")


@row("3 login answers userId, token and register", HTTP)
async def login(world: World) -> None:
    number = new_number()
    first = await world.login(number)
    again = await world.login(number)
    same((first.registered, again.registered), (True, False), "register")
    same(again.user_id, first.user_id, "the user of the number")
    assert (await world.login()).user_id != first.user_id


@row("3 the super code is accepted for every number", HTTP)
async def super_code(world: World) -> None:
    for number in (new_number(), f"{new_client_id()}@example.com"):
        assert (await world.login(number)).registered


@row("3 login with a wrong code: result 6", HTTP)
async def wrong_code(world: World) -> None:
    _may_send_codes(world)
    number = new_number()
    same(await _code(world, "/send_code", mobile=number), 0)
    same(await _code(world, "/login", mobile=number, code="not it", clientId=new_client_id()), 6)
    _, answer = await world.post("/login", {"mobile": number, "code": "not it", "clientId": new_client_id()})
    same(answer["result"], None, "the result of a refusal")


@row("3 login with an invalid number: result 1", HTTP)
async def login_of_nobody(world: World) -> None:
    for number in NO_NUMBERS:
        code = world.target.code
        same(await _code(world, "/login", mobile=number, code=code, clientId=new_client_id()), 1, number)


@row("3 a refusal is told in the language of the client, in Chinese where none is asked for", HTTP)
async def told(world: World) -> None:
    for language, chinese in (("", True), ("zh-CN,zh;q=0.9", True), ("en-US,en;q=0.9", False)):
        headers = {"Accept-Language": language} if language else {}
        body = {"mobile": NO_NUMBERS[0], "code": "1", "clientId": new_client_id()}
        for path in ("/send_code", "/login"):
            _, answer = await world.post(path, body, **headers)
            same(
                bool(HAN.search(answer["message"])), chinese, f"Chinese for {language!r}: {answer['message']}"
            )


@row("3 the preflight of another origin", HTTP)
async def preflight(world: World) -> None:
    headers = {
        "Origin": "https://chat.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for path in ("/login", "/send_code"):
        async with world.http.options(world.url(path), headers=headers) as answer:
            assert answer.status in (200, 204), answer.status
            allowed = answer.headers
        assert allowed["Access-Control-Allow-Origin"] in ("*", headers["Origin"]), allowed
        assert "POST" in allowed["Access-Control-Allow-Methods"], allowed
        assert "content-type" in allowed["Access-Control-Allow-Headers"].lower(), allowed


@row("3 an answer to another origin", HTTP)
async def cross_origin(world: World) -> None:
    headers = {"Origin": "https://chat.example.com"}
    body = {"mobile": new_number(), "code": world.target.code, "clientId": new_client_id()}
    async with world.http.post(world.url("/login"), json=body, headers=headers) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", headers["Origin"]), answer.headers


@row("3 the token: a stamp, and three parts under the default key", HTTP)
async def token(world: World) -> None:
    _, answer = await world.post(
        "/login", {"mobile": new_number(), "code": world.target.code, "clientId": new_client_id()}
    )
    before = crypto.hours()
    parts = crypto.open_token(answer["result"]["token"])
    same(parts.stamp[3], 0, "the top byte of the stamp")
    hours = int.from_bytes(parts.stamp, "little")
    assert abs(hours - before) <= 1, f"stamped {hours}, and it is {before}"
    assert base64.b64decode(parts.user_token, validate=True), "user_token is no base64"
    assert len(parts.secret) >= 16, f"a secret of {len(parts.secret)} characters"
    assert parts.secret.isascii(), "the secret is not ASCII"
    assert parts.db_secret.isascii(), "db_secret is not ASCII"


@row("3 one session is kept for each user and client", HTTP)
async def sessions(world: World) -> None:
    number = new_number()
    phone, tablet = await world.login(number, "phone"), await world.login(number, "tablet")
    other = await world.login(new_number(), "phone")
    for session in (phone, tablet, other):
        device = await world.device(session, "tcp")
        same(await device.connect(), ACCEPTED, session.client_id)
