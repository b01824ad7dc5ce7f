"""Logins by OpenID Connect over HTTP, against a provider that can be made to do wrong."""

import base64
import time
from collections.abc import AsyncIterator, Callable
from http.cookies import SimpleCookie
from typing import Any

import jwt
import orjson
import pytest
from aiohttp import web
from yarl import URL

from fsharechat import settings as s
from fsharechat.oidc import provider as provider_module
from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.rpc import Call, Method
from fsharechat.store import oidc, personal, users
from fsharechat.store.unit import Dialect, Query, Unit
from roles.api.gate import digest_of
from tests.unit.api.api_kit import ApiAnswer, Site
from tests.unit.api.office_kit import Desk
from tools.testing.fake_provider import ANN, CLIENT, SECRET, FakeProvider, SigningKey

PUBLIC = "http://localhost:8081"
PAGE = {"X-Requested-With": "fsharechat"}
EMAIL = "ann@corp.example"


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider.run() as running:
        yield running


@pytest.fixture
def more() -> dict[str, object]:
    """Return further settings of [oidc]; tests give others by parametrize."""
    return {}


@pytest.fixture
def company(provider: FakeProvider, more: dict[str, object]) -> s.OidcSettings:
    return s.OidcSettings(
        issuer=provider.issuer,
        client_id=CLIENT,
        client_secret=SECRET,
        public_url=PUBLIC,
        **more,
    )


class Browser:
    """A browser that logs in: it has cookies, and follows no redirect by itself."""

    def __init__(self, site: Site, provider: FakeProvider) -> None:
        self.site = site
        self.provider = provider
        self.cookies: dict[str, str] = {}

    async def get(self, path: str | URL) -> tuple[int, str]:
        asked = self.site.http.get(path, headers=self._headers(), allow_redirects=False)
        async with asked as response:
            found: SimpleCookie = response.cookies
            self.cookies |= {name: one.value for name, one in found.items()}
            self.attributes = {name: dict(one) for name, one in found.items()}
            return response.status, response.headers.get("Location", "")

    async def begin(self) -> str:
        status, where = await self.get("/oidc/begin")
        assert status == 302
        return where

    async def come_back(self, where: str) -> str:
        """Return to which page the browser is sent."""
        assert where.startswith(f"{PUBLIC}/oidc/callback?")
        status, page = await self.get(where.removeprefix(PUBLIC))
        assert status == 302
        return page

    async def go(self) -> str:
        return await self.come_back(self.provider.log_in(await self.begin()))

    async def finish(self, client_id: str = "web-1", **more: str) -> ApiAnswer:
        headers = {**self._headers(), **PAGE, "Accept-Language": "en"}
        return await self.site.post("/oidc/login", {"clientId": client_id, **more}, **headers)

    async def log_in(self, client_id: str = "web-1", **more: str) -> ApiAnswer:
        assert await self.go() == "/#oidc=done"
        return await self.finish(client_id, **more)

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


@pytest.fixture
def browser(site: Site, provider: FakeProvider) -> Browser:
    return Browser(site, provider)


def failed(site: Site) -> list[tuple[str, str]]:
    return [(line["why"], line["reason"]) for line in site.logs if line["event"] == "company login failed"]


def profile(uid: str) -> Callable[[Dialect], Unit[Any]]:
    def read(_: Dialect) -> Unit[Any]:
        sql = "SELECT number, name, display_name, email, mobile FROM users WHERE uid = ?"
        return (yield Query(sql, (uid,))).rows[0]

    return read


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


async def test_the_account_stays_the_same_user_whatever_its_address_becomes(
    browser: Browser, provider: FakeProvider
) -> None:
    first = (await browser.log_in()).body["result"]
    provider.claims["email"] = "ann.married@corp.example"
    second = (await browser.log_in("web-2")).body["result"]
    assert (second["userId"], second["register"]) == (first["userId"], False)
    provider.claims["sub"] = "somebody-else"
    provider.claims["email"] = "ben@corp.example"
    assert (await browser.log_in("web-3")).body["result"]["userId"] != first["userId"]


@pytest.mark.parametrize(
    ("claims", "number"),
    [
        ({"email_verified": False}, None),
        ({"email_verified": None}, None),
        ({"email_verified": "false"}, None),
        ({"email_verified": 1}, None),
        ({"email_verified": "true"}, EMAIL),
        ({"email": "no address"}, None),
        ({"email": None, "phone_number": "+86 13812345678", "phone_number_verified": True}, None),
        ({"email": None, "phone_number": "+8613812345678", "phone_number_verified": True}, "13812345678"),
        ({"email": None, "phone_number": "+8613812345678"}, None),
    ],
)
async def test_only_what_the_provider_has_verified_becomes_the_number(
    site: Site, browser: Browser, provider: FakeProvider, claims: dict[str, Any], number: str | None
) -> None:
    provider.changes = claims
    uid = (await browser.log_in()).body["result"]["userId"]
    found = await site.node.store.read(profile(uid))
    assert found[0] == (number or uid)
    assert (found[3], found[4]) == ((number, "") if number and "@" in number else ("", number or ""))


