"""What is counted of the packets of a source, and what is asked for again."""

from hypothesis import given
from hypothesis import strategies as st

from roles.media.reception import JUMP, Missing, Reception


@given(st.integers(0, 0xFFFF), st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_numbers_go_on_beyond_the_last(first: int, steps: list[int]) -> None:
    reception = Reception(90_000, first)
    number = first
    assert reception.take(number, 0, 0.0) == 1
    for step in steps:
        number += step
        assert reception.take(number & 0xFFFF, 0, 0.0) == step
    block = reception.report(7, 1.0)
    assert block.highest == number
    assert block.lost == number - first - len(steps)


@given(st.integers(0, 0xFFFF), st.permutations(range(1, 20)))
def test_packets_that_overtake_each_other_are_not_lost(first: int, order: list[int]) -> None:
    reception = Reception(90_000, first)
    for number in (0, *order):
        assert reception.take((first + number) & 0xFFFF, 0, 0.0) != JUMP
    block = reception.report(7, 1.0)
    assert (block.lost, block.lost_part, block.highest) == (0, 0, first + 19)


def test_the_part_that_is_lost_is_that_of_the_last_interval() -> None:
    reception = Reception(90_000, 0)
    for number in range(0, 100, 2):
        reception.take(number, 0, 0.0)
    assert 120 < reception.report(7, 0.0).lost_part <= 128
    for number in range(99, 200):
        reception.take(number, 0, 0.0)
    assert reception.report(7, 0.0).lost_part == 0


def test_a_number_far_away_is_a_jump_and_not_counted() -> None:
    reception = Reception(90_000, 100)
    reception.take(100, 0, 0.0)
    assert reception.take(100 + 3000, 0, 0.0) == JUMP
    assert reception.take(30_000, 0, 0.0) == JUMP
    assert reception.take(101, 0, 0.0) == 1
    assert reception.received == 2


def test_the_report_says_how_long_ago_the_sender_reported() -> None:
    reception = Reception(90_000, 0)
    reception.take(0, 0, 0.0)
    assert reception.report(7, 5.0).since_sr == 0
    reception.on_sender_report(0x11112222_33334444, 5.0)
    block = reception.report(7, 5.5)
    assert (block.last_sr, block.since_sr) == (0x22223333, 32_768)


def test_steady_packets_have_no_jitter_and_unsteady_ones_have() -> None:
    steady, shaken = Reception(1000, 0), Reception(1000, 0)
    for number in range(200):
        steady.take(number, number * 20, number * 0.02)
        shaken.take(number, number * 20, number * 0.02 + (0.01 if number % 2 else 0.0))
    assert steady.report(7, 0.0).jitter == 0
    assert 8 <= shaken.report(7, 0.0).jitter <= 10


def test_what_is_missing_is_asked_for_some_times_and_then_given_up() -> None:
    missing = Missing()
    assert missing.add(0xFFFF, 2, 10.0)
    asked = []
    for step in range(40):
        asked += missing.due(10.0 + step * 0.05)
    assert sorted(asked) == [0] * 5 + [0xFFFF] * 5
    assert len(missing) == 0


def test_what_came_is_not_asked_for() -> None:
    missing = Missing()
    missing.add(5, 3, 1.0)
    missing.came(6)
    assert missing.due(1.0) == [5, 7]
    assert missing.due(1.01) == []


def test_a_long_gap_is_given_up_at_once() -> None:
    missing = Missing()
    missing.add(5, 3, 1.0)
    assert not missing.add(100, 201, 1.0)
    assert len(missing) == 0
