"""/send_code and /login (contract.md section 3)."""

import pytest

from fsharechat.protocol import crypto
from fsharechat.protocol.signals import LoginCode
from fsharechat.store import sessions
from tests.unit.api.api_kit import NUMBER, Site
from tests.unit.api.office_kit import Desk

SUCCESS = LoginCode.SUCCESS


async def test_a_login_with_the_printed_code_works(site: Site) -> None:
    sent = await site.send_code()
    assert (sent.status, sent.body) == (200, {"code": 0, "message": "success", "result": True})
    code = site.printed_code()
    assert len(code) == 6
    assert code.isdecimal()
    answer = await site.login(code)
    assert (answer.status, answer.body["code"], answer.body["message"]) == (200, 0, "success")
    assert answer.headers["Content-Type"].startswith("application/json")
    result = answer.body["result"]
    assert result.keys() == {"userId", "token", "register"}
    assert result["register"] is True
    user_token, secret, db_secret = crypto.open_login_token(result["token"])
    assert crypto.connect_password(user_token, secret)
    assert len(secret) >= 16
    assert db_secret


async def test_the_code_is_printed_with_its_number_and_nowhere_else(site: Site) -> None:
    code = await site.new_code()
    await site.login(code)
    (line,) = [line for line in site.logs if code in map(str, line.values())]
    assert (line["event"], line["number"], line["log_level"]) == ("login code", NUMBER, "info")


async def test_the_second_login_is_of_the_same_user_who_is_not_new(site: Site) -> None:
    first = (await site.login(await site.new_code())).body["result"]
    site.now += 60_000
    second = (await site.login(await site.new_code(), client_id="web")).body["result"]
    assert (second["userId"], second["register"]) == (first["userId"], False)
    assert second["token"] != first["token"]


async def test_an_e_mail_address_is_a_number_too_whatever_its_case(site: Site) -> None:
    code = await site.new_code("Ann.Li@Example.com")
    first = await site.login(code, " ann.li@example.COM ")
    assert first.code == SUCCESS
    site.now += 60_000
    second = await site.login(await site.new_code("ann.li@example.com"), "ann.li@example.com")
    assert second.body["result"]["userId"] == first.body["result"]["userId"]


@pytest.mark.parametrize(
    "number",
    [
        "12812345678",
        "1381234567",
        "138123456789",
        "+8612812345678",
        "1381234567x",
        "１３８１２３４５６７８",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann@@example.com",
        "ann li@example.com",
        "a" * 65 + "@example.com",
        "ann@" + "x" * 247 + ".com",
        None,
        True,
        [NUMBER],
        {"mobile": NUMBER},
    ],
    ids=str,
)
async def test_what_is_no_number_is_refused(site: Site, number: object) -> None:
    for answer in (await site.send_code(number), await site.login("123456", number)):
        assert answer.code == LoginCode.INVALID_NUMBER
        assert answer.body["result"] is None
    assert [line for line in site.logs if line["event"] == "login code"] == []


async def test_a_number_of_another_country_is_one_user_however_it_is_written(site: Site) -> None:
    first = await site.login(await site.new_code("+4915112345678"), "004915112345678")
    assert (first.code, first.body["result"]["register"]) == (LoginCode.SUCCESS, True)
    site.now += 60_000
    again = await site.login(await site.new_code("004915112345678"), "+4915112345678")
    assert again.body["result"]["userId"] == first.body["result"]["userId"]
    desk = Desk(site)
    for written in ("+4915112345678", "%2B4915112345678", "004915112345678"):
        found = await desk.ask("GET", f"/admin/users/{written}")
        assert found.body["result"]["number"] == "+4915112345678"
    listed = await desk.ask("GET", "/admin/users?search=004915112345678")
    assert [user["number"] for user in listed.body["result"]["users"]] == ["+4915112345678"]
    assert (await desk.ask("POST", "/admin/users", {"number": "004915112345678"})).status == 409


async def test_a_mainland_number_is_the_same_with_its_country(site: Site) -> None:
    first = await site.login(await site.new_code(f"+86{NUMBER}"))
    assert first.body["result"]["register"] is True