def changed(claims: dict[str, Any]) -> Callable[[FakeProvider], None]:
    return lambda provider: provider.changes.update(claims)


def unsigned(provider: FakeProvider) -> None:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **ANN}
    provider.token = jwt.encode(claims, "", "none")


def signed_with_the_secret(provider: FakeProvider) -> None:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **ANN}
    provider.token = jwt.encode(claims, "k" * 32, "HS256", {"kid": "one"})


def signed_by_somebody_else(provider: FakeProvider) -> None:
    own, provider.keys = provider.keys, [SigningKey("one")]
    provider.token = provider.id_token("x")
    provider.keys = own


def no_token(provider: FakeProvider) -> None:
    provider.answers["/token"] = web.Response(body=b"{}")


def signed(payload: bytes) -> Callable[[FakeProvider], None]:
    """Let the right key sign a payload that is no claims."""

    def spoil(provider: FakeProvider) -> None:
        (key,) = provider.keys
        provider.token = jwt.api_jws.encode(payload, key.private, "ES256", {"kid": key.name})

    return spoil


def nested_header(provider: FakeProvider) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 50_000).decode().rstrip("=")
    provider.token = f"{header}.e30.AAAA"


@pytest.mark.parametrize(
    "spoil",
    [
        changed({"aud": "another client"}),
        changed({"aud": [CLIENT, "another"]}),
        changed({"aud": [CLIENT, "another"], "azp": "another"}),
        changed({"azp": "another"}),
        changed({"iss": "https://evil.example"}),
        changed({"nonce": "another"}),
        changed({"nonce": None}),
        changed({"exp": int(time.time()) - 120}),
        changed({"exp": None}),
        changed({"iat": None}),
        changed({"iat": int(time.time()) + 3600}),
        changed({"nbf": int(time.time()) + 3600}),
        changed({"sub": None}),
        changed({"sub": ""}),
        changed({"sub": "s" * 256}),
        changed({"sub": 7}),
        changed({"sub": "\udc00"}),
        changed({"nonce": "\ud800"}),
        changed({"name": "A\ud83d"}),
        changed({"other": {"\udfff": ["\ud800"]}}),
        changed({"exp": float("inf")}),
        changed({"exp": float("nan")}),
        changed({"iat": float("inf")}),
        signed(b"[" * 50_000),
        signed(b"\xff"),
        signed(b"[]"),
        nested_header,
        unsigned,
        signed_with_the_secret,
        signed_by_somebody_else,
        no_token,
    ],
)
async def test_a_wrong_token_lets_nobody_in(
    site: Site, browser: Browser, provider: FakeProvider, spoil: Callable[[FakeProvider], None]
) -> None:
    spoil(provider)
    assert await browser.go() == "/#oidc=wrong"
    assert (await browser.finish()).code == LoginCode.CODE_EXPIRED
    assert not await site.node.store.read(users.has_number, EMAIL)
    (problem,) = failed(site)
    assert problem[0] == "wrong"
    assert EMAIL not in problem[1]


@pytest.mark.parametrize("code", ["%E4%BD%A0", "a%00b", "", "c" * 5000])
async def test_a_code_that_is_no_code_goes_no_further(
    browser: Browser, provider: FakeProvider, code: str
) -> None:
    where, _, rest = provider.log_in(await browser.begin()).partition("code=")
    back = f"{where}code={code}&{rest.partition('&')[2]}"
    assert await browser.get(URL(back.removeprefix(PUBLIC), encoded=True)) == (302, "/#oidc=wrong")
    assert "/token" not in [one[0] for one in provider.asked]


ME = {"email": EMAIL, "email_verified": True, "name": "Ann Example"}
NO_CLAIMS = {"email": None, "email_verified": None, "name": None}


