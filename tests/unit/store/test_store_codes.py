"""Login codes: how long they live, how often they are sent, and how often they may be guessed."""

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from fsharechat.protocol.signals import LoginCode
from fsharechat.store import sessions, users
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.sessions import DAY_MS, CodeRules, Guess, LoginResult, LoginSession
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl

RULES = CodeRules(
    lifetime_ms=300_000,
    resend_ms=60_000,
    per_day=10,
    wrong_guesses=5,
    address_codes=AddressLimit(30, 600_000),
    address_logins=AddressLimit(60, 600_000),
    address_guesses=AddressLimit(10, 600_000),
)
NUMBER = "13800000000"
NOON = 20_000 * DAY_MS + DAY_MS // 2
RIGHT, WRONG = b"right", b"wrong"


@dataclass
class Desk:
    """Asks the store as the login handlers do, at a time of the test's choice."""

    store: Store
    now: int = NOON
    logins: int = 0

    async def send(
        self, digest: bytes = RIGHT, number: str = NUMBER, retried: bool = False, address: str = ""
    ) -> LoginCode:
        made = await self.store.write(sessions.new_code, number, digest, self.now, RULES, retried, address)
        return made.result

    async def fail(self, digest: bytes, lost: bool) -> LoginCode:
        """Keep a code that then cannot be sent."""
        made = await self.store.write(sessions.new_code, NUMBER, digest, self.now, RULES)
        if made.result is LoginCode.SUCCESS:
            await self.store.write(sessions.take_back, NUMBER, digest, made.before, lost)
        return made.result

    async def use(
        self,
        digest: bytes,
        is_super: bool | None = None,
        number: str = NUMBER,
        client: str = "phone",
        retried: bool = False,
    ) -> LoginCode:
        guess = Guess(number, digest, is_super, client, retried)
        return await self.store.write(sessions.use_code, guess, self.now, RULES)

    async def log_in(
        self,
        digest: bytes = RIGHT,
        client: str = "phone",
        retried: bool = False,
        is_super: bool | None = None,
        address: str = "",
    ) -> LoginResult:
        guess = Guess(NUMBER, digest, is_super, client, retried, address)
        self.logins += 1
        fresh = LoginSession(f"secret {self.logins}", f"db secret {self.logins}", self.now)
        return await self.store.write(sessions.log_in, guess, fresh, self.now, RULES)


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


async def test_wrong_guesses_void_the_code_and_nothing_else(desk: Desk) -> None:
    await desk.send()
    for _ in range(5):
        assert await desk.use(WRONG) is LoginCode.WRONG_CODE
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED
    assert await desk.send() is LoginCode.TOO_OFTEN
    desk.now += 60_000
    assert await desk.send() is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_each_code_may_be_guessed_at_as_often(desk: Desk) -> None:
    for _ in range(3):
        await desk.send()
        for _ in range(4):
            assert await desk.use(WRONG) is LoginCode.WRONG_CODE
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
    for _ in range(10):
        guess = await desk.log_in(WRONG, is_super=False, address="192.0.2.1")
        assert guess.result is LoginCode.CODE_EXPIRED
    refused = await desk.log_in(is_super=True, address="192.0.2.1")
    assert (refused.result, refused.wait_ms) == (LoginCode.TOO_OFTEN, 60_000)
    assert (await desk.log_in(is_super=True, address="192.0.2.2")).result is LoginCode.SUCCESS
    desk.now += 60_000
    assert (await desk.log_in(is_super=True, address="192.0.2.1")).result is LoginCode.SUCCESS


async def test_an_address_that_has_guessed_too_often_does_not_get_in_with_a_right_code(desk: Desk) -> None:
    for n in range(12):  # and two are forgotten meanwhile
        if n % 4 == 0:
            desk.now += 60_000
            await desk.send()
        guess = await desk.log_in(WRONG, address="192.0.2.1")
        assert guess.result is LoginCode.WRONG_CODE
    assert (await desk.log_in(address="192.0.2.1")).result is LoginCode.TOO_OFTEN
    assert (await desk.log_in(address="192.0.2.2")).result is LoginCode.SUCCESS


