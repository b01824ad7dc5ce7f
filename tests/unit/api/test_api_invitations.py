"""Invitations: who may become a user with `[registration] mode = "invited"`."""

from typing import Any

import orjson
import pytest

from fsharechat import settings_schema as s
from fsharechat.protocol.signals import LoginCode
from fsharechat.rpc import Call, Method
from fsharechat.store import personal, users
from tests.unit.api.api_kit import NUMBER, ApiAnswer, Site
from tests.unit.api.office_kit import Desk

OTHER = "13900000009"
DAY_MS = 86_400_000
OK, REFUSED = LoginCode.SUCCESS, LoginCode.INVALID_NUMBER


@pytest.fixture
def registration() -> s.RegistrationSettings:
    return s.RegistrationSettings(mode="invited", allowed=(OTHER,))


@pytest.fixture
def codes() -> s.CodesSettings:
    return s.CodesSettings(super_code="Sesam66")


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


async def invite(desk: Desk, **asked: object) -> dict[str, Any]:
    answer = await desk.ask("POST", "/admin/invitations", asked)
    assert answer.status == 200, answer.body
    result: dict[str, Any] = answer.body["result"]
    return result


async def used(desk: Desk) -> list[tuple[int, bool]]:
    listed = (await desk.ask("GET", "/admin/invitations")).body["result"]["invitations"]
    return [(one["used"], one["good"]) for one in listed]


async def login(site: Site, number: str, invitation: object = "", code: str = "Sesam66") -> ApiAnswer:
    body = {"mobile": number, "code": code, "clientId": "phone", "invitation": invitation}
    return await site.post("/login", body)


async def test_nobody_comes_in_without_an_invitation(site: Site, desk: Desk) -> None:
    await invite(desk, invitee=NUMBER)
    await invite(desk)
    for answer in (await site.send_code(OTHER), await site.login("Sesam66", OTHER)):
        assert (answer.status, answer.code) == (200, REFUSED)
        assert "不能在此注册" in answer.body["message"]
    for wrong in ("", " ", "x", 7, None, ["x"], "x" * 300):
        assert (await login(site, OTHER, wrong)).code == REFUSED
    assert not await site.node.store.read(users.has_number, OTHER)
    assert await used(desk) == [(0, True)] * 2


@pytest.mark.parametrize(
    ("invitee", "number"),
    [(NUMBER, NUMBER), ("Ann@Example.com", "ann@example.com"), ("@Example.com", "ann@example.com")],
)
async def test_who_is_named_comes_in_with_any_client(
    site: Site, desk: Desk, invitee: str, number: str
) -> None:
    await invite(desk, invitee=invitee)
    answer = await site.login("Sesam66", number)
    assert (answer.code, answer.body["result"]["register"]) == (OK, True)
    assert await used(desk) == [(1, False)]
    assert (await site.login("Sesam66", number)).body["result"]["register"] is False
    assert (await site.login("Sesam66", "ben@sub.example.com")).code == REFUSED


async def test_a_code_lets_in_as_many_as_it_says(site: Site, desk: Desk) -> None:
    code = (await invite(desk, count=2))["code"]
    for number in (NUMBER, "ann@example.com"):
        sent = await site.post("/send_code", {"mobile": number, "invitation": code.upper()})
        assert sent.code == OK
        assert (await login(site, number, code, site.printed_code())).body["result"]["register"] is True
    assert (await login(site, NUMBER, code)).code == OK  # who is there needs no place
    assert (await login(site, OTHER, code)).code == REFUSED
    assert (await site.post("/send_code", {"mobile": OTHER, "invitation": code})).code == REFUSED
    assert await used(desk) == [(2, False)]


async def test_a_retried_login_counts_once(site: Site, desk: Desk) -> None:
    code = (await invite(desk, count=3))["code"]
    body = orjson.dumps({"mobile": NUMBER, "code": "Sesam66", "clientId": "phone", "invitation": code})
    for retried in (False, True):
        reply = await site.node.rpc.call(Call(Method.LOGIN, "", "", body, retried=retried))
        assert orjson.loads(reply.payload)["result"]["register"] is True
    assert await used(desk) == [(1, True)]


async def test_a_login_with_a_wrong_code_takes_no_place(site: Site, desk: Desk) -> None:
    await invite(desk, invitee=NUMBER)
    await site.new_code()
    assert (await site.login(site.wrong_code())).code == LoginCode.WRONG_CODE
    assert await used(desk) == [(0, True)]
    assert (await site.login(site.printed_code())).code == OK


async def test_an_invitation_ends_with_its_time_and_when_it_is_revoked(site: Site, desk: Desk) -> None:
    await invite(desk, invitee=NUMBER, days=2)
    revoked = await invite(desk, invitee="@example.com")
    ended = await desk.ask("DELETE", f"/admin/invitations/{revoked['id']}")
    assert ended.body["result"]["good"] is False
    assert await used(desk) == [(0, True), (0, False)]
    assert (await site.login("Sesam66", "ann@example.com")).code == REFUSED
    site.now += 2 * DAY_MS
    assert (await site.login("Sesam66", NUMBER)).code == REFUSED
    assert (await desk.ask("DELETE", "/admin/invitations/none")).status == 404


async def test_what_is_no_invitee_is_refused(desk: Desk) -> None:
    for wrong in ("1381234567", "example.com", "@", "@localhost", "a b@example.com", " "):
        assert (await desk.ask("POST", "/admin/invitations", {"invitee": wrong})).status == 400, wrong
    for field in ("count", "days"):
        assert (await desk.ask("POST", "/admin/invitations", {field: 0})).status == 400
    assert await used(desk) == []


async def test_the_audit_log_says_who_was_invited_and_has_no_code(desk: Desk) -> None:
    await invite(desk, invitee="Ann@example.com")
    made = await invite(desk, count=5)
    entries = (await desk.ask("GET", "/admin/audit?op=invitations.create")).body["result"]["entries"]
    assert [one["target"] for one in entries] == [made["id"], "ann@example.com"]
    assert made["code"] not in str((entries, desk.site.logs))


async def test_a_deleted_user_is_in_no_invitation(site: Site, desk: Desk) -> None:
    await invite(desk, invitee=NUMBER)
    uid = (await site.login("Sesam66")).body["result"]["userId"]
    await site.node.store.write(personal.empty_profile, uid, site.now)
    assert await used(desk) == []
