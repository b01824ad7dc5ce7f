"""Which user an account of the provider is, what its claims and userinfo say, and who is let in."""

from typing import Any

import orjson
import pytest
from aiohttp import web

from fsharechat import settings_schema as s
from fsharechat.protocol.signals import LoginCode, UserStatus
from fsharechat.store import personal, users
from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.api.api_kit import Site
from tests.unit.api.office_kit import Desk
from tests.unit.api.oidc.oidc_kit import EMAIL, Browser, profile
from tools.testing.fake_provider import ANN, FakeProvider


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


async def test_the_address_of_a_user_lets_no_account_in_by_default(site: Site, browser: Browser) -> None:
    await site.node.store.write(users.insert, "someone", EMAIL, "x", 1)
    answer = await browser.log_in()
    assert (answer.code, answer.body["result"]) == (LoginCode.INVALID_NUMBER, None)
    assert "Another user has the address or number" in answer.body["message"]


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