async def test_an_address_asks_for_so_many_codes_and_logs_in_so_often(desk: Desk) -> None:
    sent = [await desk.send(number=f"1390000{n:04}", address="192.0.2.1") for n in range(31)]
    assert sent == [LoginCode.SUCCESS] * 30 + [LoginCode.TOO_OFTEN]
    assert await desk.send(number="13900001000", address="192.0.2.2") is LoginCode.SUCCESS
    assert await desk.send(number="13900001001") is LoginCode.SUCCESS
    tried = [(await desk.log_in(is_super=True, address="192.0.2.1")).result for _ in range(61)]
    assert tried == [LoginCode.SUCCESS] * 60 + [LoginCode.TOO_OFTEN]


async def test_a_call_made_again_counts_once_for_its_address(desk: Desk) -> None:
    for n in range(30):
        assert await desk.send(number=f"1390000{n:04}", address="192.0.2.1") is LoginCode.SUCCESS
    assert await desk.send(number="13900000029", retried=True, address="192.0.2.1") is LoginCode.SUCCESS
    for _ in range(60):
        await desk.log_in(is_super=True, address="192.0.2.1")
    again = await desk.log_in(is_super=True, retried=True, address="192.0.2.1")
    assert again.result is LoginCode.SUCCESS


async def test_a_code_that_was_lost_leaves_no_trace(desk: Desk) -> None:
    for _ in range(30):
        assert await desk.fail(RIGHT, lost=True) is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED
    assert await desk.send() is LoginCode.SUCCESS
    desk.now += 60_000
    await desk.fail(b"new", lost=True)
    assert await desk.use(b"new") is LoginCode.WRONG_CODE
    assert await desk.use(RIGHT) is LoginCode.SUCCESS  # the one before is what it was


async def test_a_code_that_may_have_been_sent_works_and_has_its_minute_but_not_the_day(desk: Desk) -> None:
    for _ in range(30):
        assert await desk.fail(RIGHT, lost=False) is LoginCode.SUCCESS
        assert await desk.send(WRONG) is LoginCode.TOO_OFTEN
        desk.now += 60_000
    desk.now -= 60_000
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_wrong_guesses_are_counted_though_a_code_was_lost(desk: Desk) -> None:
    await desk.send()
    for _ in range(4):
        await desk.use(WRONG)
    desk.now += 60_000
    await desk.fail(b"new", lost=True)
    assert await desk.use(WRONG) is LoginCode.WRONG_CODE
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED


async def test_only_a_code_that_is_still_the_last_is_taken_back(desk: Desk) -> None:
    slow = await desk.store.write(sessions.new_code, NUMBER, b"slow", desk.now, RULES)
    desk.now += 60_000
    await desk.send()
    await desk.store.write(sessions.take_back, NUMBER, b"slow", slow.before, True)
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


async def test_a_retried_sending_is_not_too_soon_after_its_own_first_attempt(desk: Desk) -> None:
    assert await desk.send(b"first") is LoginCode.SUCCESS
    assert await desk.send(retried=True) is LoginCode.SUCCESS
    assert await desk.use(RIGHT) is LoginCode.SUCCESS
    for _ in range(8):
        assert await desk.send(retried=True) is LoginCode.SUCCESS
    assert await desk.send(retried=True) is LoginCode.TOO_OFTEN


async def test_a_login_creates_its_user_and_session_with_the_use_of_the_code(desk: Desk) -> None:
    await desk.send()
    done = await desk.log_in()
    assert (done.result, done.status, done.created) == (LoginCode.SUCCESS, 0, True)
    assert await desk.store.read(sessions.find, done.uid, "phone") == (done.session, 0)
    assert await desk.store.write(users.get_or_create, NUMBER, desk.now) == (done.uid, 0, False)


async def test_a_login_that_is_refused_counts_the_guess_and_creates_nobody(desk: Desk) -> None:
    await desk.send()
    for _ in range(5):
        assert await desk.log_in(WRONG) == LoginResult(LoginCode.WRONG_CODE)
    assert await desk.log_in() == LoginResult(LoginCode.CODE_EXPIRED)
    assert (await desk.store.write(users.get_or_create, NUMBER, desk.now))[2]


