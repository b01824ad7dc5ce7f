"""The one bucket of all limits."""

from hypothesis import given
from hypothesis import strategies as st

from fsharechat.leaky_bucket import LeakyBucket


def poured(bucket: LeakyBucket, level: float, now: float, tries: int) -> tuple[int, float]:
    count = 0
    for _ in range(tries):
        allowed, level = bucket.pour(level, now)
        count += allowed
    return count, level


def test_so_many_at_once_and_so_many_over_the_time() -> None:
    bucket = LeakyBucket(100, 5)
    count, level = poured(bucket, 0.0, 50_000.0, 500)
    assert (count, round(level, 6)) == (100, 50_005.0)
    count, level = poured(bucket, level, 50_000.049, 500)
    assert count == 0
    count, level = poured(bucket, level, 50_000.301, 500)
    assert count == 6
    assert poured(bucket, level, 50_099.0, 500)[0] == 100


def test_a_request_that_is_one_too_many_changes_nothing() -> None:
    bucket = LeakyBucket(1, 10)
    _, level = bucket.pour(0.0, 5.0)
    assert bucket.pour(level, 6.0) == (False, level)


@given(
    st.integers(1, 300),
    st.floats(0.1, 3600),
    st.floats(0, 1e7),
    st.lists(st.floats(0, 100), max_size=300),
)
def test_never_more_than_the_count_and_what_has_leaked(
    count: int, seconds: float, start: float, waits: list[float]
) -> None:
    bucket, level, now, allowed = LeakyBucket(count, seconds), 0.0, start, 0
    for wait in waits:
        now += wait
        before, (ok, level) = level, bucket.pour(level, now)
        allowed += ok
        assert level <= now + seconds * 1.01
        assert ok or before > now
    assert allowed <= count * (1 + (now - start) / seconds) + 1
