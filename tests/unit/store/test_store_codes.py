"""Login codes: how long they live, how often they are sent, and how often they may be guessed."""

from dataclasses import dataclass

import pytest

from fsharechat.protocol.signals import LoginCode
from fsharechat.store import sessions
from fsharechat.store.sessions import DAY_MS, CodeRules
from fsharechat.store.store import Store

RULES = CodeRules(lifetime_ms=300_000, resend_ms=60_000, per_day=10, wrong_guesses=5, lock_ms=900_000)
NUMBER = "13800000000"
NOON = 20_000 * DAY_MS + DAY_MS // 2
RIGHT, WRONG = b"right", b"wrong"


@dataclass
class Desk:
    """Asks the store as the login handlers do, at a time of the test's choice."""

    store: Store
    now: int = NOON

    async def send(self, digest: bytes = RIGHT, number: str = NUMBER) -> LoginCode:
        return await self.store.write(sessions.new_code, number, digest, self.now, RULES)

    async def use(self, digest: bytes, is_super: bool | None = None, number: str = NUMBER) -> LoginCode:
        return await self.store.write(sessions.use_code, number, digest, is_super, self.now, RULES)


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)


async def test_a_right_code_works_once(desk: Desk) -> None:
    assert await desk.send() is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED


async def test_a_code_is_of_one_number(desk: Desk) -> None:
    await desk.send()
    assert await desk.use(RIGHT, number="13900000000") is LoginCode.CODE_EXPIRED
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


@pytest.mark.parametrize(
    ("age", "result"), [(299_999, LoginCode.SUCCESS), (300_000, LoginCode.CODE_EXPIRED)], ids=str
)
async def test_a_code_lives_five_minutes(desk: Desk, age: int, result: LoginCode) -> None:
    await desk.send()
    desk.now += age
    assert await desk.use(RIGHT) is result


async def test_a_new_code_takes_the_place_of_the_old_one(desk: Desk) -> None:
    await desk.send(b"old")
    desk.now += 60_000
    await desk.send()
    assert await desk.use(b"old") is LoginCode.WRONG_CODE
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_one_code_a_minute(desk: Desk) -> None:
    await desk.send()
    desk.now += 59_999
    assert await desk.send(WRONG) is LoginCode.TOO_OFTEN
    assert await desk.send(number="13900000000") is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.SUCCESS  # the refused one did not replace it
    desk.now += 1
    assert await desk.send() is LoginCode.SUCCESS


async def test_ten_codes_a_day(desk: Desk) -> None:
    for _ in range(10):
        assert await desk.send() is LoginCode.SUCCESS
        desk.now += 60_000
    assert await desk.send() is LoginCode.TOO_OFTEN
    desk.now = NOON + DAY_MS // 2 - 1
    assert await desk.send() is LoginCode.TOO_OFTEN
    desk.now += 1
    assert await desk.send() is LoginCode.SUCCESS


async def test_wrong_guesses_void_the_code_and_lock_the_number(desk: Desk) -> None:
    await desk.send()
    for _ in range(5):
        assert await desk.use(WRONG) is LoginCode.WRONG_CODE
    assert await desk.use(RIGHT) is LoginCode.TOO_OFTEN
    desk.now += 899_999
    assert await desk.use(RIGHT) is LoginCode.TOO_OFTEN
    assert await desk.send() is LoginCode.TOO_OFTEN
    desk.now += 1
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED
    assert await desk.send() is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_wrong_guesses_add_up_over_several_codes(desk: Desk) -> None:
    for _ in range(4):
        await desk.send()
        await desk.use(WRONG)
        desk.now += 60_000
    await desk.send()
    await desk.use(WRONG)
    assert await desk.use(RIGHT) is LoginCode.TOO_OFTEN


async def test_a_right_guess_clears_the_count(desk: Desk) -> None:
    for _ in range(3):
        await desk.send()
        for _ in range(4):
            await desk.use(WRONG)
        assert await desk.use(RIGHT) is LoginCode.SUCCESS
        desk.now += 60_000


async def test_nothing_is_counted_when_there_is_nothing_to_guess(desk: Desk) -> None:
    for _ in range(10):
        assert await desk.use(WRONG) is LoginCode.CODE_EXPIRED
    await desk.send()
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_the_super_code_works_without_a_code_and_does_not_use_it_up(desk: Desk) -> None:
    assert await desk.use(WRONG, is_super=True) is LoginCode.SUCCESS
    await desk.send()
    assert await desk.use(WRONG, is_super=True) is LoginCode.SUCCESS
    assert await desk.use(RIGHT, is_super=False) is LoginCode.SUCCESS


async def test_guesses_at_the_super_code_are_counted_though_no_code_was_sent(desk: Desk) -> None:
    for _ in range(5):
        assert await desk.use(WRONG, is_super=False) is LoginCode.CODE_EXPIRED
    assert await desk.use(WRONG, is_super=True) is LoginCode.TOO_OFTEN
    desk.now += 900_000
    assert await desk.use(WRONG, is_super=True) is LoginCode.SUCCESS
