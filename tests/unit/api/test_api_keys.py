"""Wrong keys are counted by address, for a while, and for a bounded number of addresses."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from roles.api import keys
from roles.api.keys import MAX_WRONG, WINDOW_SECONDS, KeyGuard

KEY = "the-key-of-the-back-office"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> KeyGuard:
    return KeyGuard(KEY, clock)


def request(remote: str | None, key: str) -> web.Request:
    made = make_mocked_request("GET", "/admin/users", headers={"X-API-Key": key})
    return made.clone(remote=remote)  # type: ignore[arg-type]


def status(guard: KeyGuard, remote: str | None, key: str = "wrong") -> int:
    refusal = guard.check(request(remote, key))
    return refusal[0] if refusal else 200


def test_an_address_is_heard_again_when_its_time_is_over(guard: KeyGuard, clock: Clock) -> None:
    assert [status(guard, "192.0.2.1") for _ in range(MAX_WRONG + 1)] == [401] * MAX_WRONG + [429]
    clock.now += WINDOW_SECONDS - 1
    assert status(guard, "192.0.2.1", KEY) == 429
    assert guard.seconds_left("192.0.2.1") == 2
    clock.now += 1
    assert status(guard, "192.0.2.1", KEY) == 200
    assert status(guard, "192.0.2.1") == 401


def test_other_addresses_are_not_held_up(guard: KeyGuard) -> None:
    for _ in range(MAX_WRONG):
        status(guard, "192.0.2.1")
    assert status(guard, "192.0.2.2", KEY) == 200


def test_what_one_subscriber_has_of_ipv6_is_one_address(guard: KeyGuard) -> None:
    for number in range(MAX_WRONG):
        assert status(guard, f"2001:db8:0:1::{number:x}") == 401
    assert status(guard, "2001:db8:0:1:ffff::1", KEY) == 429
    assert status(guard, "2001:db8:0:2::1", KEY) == 200


def test_right_keys_do_not_wash_wrong_ones_away(guard: KeyGuard) -> None:
    for _ in range(MAX_WRONG):
        status(guard, "192.0.2.1")
        status(guard, "192.0.2.1", KEY)
    assert status(guard, "192.0.2.1", KEY) == 429


def test_the_addresses_that_began_first_are_forgotten_for_more(
    guard: KeyGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_ADDRESSES", 2)
    for last in (1, 2):
        for _ in range(MAX_WRONG):
            status(guard, f"192.0.2.{last}")
    status(guard, "192.0.2.3")
    assert status(guard, "192.0.2.1", KEY) == 200
    assert status(guard, "192.0.2.2", KEY) == 429
