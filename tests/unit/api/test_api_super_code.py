"""The super code, where one is set (contract.md section 3)."""

import pytest

from fsharechat import settings_schema as s
from fsharechat.protocol.signals import LoginCode
from tests.unit.api.api_kit import NUMBER, Site


@pytest.fixture
def codes() -> s.CodesSettings:
    return s.CodesSettings(super_code="Sesam66")


async def test_the_super_code_lets_everybody_in_without_a_code_sent(site: Site) -> None:
    first = await site.login("Sesam66")
    assert (first.code, first.body["result"]["register"]) == (LoginCode.SUCCESS, True)
    assert (await site.login("Sesam66", "ann@example.com")).code == LoginCode.SUCCESS


async def test_the_code_that_was_sent_works_beside_it(site: Site) -> None:
    code = await site.new_code()
    assert (await site.login("Sesam66")).code == LoginCode.SUCCESS
    assert (await site.login(code)).code == LoginCode.SUCCESS


@pytest.mark.parametrize("guess", ["sesam66", "Sesam6", "Sesam666", " Sesam66", "飞享"])
async def test_it_is_the_super_code_to_the_letter(site: Site, guess: str) -> None:
    assert (await site.login(guess)).code == LoginCode.CODE_EXPIRED


async def test_guesses_at_it_lock_the_address_and_not_the_number(site: Site) -> None:
    async def login(code: str, address: str) -> int:
        body = {"mobile": NUMBER, "code": code, "clientId": "phone"}
        return (await site.post("/login", body, **{"X-Forwarded-For": address})).code

    guesser, other = "203.0.113.7", "203.0.113.8"
    for _ in range(10):
        assert await login("wrong", guesser) == LoginCode.CODE_EXPIRED
    assert await login("Sesam66", guesser) == LoginCode.TOO_OFTEN
    assert await login("Sesam66", other) == LoginCode.SUCCESS
    site.now += 600_000
    assert await login("Sesam66", guesser) == LoginCode.SUCCESS


async def test_the_log_warns_of_it_and_does_not_show_it(site: Site) -> None:
    assert [line["log_level"] for line in site.logs if "super code" in line["event"]] == ["warning"]
    await site.login("Sesam66")
    assert "Sesam66" not in str(site.logs)
