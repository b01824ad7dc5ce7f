"""The way of a login by OpenID Connect over HTTP: of a browser, and of a terminal."""

import base64
import re
from typing import Any

import orjson
import pytest
from aiohttp import web
from yarl import URL

from fsharechat import settings_schema as s
from fsharechat.oidc import provider as provider_module
from fsharechat.protocol.signals import LoginCode
from fsharechat.rpc import Call, Method
from fsharechat.store import oidc
from fsharechat.tracing import TRACING
from roles.api.gate import digest_of
from tests.unit.api.api_kit import Site
from tests.unit.api.office_kit import Desk
from tests.unit.api.oidc.oidc_kit import EMAIL, PUBLIC, Browser, failed, profile
from tools.testing.fake_provider import SECRET, FakeProvider


async def test_a_browser_goes_to_the_provider_and_comes_back_logged_in(
    site: Site, browser: Browser, provider: FakeProvider
) -> None:
    where = URL(await browser.begin())
    assert str(where.with_query(None)) == f"{provider.issuer}/auth"
    assert where.query["redirect_uri"] == f"{PUBLIC}/oidc/callback"
    assert (where.query["response_type"], where.query["code_challenge_method"]) == ("code", "S256")
    cookie = browser.attributes["fsharechat_oidc"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    first = browser.cookies["fsharechat_oidc"]
    assert first not in str(where)
    assert await browser.come_back(provider.log_in(str(where))) == "/#oidc=done"
    assert browser.cookies["fsharechat_oidc"] != first  # who knew the first one gets nothing
    answer = await browser.finish()
    assert (answer.status, answer.code) == (200, LoginCode.SUCCESS)
    assert answer.body["result"]["register"] is True
    found = await site.node.store.read(profile(answer.body["result"]["userId"]))
    assert tuple(found) == (EMAIL, EMAIL, "Ann Example", EMAIL, "")
    proof = base64.b64encode(b"chat:secret%3Aof%2Fthe+client").decode()
    assert [one[2] for one in provider.asked if one[0] == "/token"] == [f"Basic {proof}"]
    text = str(site.logs)
    assert not [one for one in (*browser.cookies.values(), first, "code-0", SECRET) if one in text]


async def test_a_state_of_another_browser_or_none_begins_nothing(
    site: Site, browser: Browser, provider: FakeProvider
) -> None:
    victim = Browser(site, provider)
    await victim.begin()
    back = provider.log_in(await browser.begin())
    assert await victim.come_back(back) == "/#oidc=expired"
    assert await Browser(site, provider).come_back(back) == "/#oidc=expired"
    assert [one[0] for one in provider.asked if one[0] == "/token"] == []
    assert await browser.come_back(back) == "/#oidc=done"


async def test_a_login_is_good_once(browser: Browser, provider: FakeProvider) -> None:
    back = provider.log_in(await browser.begin())
    kept = dict(browser.cookies)
    assert await browser.come_back(back) == "/#oidc=done"
    known = dict(browser.cookies)
    assert (await browser.finish()).code == LoginCode.SUCCESS
    assert (await browser.finish("web-2")).code == LoginCode.CODE_EXPIRED
    browser.cookies = kept
    assert await browser.come_back(back) == "/#oidc=expired"
    assert [one[0] for one in provider.asked].count("/token") == 1
    browser.cookies = known
    assert (await browser.finish("web-3")).body[
        "message"
    ] == "This login took too long, or is already done. Begin again."


async def test_a_login_is_good_for_minutes(site: Site, browser: Browser, provider: FakeProvider) -> None:
    back = provider.log_in(await browser.begin())
    site.now += 601_000
    assert await browser.come_back(back) == "/#oidc=expired"
    assert await browser.go() == "/#oidc=done"
    site.now += 121_000
    assert (await browser.finish()).code == LoginCode.CODE_EXPIRED


async def test_a_login_that_is_carried_out_again_gives_the_device_its_session(
    site: Site, browser: Browser
) -> None:
    assert await browser.go() == "/#oidc=done"
    body = {"op": "login", "digest": digest_of(browser.cookies["fsharechat_oidc"]), "account": None}
    body |= {"clientId": "web-1", "agent": "", "deviceName": "", "address": "", "invitation": ""}
    for retried in (False, True):
        reply = await site.node.rpc.call(Call(Method.OIDC, "", "", orjson.dumps(body), retried=retried))
        assert orjson.loads(reply.payload)["result"]["register"] is True
    other = orjson.dumps({**body, "clientId": "web-2"})
    reply = await site.node.rpc.call(Call(Method.OIDC, "", "", other, retried=True))
    assert orjson.loads(reply.payload)["code"] == LoginCode.CODE_EXPIRED


async def test_no_page_of_another_origin_finishes_a_login(site: Site, browser: Browser) -> None:
    assert await browser.go() == "/#oidc=done"
    cookie = {"Cookie": f"fsharechat_oidc={browser.cookies['fsharechat_oidc']}"}
    assert (await site.post("/oidc/login", {"clientId": "web-1"}, **cookie)).status == 400


async def test_the_person_or_the_provider_may_refuse(site: Site, browser: Browser) -> None:
    state = URL(await browser.begin()).query["state"]
    back = f"{PUBLIC}/oidc/callback?error=access_denied&error_description=Ann+Example&state={state}"
    assert await browser.come_back(back) == "/#oidc=refused"
    assert "Ann" not in str(site.logs)


async def test_another_provider_cannot_answer(browser: Browser, provider: FakeProvider) -> None:
    back = provider.log_in(await browser.begin())
    assert await browser.come_back(f"{back}&iss=https%3A%2F%2Fevil.example") == "/#oidc=wrong"


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=503),
        web.Response(body=b"no JSON"),
        web.Response(body=b'{"issuer": "https://evil.example"}'),
        web.Response(body=b" " * (provider_module.MAX_BYTES + 1)),
    ],
)
async def test_a_provider_that_is_away_fails_that_login_alone_until_it_is_back(
    site: Site, browser: Browser, provider: FakeProvider, answer: web.Response
) -> None:
    provider.answers["/.well-known/openid-configuration"] = answer
    assert await browser.begin() == "/#oidc=away"
    assert failed(site)[0][0] == "away"
    assert (await site.login(await site.new_code())).code == LoginCode.SUCCESS
    provider.answers.clear()
    assert (await browser.log_in()).code == LoginCode.SUCCESS


