"""Who may become a user: [registration]."""

import pytest

from fsharechat import settings_schema as s
from fsharechat.protocol.signals import LoginCode
from fsharechat.store import users
from tests.unit.api.api_kit import NUMBER, Site
from tests.unit.api.office_kit import Desk

STRANGER = "13900000009"


@pytest.fixture(params=["allowed", "closed", "invited"])
def registration(request: pytest.FixtureRequest) -> s.RegistrationSettings:
    return s.RegistrationSettings(
        mode=request.param, allowed=("13812345678", "Ann@Example.com", "@corp.example")
    )


async def test_who_may_not_register_gets_no_code_and_is_told_so(site: Site) -> None:
    answer = await site.send_code(STRANGER)
    assert (answer.status, answer.code) == (200, LoginCode.INVALID_NUMBER)
    assert "不能在此注册" in answer.body["message"]
    assert [line for line in site.logs if line["event"] == "login code"] == []
    headers = {"Accept-Language": "en"}
    answer = await site.post("/send_code", {"mobile": STRANGER}, **headers)
    assert "may not register here" in answer.body["message"]


async def test_a_super_code_makes_no_user_either(site: Site) -> None:
    answer = await site.login("Sesam66", STRANGER)
    assert (answer.code, answer.body["result"]) == (LoginCode.INVALID_NUMBER, None)
    assert not await site.node.store.read(users.has_number, STRANGER)


async def test_who_is_there_logs_in_whatever_the_list_says(site: Site) -> None:
    await site.node.store.write(users.insert, "someone", STRANGER, "x", 1)
    answer = await site.login(await site.new_code(STRANGER), STRANGER)
    assert (answer.code, answer.body["result"]["userId"]) == (LoginCode.SUCCESS, "someone")
    assert answer.body["result"]["register"] is False


async def test_whom_an_administrator_makes_logs_in_with_the_administrators_code(site: Site) -> None:
    desk = Desk(site)
    assert (await desk.ask("POST", f"/admin/users/{STRANGER}/code")).status == 404
    made = await desk.ask("POST", "/admin/users", {"number": STRANGER})
    code = (await desk.ask("POST", f"/admin/users/{STRANGER}/code")).body["result"]["code"]
    answer = await site.login(code, STRANGER)
    assert answer.code == LoginCode.SUCCESS
    assert answer.body["result"]["userId"] == made.body["result"]["uid"]
    assert [line for line in site.logs if line["event"] == "login code"] == []


async def test_those_of_the_list_register_where_it_counts(
    site: Site, registration: s.RegistrationSettings
) -> None:
    for number in (NUMBER, "ann@example.COM", "anybody@corp.example"):
        answer = await site.login("Sesam66", number)
        if registration.mode == "allowed":
            assert (answer.code, answer.body["result"]["register"]) == (LoginCode.SUCCESS, True)
        else:
            assert answer.code == LoginCode.INVALID_NUMBER
    for number in ("ben@example.com", "ann@sub.corp.example", "x@notcorp.example"):
        assert (await site.login("Sesam66", number)).code == LoginCode.INVALID_NUMBER


async def test_asking_for_strangers_counts_for_the_address(site: Site) -> None:
    """Else somebody could ask for all numbers who is there."""
    headers = {"X-Forwarded-For": "203.0.113.7"}
    codes = [
        (await site.post("/send_code", {"mobile": f"139000000{n:02}"}, **headers)).code for n in range(31)
    ]
    assert codes == [LoginCode.INVALID_NUMBER] * 30 + [LoginCode.TOO_OFTEN]


@pytest.fixture
def codes() -> s.CodesSettings:
    return s.CodesSettings(super_code="Sesam66")


@pytest.mark.parametrize("entry", ["1381234567", "example.com", "@", "@localhost", "a b@example.com", ""])
def test_what_is_neither_a_number_nor_an_address_nor_a_domain_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="must be a mobile number, an e-mail address, or @ and a domain"):
        s.RegistrationSettings(allowed=(entry,))