@pytest.mark.parametrize(
    ("token", "said", "number", "name"),
    [
        (NO_CLAIMS, ME, EMAIL, "Ann Example"),
        ({"name": None}, {"name": "Ann"}, EMAIL, "Ann"),
        ({"email_verified": None}, {**ME, "name": "Other"}, EMAIL, "Ann Example"),
        # What one source says is verified is not the address of the other.
        ({"email": "boss@corp.example", "email_verified": None}, ME, EMAIL, "Ann Example"),
        ({"email_verified": False}, ME, None, "Ann Example"),
        ({"email": None, "email_verified": True}, {"email": EMAIL}, None, "Ann Example"),
        (NO_CLAIMS, {}, None, None),
    ],
)
async def test_what_the_id_token_lacks_is_asked_of_userinfo(
    site: Site,
    browser: Browser,
    provider: FakeProvider,
    token: dict[str, Any],
    said: dict[str, Any],
    number: str | None,
    name: str | None,
) -> None:
    provider.changes, provider.userinfo = token, said
    uid = (await browser.log_in()).body["result"]["userId"]
    found = await site.node.store.read(profile(uid))
    assert (found[0], found[2]) == (number or uid, name or users.default_name(uid))


@pytest.mark.parametrize("more", [{"scopes": ("openid", "profile", "email", "phone")}])
async def test_a_number_may_be_in_userinfo(site: Site, browser: Browser, provider: FakeProvider) -> None:
    provider.changes = {"email": None}
    provider.userinfo = {"phone_number": "+8613812345678", "phone_number_verified": True}
    uid = (await browser.log_in()).body["result"]["userId"]
    assert (await site.node.store.read(profile(uid)))[0] == "13812345678"


async def test_userinfo_is_not_asked_without_need(browser: Browser, provider: FakeProvider) -> None:
    provider.userinfo = {}
    assert await browser.go() == "/#oidc=done"
    assert "/me" not in [one[0] for one in provider.asked]


@pytest.mark.parametrize("more", [{"required_claim": "groups", "required_values": ("chat",)}])
@pytest.mark.parametrize(("said", "page"), [(["chat"], "done"), (["other"], "notLetIn"), (None, "notLetIn")])
async def test_the_claim_that_lets_in_may_be_in_userinfo(
    browser: Browser, provider: FakeProvider, said: object, page: str
) -> None:
    provider.userinfo = {"groups": said}
    assert await browser.go() == f"/#oidc={page}"


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        (web.Response(body=orjson.dumps({"sub": "somebody-else", **ME})), "wrong"),
        (web.Response(body=orjson.dumps(ME)), "wrong"),
        (web.Response(body=b'{"sub": "subject-of-ann", "email": "\\ud800"}'), "wrong"),
        (web.Response(body=b"header.claims.signature"), "wrong"),
        (web.Response(status=401), "away"),
        (web.Response(status=302, headers={"Location": "/"}), "away"),
        (web.Response(body=b" " * 300_000), "away"),
    ],
)
async def test_userinfo_of_another_account_or_none_lets_nobody_in(
    site: Site, browser: Browser, provider: FakeProvider, answer: web.Response, page: str
) -> None:
    provider.changes, provider.userinfo, provider.answers["/me"] = NO_CLAIMS, {}, answer
    assert await browser.go() == f"/#oidc={page}"
    assert (await browser.finish()).code == LoginCode.CODE_EXPIRED
    assert not await site.node.store.read(users.has_number, EMAIL)


async def test_a_small_difference_of_clocks_does_no_harm(browser: Browser, provider: FakeProvider) -> None:
    provider.changes = {"exp": int(time.time()) - 10, "iat": int(time.time()) + 10}
    assert await browser.go() == "/#oidc=done"


async def test_new_keys_of_the_provider_are_taken_up_but_not_asked_for_again_and_again(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(provider_module, "monotonic", lambda: now)
    await browser.log_in()
    provider.keys = [SigningKey("two")]
    assert await browser.go() == "/#oidc=wrong"
    assert [one[0] for one in provider.asked].count("/keys") == 1
    now += provider_module.FRESH_SECONDS
    assert await browser.go() == "/#oidc=done"
    assert [one[0] for one in provider.asked].count("/keys") == 2


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
    ] == "This login took too long, or is over. Begin again."


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


async def test_the_address_of_a_user_lets_no_account_in_by_default(site: Site, browser: Browser) -> None:
    await site.node.store.write(users.insert, "someone", EMAIL, "x", 1)
    answer = await browser.log_in()
    assert (answer.code, answer.body["result"]) == (LoginCode.INVALID_NUMBER, None)
    assert "already a user's" in answer.body["message"]


@pytest.mark.parametrize("more", [{"link": "verified"}])
async def test_the_verified_address_leads_to_its_user_where_that_is_set_but_only_the_first_account(
    site: Site, browser: Browser, provider: FakeProvider
) -> None:
    await site.node.store.write(users.insert, "someone", EMAIL, "x", 1)
    answer = await browser.log_in()
    assert (answer.body["result"]["userId"], answer.body["result"]["register"]) == ("someone", False)
    provider.claims["sub"] = "who-got-the-address-later"
    assert (await browser.log_in("web-2")).code == LoginCode.INVALID_NUMBER
    provider.claims |= {"sub": "another", "email_verified": False}
    assert (await browser.log_in("web-3")).body["result"]["userId"] != "someone"


