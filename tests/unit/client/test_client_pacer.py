"""What a client sends stays below the server's limit (contract.md section 8)."""

from hypothesis import given
from hypothesis import strategies as st

from fsharechat.client.outbox import Pacer
from roles.connector.limits import Buckets, RateLimit, Verdict


@given(
    requests=st.integers(1, 200),
    seconds=st.floats(0.5, 10),
    pauses=st.lists(st.floats(0, 2), max_size=300),
)
def test_the_server_takes_all_that_kept_its_turn(requests: int, seconds: float, pauses: list[float]) -> None:
    pacer, limit, buckets = Pacer(requests, seconds), RateLimit(requests, 0, seconds), Buckets()
    now, last = 1000.0, 0.0
    for pause in pauses:
        now += pause
        wait = pacer.turn(now, 1e9)
        assert wait is not None
        sent = now + wait
        assert sent >= last - 1e-6  # in the order they asked
        last = max(last, sent)
        assert limit.count(buckets, 18, last + 1e-6) is Verdict.ALLOWED


def test_without_a_limit_nobody_waits() -> None:
    pacer = Pacer(0, 5)
    pacer.refused(1.0)
    assert [pacer.turn(1.0, 0.0) for _ in range(1000)] == [0.0] * 1000


def test_a_turn_that_would_come_too_late_is_not_given() -> None:
    pacer = Pacer(10, 9.0)  # nine at once, and one a second
    assert [pacer.turn(0.0, 0.0) for _ in range(10)] == [0.0] * 9 + [None]
    assert pacer.turn(0.0, 1.0) == 1.0
    assert pacer.turn(0.0, 1.0) is None
    assert pacer.turn(1.0, 1.0) == 1.0


def test_after_a_refusal_the_next_ones_go_one_at_a_time() -> None:
    pacer = Pacer(100, 4.5)
    pacer.refused(10.0)
    waits = [pacer.turn(10.0, 60.0) for _ in range(3)]
    assert [round(wait or 0, 6) for wait in waits] == [0.05, 0.1, 0.15]
