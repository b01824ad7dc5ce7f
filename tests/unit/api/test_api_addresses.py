"""How often an address may ask for codes and log in, and whose address that is."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from fsharechat.protocol.signals import LoginCode
from roles.api.addresses import behind_proxies, counted_as
from roles.api.app import make_app
from tests.unit.api.api_kit import NUMBER, Site

ANN, BOB = "203.0.113.7", "203.0.113.8"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None, "", "nonsense"]
)
def test_this_machine_is_not_counted(address: str | None) -> None:
    assert counted_as(address) == ""


def test_a_network_of_ipv6_is_one_address_and_the_two_forms_of_ipv4_too() -> None:
    assert counted_as("2001:db8:1:2::1") == counted_as("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert counted_as("2001:db8:1:3::1") == "2001:db8:1:3::/64"
    assert counted_as(f"::ffff:{ANN}") == counted_as(ANN) == ANN


async def remote(trusted: tuple[str, ...], peer: str, forwarded: list[str]) -> str:
    """Return who `request.remote` is for a connection from `peer` with these X-Forwarded-For headers."""

    @web.middleware
    async def connected_from(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await handler(request.clone(remote=peer))

    async def tell(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.remote} {await request.text()}")

    app = web.Application(middlewares=[connected_from, behind_proxies(trusted)])
    app.router.add_post("/", tell)
    async with TestServer(app) as server, ClientSession() as http:
        headers = [("X-Forwarded-For", value) for value in forwarded]
        async with http.post(server.make_url("/"), headers=headers, data=b"body") as response:
            address, _, body = (await response.text()).partition(" ")
            assert body == "body"
            return address


PROXIES = ("127.0.0.1", "::1", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [ANN], ANN),
        ("::1", [ANN], ANN),
        ("127.0.0.1", [f"{BOB}, {ANN}"], ANN),
        ("127.0.0.1", [BOB, ANN], ANN),
        ("127.0.0.1", [f"{BOB}, {ANN}, 10.1.2.3"], ANN),
        ("127.0.0.1", ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("127.0.0.1", [f"{ANN}:55123"], ANN),
        ("127.0.0.1", ["[2001:db8::7]:55123"], "2001:db8::7"),
        ("127.0.0.1", [f"::ffff:{ANN}"], ANN),
        ("127.0.0.1", [f"{BOB}, unknown"], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        (BOB, [ANN], BOB),
        (BOB, ["127.0.0.1"], BOB),
    ],
)
async def test_the_client_is_the_nearest_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert await remote(PROXIES, peer, forwarded) == client


async def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert await remote((), "127.0.0.1", [ANN]) == "127.0.0.1"


async def test_an_address_that_asks_for_too_many_codes_gets_result_3(site: Site) -> None:
    headers = {"X-Forwarded-For": ANN}
    for n in range(30):
        answer = await site.post("/send_code", {"mobile": f"138000000{n:02}"}, **headers)
        assert answer.code == LoginCode.SUCCESS
    refused = await site.post("/send_code", {"mobile": NUMBER}, **headers, Origin="https://chat.example")
    assert (refused.status, refused.code, refused.body["result"]) == (200, LoginCode.TOO_OFTEN, None)
    assert refused.headers["Access-Control-Allow-Origin"] == "https://chat.example"
    other = await site.post("/send_code", {"mobile": NUMBER}, **{"X-Forwarded-For": BOB})
    assert other.code == LoginCode.SUCCESS
    login = await site.post("/login", {"mobile": NUMBER, "code": "1", "clientId": "phone"}, **headers)
    assert login.code == LoginCode.WRONG_CODE  # logins are counted apart


async def test_an_address_that_logs_in_too_often_gets_result_3_with_a_right_code_too(site: Site) -> None:
    code = await site.new_code()
    headers = {"X-Forwarded-For": ANN}
    for n in range(60):
        body = {"mobile": f"139000000{n:02}", "code": "1", "clientId": "phone"}
        assert (await site.post("/login", body, **headers)).code == LoginCode.CODE_EXPIRED
    body = {"mobile": NUMBER, "code": code, "clientId": "phone"}
    assert (await site.post("/login", body, **headers)).code == LoginCode.TOO_OFTEN
    assert (await site.post("/login", body)).code == LoginCode.SUCCESS  # from this machine itself


async def test_an_address_that_guesses_is_locked_and_no_other(site: Site) -> None:
    guesser, refused = {"X-Forwarded-For": ANN}, {"X-Forwarded-For": BOB}
    numbers = [f"139000000{n:02}" for n in range(4)]
    codes = [await site.new_code(number) for number in numbers]
    for n in range(10):
        body = {"mobile": numbers[n % 4], "code": "wrong", "clientId": "phone"}
        assert (await site.post("/login", body, **guesser)).code == LoginCode.WRONG_CODE
    body = {"mobile": numbers[0], "code": codes[0], "clientId": "phone"}
    assert (await site.post("/login", body, **guesser)).code == LoginCode.TOO_OFTEN
    assert (await site.post("/login", body, **refused)).code == LoginCode.SUCCESS
    site.now += 60_000  # one in sixty seconds may be wrong
    body = {"mobile": numbers[1], "code": codes[1], "clientId": "phone"}
    assert (await site.post("/login", body, **guesser)).code == LoginCode.SUCCESS


async def test_a_limit_holds_whichever_process_is_asked(site: Site) -> None:
    headers = {"X-Forwarded-For": ANN}
    async with TestServer(make_app(site.node)) as second, ClientSession() as http:

        async def ask(n: int, path: str, **more: str) -> int:
            body = {"mobile": f"138000000{n:02}", **more}
            if n % 2:
                return (await site.post(path, body, **headers)).code
            async with http.post(second.make_url(path), json=body, headers=headers) as response:
                return int((await response.json())["code"])

        codes = [await ask(n, "/send_code") for n in range(32)]
        assert codes == [LoginCode.SUCCESS] * 30 + [LoginCode.TOO_OFTEN] * 2
        site.now += 300_000  # now there is nothing to guess
        logins = [await ask(n, "/login", code="1", clientId="phone") for n in range(62)]
        assert logins == [LoginCode.CODE_EXPIRED] * 60 + [LoginCode.TOO_OFTEN] * 2