async def test_a_login_that_fails_half_way_has_used_no_code(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("half way")

    await desk.send()
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "renew", fail)
        with pytest.raises(RuntimeError):
            await desk.log_in()
    done = await desk.log_in()
    assert (done.result, done.created) == (LoginCode.SUCCESS, True)


@pytest.mark.parametrize("is_super", [None, True])
async def test_a_login_made_again_is_the_same_login(desk: Desk, is_super: bool | None) -> None:
    await desk.send()
    first = await desk.log_in(is_super=is_super)
    desk.now += 1000
    again = await desk.log_in(is_super=is_super, retried=True)
    assert again[:4] == first[:4] == (LoginCode.SUCCESS, first.uid, 0, True)
    assert first.session is not None
    assert again.session is not None
    assert again.session.db_secret == first.session.db_secret
    assert await desk.store.read(sessions.find, again.uid, "phone") == (again.session, 0)


async def test_a_later_login_made_again_is_of_a_user_who_is_not_new(desk: Desk) -> None:
    await desk.send()
    await desk.log_in()
    desk.now += 60_000
    await desk.send()
    assert (await desk.log_in()).created is False
    again = await desk.log_in(retried=True)
    assert (again.result, again.created) == (LoginCode.SUCCESS, False)


async def test_a_retried_login_that_was_not_carried_out_is_one_like_any_other(desk: Desk) -> None:
    assert (await desk.log_in(retried=True)).result is LoginCode.CODE_EXPIRED
    await desk.send()
    assert (await desk.log_in(WRONG, retried=True)).result is LoginCode.WRONG_CODE
    assert (await desk.log_in(retried=True)).result is LoginCode.SUCCESS
    assert (await desk.log_in()).result is LoginCode.CODE_EXPIRED


async def test_a_used_code_is_of_no_use_to_another_device_or_later(desk: Desk) -> None:
    await desk.send()
    await desk.log_in()
    assert (await desk.log_in(client="thief", retried=True)).result is LoginCode.CODE_EXPIRED
    assert (await desk.log_in(WRONG, retried=True)).result is LoginCode.CODE_EXPIRED
    desk.now += 300_000
    assert (await desk.log_in(retried=True)).result is LoginCode.CODE_EXPIRED


async def test_what_a_clock_far_ahead_has_left_behind_counts_for_nothing(desk: Desk) -> None:
    desk.now += 400 * DAY_MS
    await desk.send()
    desk.now = NOON
    assert await desk.use(RIGHT) is LoginCode.CODE_EXPIRED
    assert await desk.send() is LoginCode.SUCCESS
    desk.now += 400 * DAY_MS
    await desk.send()
    for _ in range(10):
        await desk.log_in(WRONG, is_super=False, address="192.0.2.1")
    desk.now = NOON + DAY_MS
    assert await desk.send() is LoginCode.SUCCESS
    assert (await desk.log_in(address="192.0.2.1")).result is LoginCode.SUCCESS


async def test_clocks_that_differ_by_a_little_change_nothing(desk: Desk) -> None:
    await desk.send()
    desk.now -= 500
    assert await desk.send() is LoginCode.TOO_OFTEN
    assert await desk.use(RIGHT) is LoginCode.SUCCESS


@pytest.mark.slow
async def test_several_processes_together_send_a_new_number_one_code(empty_mysql: ServiceUrl) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(3)]
    for store in stores:
        await store.open()
    sent: Counter[str] = Counter()

    async def ask(store: Store, number: str) -> None:
        made = await store.write(sessions.new_code, number, b"digest", DAY_MS, RULES)
        sent[number] += made.result is LoginCode.SUCCESS

    numbers = [f"1380000{n:04}" for n in range(60)]
    for number in numbers:
        await asyncio.gather(*[ask(store, number) for store in stores])
    assert sent == Counter(dict.fromkeys(numbers, 1))
    for store in stores:
        await store.close()
