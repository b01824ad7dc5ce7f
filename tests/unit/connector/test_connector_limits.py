from roles.connector.limits import Buckets, BucketTable, RateLimit


def allowed(limit: RateLimit, buckets: Buckets, now: float, tries: int = 500, sub_signal: int = 18) -> int:
    return sum(limit.allows(buckets, sub_signal, now) for _ in range(tries))


def test_a_hundred_at_once_then_one_every_50_ms():
    limit, buckets = RateLimit(100, 5), Buckets()
    assert allowed(limit, buckets, 10.0) == 100
    assert allowed(limit, buckets, 10.049) == 0
    assert allowed(limit, buckets, 10.051) == 1
    assert allowed(limit, buckets, 10.0999) == 0
    assert allowed(limit, buckets, 10.301) == 5
    assert allowed(limit, buckets, 99.0) == 100


def test_each_sub_signal_has_its_own():
    limit, buckets = RateLimit(100, 5), Buckets()
    assert allowed(limit, buckets, 1.0, sub_signal=18) == 100
    assert allowed(limit, buckets, 1.0, sub_signal=19) == 100


def test_a_refused_request_does_not_count():
    limit, buckets = RateLimit(10, 1), Buckets()
    assert allowed(limit, buckets, 0.0, 10_000) == 10
    assert allowed(limit, buckets, 1.001) == 10


def test_no_limit():
    buckets = Buckets()
    assert allowed(RateLimit(0, 5), buckets, 0.0, 5000) == 5000
    assert buckets.levels == {}


def test_a_reconnect_keeps_the_level():
    limit, table = RateLimit(100, 5), BucketTable(5)
    buckets = table.take("anna", "phone")
    assert allowed(limit, buckets, 0.0) == 100
    table.keep("anna", "phone", buckets, 0.0)
    assert allowed(limit, table.take("anna", "phone"), 0.051) == 1


def test_another_device_or_user_has_another_level():
    limit, table = RateLimit(100, 5), BucketTable(5)
    buckets = table.take("anna", "phone")
    allowed(limit, buckets, 0.0)
    table.keep("anna", "phone", buckets, 0.0)
    assert allowed(limit, table.take("anna", "tablet"), 0.0) == 100
    assert allowed(limit, table.take("ben", "phone"), 0.0) == 100


def test_what_devices_left_behind_is_forgotten_when_it_has_leaked_out():
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