async def test_a_code_that_the_provider_does_not_take_is_over(
    browser: Browser, provider: FakeProvider
) -> None:
    back = provider.log_in(await browser.begin())
    assert await browser.come_back(back.replace("code-0", "code-9")) == "/#oidc=expired"


async def test_no_more_logins_are_under_way_than_there_is_room(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "MAX_UNDER_WAY", 2)
    await browser.begin()
    await browser.begin()
    assert await browser.begin() == "/#oidc=busy"
    site.now += 601_000
    assert await browser.go() == "/#oidc=done"


async def test_an_address_begins_so_many_logins(site: Site) -> None:
    found = []
    for _ in range(32):
        asked = site.http.get(
            "/oidc/begin", headers={"X-Forwarded-For": "203.0.113.7"}, allow_redirects=False
        )
        async with asked as response:
            found.append(response.headers["Location"] == "/#oidc=busy")
    assert found == [False] * 30 + [True] * 2


async def test_a_terminal_is_logged_in_when_somebody_allows_it(site: Site, provider: FakeProvider) -> None:
    begun = (await site.post("/oidc/device", {})).body["result"]
    assert (begun["userCode"], begun["verificationUri"]) == ("AB-CD", f"{provider.issuer}/go")
    asked = {"deviceCode": begun["deviceCode"], "clientId": "terminal-1"}
    for _ in range(3):  # the provider is asked once in five seconds, however often the terminal asks
        assert (await site.post("/oidc/device/login", asked)).body["result"] == {"pending": True}
    assert [one[0] for one in provider.asked].count("/token") == 1
    provider.allowed = True
    site.now += 5_000
    answer = await site.post("/oidc/device/login", asked)
    assert (answer.code, answer.body["result"]["register"]) == (LoginCode.SUCCESS, True)
    site.now += 5_000
    assert (await site.post("/oidc/device/login", asked)).code == LoginCode.CODE_EXPIRED
    other = {"deviceCode": "made up", "clientId": "terminal-1"}
    assert (await site.post("/oidc/device/login", other)).code == LoginCode.CODE_EXPIRED
    assert begun["deviceCode"] not in str(site.logs)


@pytest.mark.parametrize("body", [{}, {"deviceCode": 7.5}, {"deviceCode": "x" * 5000, "clientId": "a"}, []])
async def test_a_wrong_request_of_a_terminal_is_refused(site: Site, body: object) -> None:
    assert (await site.post("/oidc/device/login", body)).status == 400


async def test_a_login_has_one_trace_in_both_roles(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TRACING, "on", True)
    await browser.log_in()
    await site.login("000000", EMAIL)
    logins = [line["trace"] for line in site.logs if line["event"] == "login"]
    refused = [line["trace"] for line in site.logs if line["event"] == "login refused"]
    taken = [line["trace"] for line in site.logs if line["event"] == "call taken"]
    assert len(logins) == len(refused) == 1
    assert re.fullmatch("http#[0-9a-f]{12}", logins[0])
    assert {logins[0], refused[0]} <= set(taken)
    assert logins[0] != refused[0]


class TestWithoutCodes:
    @pytest.fixture
    def more(self) -> dict[str, object]:
        return {"codes": False}

    @pytest.fixture
    def codes(self) -> s.CodesSettings:
        return s.CodesSettings(super_code="Sesam66")

    async def test_no_codes_are_sent_but_administrators_and_the_super_code_let_in(
        self, site: Site, browser: Browser
    ) -> None:
        for number in (EMAIL, "13812345678", "nonsense"):
            refused = await site.send_code(number)
            assert (refused.status, refused.code) == (200, LoginCode.MISCONFIGURED)
        assert refused.body["message"] == "此处不发送验证码，请用公司账号登录"
        assert [line for line in site.logs if line["event"] == "login code"] == []
        uid = (await browser.log_in()).body["result"]["userId"]
        made = (await Desk(site).ask("POST", f"/admin/users/{uid}/code")).body["result"]
        assert (await site.login(made["code"], EMAIL)).body["result"]["userId"] == uid
        assert (await site.login("Sesam66", EMAIL)).body["result"]["userId"] == uid


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"issuer": "id.example"}, "must be https://host"),
        ({"issuer": "http://id.example"}, "http:// only on this machine"),
        ({"issuer": "https://id.example/?a=b"}, "must be https://host"),
        ({"issuer": "https://id.example"}, "client_id and public_url must be set"),
        ({"public_url": "https://chat.example/path"}, "must be https://host or https://host:port"),
        ({"scopes": ("profile",)}, 'must have "openid"'),
        ({"client_secret_file": "/nowhere"}, "must be the path of a file with the secret"),
        ({"required_claim": "groups"}, "must be set together"),
        ({"link": "always"}, "'never' or 'verified'"),
        ({"label": ""}, "at least 1 character"),
        ({"codes": False}, "only where issuer is set"),
    ],
)
def test_wrong_settings_say_what_would_be_right(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        s.OidcSettings(**values)
