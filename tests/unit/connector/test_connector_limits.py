import pytest

from fsharechat.protocol.signals import SubSignal
from roles.connector.limits import FLOOD, FOLLOW_UPS, PING, Buckets, BucketTable, RateLimit, Verdict


def allowed(limit: RateLimit, buckets: Buckets, now: float, tries: int = 500, sub_signal: int = 18) -> int:
    return sum(limit.count(buckets, sub_signal, now) is Verdict.ALLOWED for _ in range(tries))


def test_a_hundred_at_once_then_one_every_50_ms() -> None:
    limit, buckets = RateLimit(100, 5000, 5), Buckets()
    assert allowed(limit, buckets, 10.0) == 100
    assert allowed(limit, buckets, 10.049) == 0
    assert allowed(limit, buckets, 10.051) == 1
    assert allowed(limit, buckets, 10.0999) == 0
    assert allowed(limit, buckets, 10.301) == 5
    assert allowed(limit, buckets, 99.0) == 100


def test_each_sub_signal_has_its_own() -> None:
    limit, buckets = RateLimit(100, 5000, 5), Buckets()
    assert allowed(limit, buckets, 1.0, sub_signal=18) == 100
    assert allowed(limit, buckets, 1.0, sub_signal=9) == 100
    assert allowed(limit, buckets, 1.0, sub_signal=PING) == 100


def test_a_refused_request_takes_no_room_from_the_next() -> None:
    limit, buckets = RateLimit(10, 500, 1), Buckets()
    assert allowed(limit, buckets, 0.0, 10_000) == 10
    assert allowed(limit, buckets, 1.001) == 10


def test_no_limit() -> None:
    buckets = Buckets()
    assert allowed(RateLimit(0, 0, 5), buckets, 0.0, 5000) == 5000
    assert allowed(RateLimit(0, 0, 5), buckets, 0.0, 5000, SubSignal.MP) == 5000
    assert buckets.levels == {}


def test_what_is_refused_counts_and_ten_times_the_limit_is_a_flood() -> None:
    limit, buckets = RateLimit(100, 5000, 5), Buckets()
    verdicts = [limit.count(buckets, PING, 7.0) for _ in range(1500)]
    assert verdicts == [
        *[Verdict.ALLOWED] * 100,
        *[Verdict.TOO_OFTEN] * (FLOOD - 1) * 100,
        *[Verdict.FLOOD] * 500,
    ]
    assert limit.count(buckets, 18, 7.0) is Verdict.ALLOWED
    later = [limit.count(buckets, PING, 8.0 + n / 40) for n in range(4000)]  # twice as often as allowed
    assert later.count(Verdict.FLOOD) == 0
    assert later.count(Verdict.ALLOWED) >= 2000


@pytest.mark.parametrize("kind", sorted(FOLLOW_UPS))
def test_what_the_server_asks_for_has_a_bound_of_its_own(kind: int) -> None:
    limit, buckets = RateLimit(100, 5000, 5), Buckets()
    assert allowed(limit, buckets, 3.0, 20_000, kind) == 5000
    assert allowed(limit, buckets, 3.0, 200, SubSignal.MS) == 100
    assert limit.count(buckets, kind, 3.0) is Verdict.TOO_OFTEN
    assert allowed(limit, buckets, 4.0, 20_000, kind) == 1000


def test_buckets_have_leaked_when_all_of_them_are_empty() -> None:
    limit, buckets = RateLimit(10, 500, 5), Buckets()
    assert buckets.leaked(0.0)
    allowed(limit, buckets, 10.0, 1)
    allowed(limit, buckets, 12.0, 1, PING)
    assert not buckets.leaked(12.4)
    assert buckets.leaked(12.6)
    allowed(limit, buckets, 20.0, 101)
    assert not buckets.leaked(24.9)
    assert buckets.leaked(25.1)


def test_a_reconnect_keeps_the_level() -> None:
    limit, table = RateLimit(100, 5000, 5), BucketTable(5)
    buckets = table.take("anna", "phone")
    assert allowed(limit, buckets, 0.0) == 100
    table.keep("anna", "phone", buckets, 0.0)
    assert allowed(limit, table.take("anna", "phone"), 0.051) == 1


def test_another_device_or_user_has_another_level() -> None:
    limit, table = RateLimit(100, 5000, 5), BucketTable(5)
    buckets = table.take("anna", "phone")
    allowed(limit, buckets, 0.0)
    table.keep("anna", "phone", buckets, 0.0)
    assert allowed(limit, table.take("anna", "tablet"), 0.0) == 100
    assert allowed(limit, table.take("ben", "phone"), 0.0) == 100


def test_what_devices_left_behind_is_forgotten_when_it_has_leaked_out() -> None:
    table = BucketTable(5)
    for n in range(10):
        table.keep("anna", f"device {n}", Buckets(), float(n))
    table.keep("anna", "device 0", Buckets(), 9.5)
    table.sweep(5.9)
    assert len(table) == 10
    table.sweep(12.0)
    assert len(table) == 3
    table.sweep(14.5)
    assert len(table) == 0
