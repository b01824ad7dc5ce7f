"""Message ids (protocol.md section 6): unique and ordered whatever the clock does, or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol import ids
from fsharechat.protocol.ids import COUNTERS, EPOCH_MS, MAX_STEP_BACK_MS, NODES, ClockError, IdGenerator

START = EPOCH_MS + 280_668_166_000


class Clock:
    """A clock that stands still until it is moved, or until somebody sleeps."""

    def __init__(self, ms: int = START, sleep_moves_ms: int = 1) -> None:
        self.ms = ms
        self.slept = 0
        self.sleep_moves_ms = sleep_moves_ms

    def __call__(self) -> int:
        return self.ms

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.ms += self.sleep_moves_ms

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have `ids` sleep on this clock; its deadline counts 10 ms for each sleep."""
        fake = SimpleNamespace(sleep=self.sleep, monotonic=lambda: self.slept / 100)
        with patch.object(ids, "time", fake):
            yield


def test_the_layout() -> None:
    assert ids.compose(EPOCH_MS, 0, 0) == 0
    assert ids.compose(EPOCH_MS + 1, 0, 0) == 1 << 21
    assert ids.compose(EPOCH_MS, 1, 0) == 1 << 15
    assert ids.compose(EPOCH_MS, 63, COUNTERS - 1) == (1 << 21) - 1
    assert ids.compose(START, 5, 77) == 280_668_166_000 << 21 | 5 << 15 | 77


@given(st.integers(0, (1 << 42) - 1), st.integers(0, NODES - 1), st.integers(0, COUNTERS - 1))
def test_an_id_tells_its_time_and_node(ms: int, node: int, n: int) -> None:
    message_id = ids.compose(EPOCH_MS + ms, node, n)
    assert 0 <= message_id < 1 << 63
    assert (ids.time_of(message_id), ids.node_of(message_id)) == (EPOCH_MS + ms, node)


def test_later_ids_are_greater_across_nodes() -> None:
    assert ids.compose(START + 1, 0, 0) > ids.compose(START, NODES - 1, COUNTERS - 1)


@given(st.lists(st.integers(-9, 4), max_size=60), st.integers(0, NODES - 1))
def test_unique_and_rising_under_any_clock(moves: list[int], node: int) -> None:
    """Steps back of at most 5 ms are waited for, longer ones are refused until the clock has caught up."""
    clock = Clock()
    generator = IdGenerator(node, last=2, clock=clock)
    given_out: list[int] = []
    newest = 0
    with clock.installed():
        for move in moves:
            clock.ms += move
            before = clock.ms
            if newest - before > MAX_STEP_BACK_MS:
                with pytest.raises(ClockError):
                    generator.next()
                assert clock.ms == before
                continue
            given_out.append(generator.next())
            newest = ids.time_of(given_out[-1])
            assert newest <= clock.ms
    assert given_out == sorted(set(given_out))
    assert all(ids.node_of(message_id) == node for message_id in given_out)


def test_a_step_back_of_five_ms_is_waited_for_and_of_six_refused() -> None:
    clock = Clock()
    generator = IdGenerator(1, clock=clock)
    first = generator.next()
    with clock.installed():
        clock.ms -= 5
        second = generator.next()
        assert ids.time_of(second) == START + 1
        assert clock.slept == 6
        clock.ms -= 6
        with pytest.raises(ClockError, match="went back by 6 ms"):
            generator.next()
        clock.ms += 6
        assert generator.next() == second + 1 > first


def test_a_used_up_counter_waits_for_the_next_millisecond() -> None:
    clock = Clock()
    generator = IdGenerator(3, clock=clock)
    with clock.installed():
        given_out = [generator.next() for _ in range(COUNTERS // 2)]
        assert clock.slept == 0
        assert given_out == list(range(given_out[0], given_out[0] + COUNTERS // 2))
        assert generator.next() == ids.compose(START + 1, 3, 0)
    assert clock.slept == 1


def test_a_clock_that_stands_still_is_given_up_on() -> None:
    clock = Clock(sleep_moves_ms=0)
    generator = IdGenerator(3, last=0, clock=clock)
    generator.next()
    with clock.installed(), pytest.raises(ClockError, match="stands still"):
        generator.next()
    assert 0 < clock.slept < 20


def test_connector_and_group_process_never_meet() -> None:
    clock = Clock()
    connector, group = IdGenerator(7, clock=clock), IdGenerator.for_group(7, clock=clock)
    lower = {connector.next() for _ in range(COUNTERS // 2)}
    upper = {group.next() for _ in range(COUNTERS // 2)}
    assert len(lower) == len(upper) == COUNTERS // 2
    assert lower.isdisjoint(upper)
    assert {ids.time_of(message_id) for message_id in lower | upper} == {START}
    assert {ids.node_of(message_id) for message_id in lower | upper} == {7}
    assert max(lower) < min(upper)


def test_sixty_four_nodes_never_meet() -> None:
    clock = Clock()
    generators = [
        make(node, clock=clock) for node in range(NODES) for make in (IdGenerator, IdGenerator.for_group)
    ]
    given_out = [generator.next() for generator in generators for _ in range(10)]
    assert len(set(given_out)) == NODES * 2 * 10
    assert {ids.node_of(message_id) for message_id in given_out} == set(range(NODES))


@pytest.mark.parametrize("node", [-1, 64])
def test_node_ids_are_checked(node: int) -> None:
    with pytest.raises(ValueError, match="0-63"):
        IdGenerator(node)


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (6, 5), (0, COUNTERS)])
def test_counters_are_checked(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="0-32767"):
        IdGenerator(1, first=first, last=last)


def test_the_real_clock() -> None:
    before = ids.now_ms()
    made = ids.time_of(IdGenerator(1).next())
    assert before <= made <= ids.now_ms()