@pytest.mark.parametrize(
    "more", [{"required_claim": "realm_access.roles", "required_values": ("chat", "it")}]
)
async def test_only_accounts_with_the_claim_come_in(
    site: Site, browser: Browser, provider: FakeProvider
) -> None:
    for roles in (None, [], ["sales"], {"chat": 1}, "chatter", 7):
        provider.claims["realm_access"] = {"roles": roles}
        assert await browser.go() == "/#oidc=notLetIn"
    for roles in ("chat", ["sales", "it"]):
        provider.claims["realm_access"] = {"roles": roles}
        assert (await browser.log_in()).code == LoginCode.SUCCESS


async def test_a_blocked_user_is_not_let_in(site: Site, browser: Browser) -> None:
    uid = (await browser.log_in()).body["result"]["userId"]

    def block(_: Dialect) -> Unit[None]:
        yield Query("UPDATE users SET status = ? WHERE uid = ?", (int(UserStatus.BLOCKED), uid))

    await site.node.store.write(block)
    assert (await browser.log_in()).code == LoginCode.NO_SESSION


async def test_the_account_of_a_deleted_user_begins_anew(site: Site, browser: Browser) -> None:
    uid = (await browser.log_in()).body["result"]["userId"]
    await site.node.store.write(personal.empty_profile, uid, site.now)
    again = (await browser.log_in()).body["result"]
    assert again["userId"] != uid
    assert again["register"] is True


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


async def test_an_administrator_sees_and_takes_the_account_of_a_user(
    site: Site, browser: Browser, provider: FakeProvider
) -> None:
    uid = (await browser.log_in()).body["result"]["userId"]
    place = f"/admin/users/{EMAIL}/accounts"
    (account,) = (await Desk(site).ask("GET", place)).body["result"]["accounts"]
    assert (account["issuer"], account["subject"]) == (provider.issuer, ANN["sub"])
    exported = (await Desk(site).ask("GET", f"/admin/users/{uid}/export?after=accounts:")).body["result"]
    assert [(one["issuer"], one["subject"]) for one in exported["rows"]] == [(provider.issuer, ANN["sub"])]
    taken = await Desk(site).ask("DELETE", f"{place}/{account['id']}")
    assert (taken.status, taken.body["result"]["accounts"]) == (200, [account])
    assert (await Desk(site).ask("DELETE", f"{place}/{account['id']}")).status == 404
    assert (await Desk(site).ask("GET", place)).body["result"]["accounts"] == []
    entries = (await Desk(site).ask("GET", "/admin/audit?op=users.unbind")).body["result"]["entries"]
    assert [(one["target"], one["status"]) for one in entries] == [(uid, 404), (uid, 200)]
    # The address is the user's still, so the account leads to nobody.
    assert (await browser.log_in("web-2")).code == LoginCode.INVALID_NUMBER


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


class TestRegistration:
    @pytest.fixture(params=["allowed", "invited", "closed"])
    def registration(self, request: pytest.FixtureRequest) -> s.RegistrationSettings:
        return s.RegistrationSettings(mode=request.param, allowed=("@corp.example",))

    async def test_new_users_come_as_it_says(
        self, site: Site, browser: Browser, provider: FakeProvider, registration: s.RegistrationSettings
    ) -> None:
        answer = await browser.log_in()
        if registration.mode == "allowed":
            assert answer.code == LoginCode.SUCCESS
        else:
            assert answer.code == LoginCode.INVALID_NUMBER
            assert "may not register" in answer.body["message"]
        provider.claims |= {"sub": "without a verified address", "email_verified": False}
        assert (await browser.log_in("web-2")).code == LoginCode.INVALID_NUMBER

    async def test_an_invitation_lets_in(
        self, site: Site, browser: Browser, provider: FakeProvider, registration: s.RegistrationSettings
    ) -> None:
        if registration.mode != "invited":
            return
        provider.claims["email_verified"] = False
        assert await browser.go() == "/#oidc=done"
        headers = {"Authorization": "Bearer key-of-the-back-office"}
        made = await site.post("/admin/invitations", {"count": 1}, **headers)
        assert (await browser.finish(invitation="wrong")).code == LoginCode.INVALID_NUMBER
        assert (await browser.finish(invitation=made.body["result"]["code"])).code == LoginCode.SUCCESS


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