async def test_a_number_that_is_a_json_number_is_taken(site: Site) -> None:
    assert (await site.send_code(int(NUMBER))).code == SUCCESS
    assert (await site.login(site.printed_code(), int(NUMBER))).code == SUCCESS


async def test_a_wrong_code_is_refused_and_the_right_one_works_after_it(site: Site) -> None:
    code = await site.new_code()
    wrong = await site.login(site.wrong_code())
    assert (wrong.status, wrong.code, wrong.body["result"]) == (200, LoginCode.WRONG_CODE, None)
    assert (await site.login(code)).code == SUCCESS


async def test_a_code_works_once(site: Site) -> None:
    code = await site.new_code()
    assert (await site.login(code)).code == SUCCESS
    assert (await site.login(code)).code == LoginCode.CODE_EXPIRED


async def test_a_code_is_of_one_number(site: Site) -> None:
    code = await site.new_code()
    await site.new_code("13912345678")
    assert (await site.login(code, "13912345678")).code == LoginCode.WRONG_CODE


async def test_a_code_expires(site: Site) -> None:
    code = await site.new_code()
    site.now += 300_000
    assert (await site.login(code)).code == LoginCode.CODE_EXPIRED


async def test_wrong_guesses_void_the_code_and_the_number_may_have_another(site: Site) -> None:
    code = await site.new_code()
    for _ in range(5):
        assert (await site.login(site.wrong_code())).code == LoginCode.WRONG_CODE
    assert (await site.login(code)).code == LoginCode.CODE_EXPIRED
    assert (await site.send_code()).code == LoginCode.TOO_OFTEN  # within a minute, as ever
    site.now += 60_000
    assert (await site.login(await site.new_code())).code == SUCCESS


async def test_who_guesses_at_a_number_locks_out_nobody_else(site: Site) -> None:
    """An address guesses without end; whose number it is asks for a code once a minute, and gets in each time."""
    guesser, refused = {"X-Forwarded-For": "203.0.113.7"}, 0
    for _ in range(5):
        code = await site.new_code()
        body = {"mobile": NUMBER, "code": site.wrong_code(), "clientId": "guesser"}
        for _ in range(4):  # a fifth would be lucky in its moment, and void this one code
            refused += (await site.post("/login", body, **guesser)).code == LoginCode.TOO_OFTEN
        assert (await site.login(code)).code == SUCCESS
        site.now += 60_000
    assert refused >= 5


async def test_one_code_a_minute_and_ten_a_day(site: Site) -> None:
    for _ in range(10):
        assert (await site.send_code()).code == SUCCESS
        assert (await site.send_code()).code == LoginCode.TOO_OFTEN
        site.now += 60_000
    assert (await site.send_code()).code == LoginCode.TOO_OFTEN
    assert (await site.send_code("13912345678")).code == SUCCESS
    site.now += 86_400_000
    assert (await site.send_code()).code == SUCCESS


async def test_no_login_without_a_code_where_there_is_no_super_code(site: Site) -> None:
    for code in ("66666", "000000", "None"):
        assert (await site.login(code)).code == LoginCode.CODE_EXPIRED


async def test_a_login_says_what_the_device_is(site: Site) -> None:
    code = await site.new_code()
    body = {"mobile": NUMBER, "code": code, "clientId": "pad", "deviceName": "Ann's\n" + "pad" * 50}
    answer = await site.post("/login", body, **{"User-Agent": "okhttp/4.9.0"})
    uid = answer.body["result"]["userId"]
    (device,) = await site.node.store.read(sessions.of_user, uid, 9)
    assert (device.agent, device.name) == ("okhttp/4.9.0", ("Ann's\n" + "pad" * 50)[:64].replace("\n", ""))


@pytest.mark.parametrize("name", [None, 7, [[]], {}, "\x00\n", ""])
async def test_a_name_that_is_none_is_left_out(site: Site, name: object) -> None:
    body = {"mobile": NUMBER, "code": await site.new_code(), "clientId": "pad", "deviceName": name}
    uid = (await site.post("/login", body)).body["result"]["userId"]
    (device,) = await site.node.store.read(sessions.of_user, uid, 9)
    assert device.name == ""
