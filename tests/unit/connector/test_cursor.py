"""The rule of a cursor: nothing that a device lacks is ever behind its mark (contract.md section 6)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roles.connector.cursor import OUTLIVED_SECONDS, Cursor

steps = st.lists(
    st.one_of(
        st.tuples(st.just("entry"), st.integers(1, 5)),
        st.tuples(st.just("own"), st.integers(1, 3)),
        st.tuples(st.just("ask"), st.integers(0, 20)),
        st.tuples(st.just("answer the notification"), st.just(0)),
        st.tuples(st.just("heard"), st.floats(0, 2 * OUTLIVED_SECONDS)),
        st.tuples(st.just("sweep"), st.just(0)),
        st.tuples(st.just("break"), st.booleans()),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(steps=steps, most=st.integers(1, 6))
def test_a_mark_is_never_above_what_the_device_took(steps: list[tuple[str, float]], most: int) -> None:
    """The device takes an answer when it hears the notification behind it, or lives on; else it may be lost."""
    now = heard_at = 0.0
    head = has = 0
    cursor = Cursor(0)
    written: list[tuple[int, float]] = []  # answers that are on their way
    mine: set[int] = set()  # entries that the device made itself
    told: int | None = None

    def take(until: float) -> None:
        nonlocal has
        while written and written[0][1] <= until:
            has = max(has, written.pop(0)[0])
        while has + 1 in mine:
            has += 1

    def answer(after: int) -> None:
        less = after < cursor.mark
        upto = min(head, cursor.asked(after, now, now) + most)
        cursor.answered(upto, now)
        if less:
            assert cursor.covered == upto, "what follows is skipped"
        written.append((upto, now))

    for what, value in steps:
        now += 0.01
        if what == "entry":
            head += int(value)
        elif what == "own":
            head += 1
            mine.add(head)
            cursor.own(head)
            take(-1)
        elif what == "ask":
            heard_at = now  # a device that says whatever it likes, at a time when it may have got nothing
            if (
                told is None or value != told - 1
            ):  # (just what a notification names, it learns from that alone)
                answer(min(int(value), head))
                told = None
        elif what == "answer the notification" and told is not None:
            take(now)  # the notification came behind all that was written
            heard_at = now
            answer(told - 1)
            told = None
        elif what == "heard":
            now += value
            heard_at = now
            take(now - OUTLIVED_SECONDS)
            cursor.outlived(heard_at, now)
        elif what == "sweep":
            cursor.tell_again(now - 5)
            take(heard_at - OUTLIVED_SECONDS)
            cursor.outlived(heard_at, now)
        elif what == "break":
            if value:
                take(now)
            written.clear()
            told = None
            cursor = Cursor(cursor.mark)
        seq = cursor.tell(head, now)
        if seq is not None:
            told = seq
        assert cursor.mark <= has, "it counts as had, and is lost"
        assert 0 <= cursor.covered <= head


def test_an_answer_counts_when_the_device_asks_for_what_it_was_told_behind_it() -> None:
    cursor = Cursor(0)
    assert cursor.tell(3, 0.0) == 1
    assert cursor.asked(0, 0.0, 0.0) == 0
    cursor.answered(3, 0.0)
    assert (cursor.mark, cursor.covered) == (0, 3)
    assert cursor.tell(4, 0.1) == 4
    assert cursor.asked(3, 0.1, 0.1) == 3
    assert cursor.mark == 3


def test_a_question_that_does_not_follow_a_notification_shows_nothing() -> None:
    cursor = Cursor(0)
    cursor.asked(0, 0.0, 0.0)
    cursor.answered(3, 0.0)
    assert cursor.asked(3, 0.1, 0.1) == 0, "the device may have written down what it only asked for"
    assert cursor.mark == 0


@pytest.mark.parametrize(("seconds", "mark"), [(OUTLIVED_SECONDS - 0.1, 0), (OUTLIVED_SECONDS, 3)])
def test_an_answer_counts_when_the_device_is_heard_of_a_while_later(seconds: float, mark: int) -> None:
    cursor = Cursor(0)
    cursor.asked(0, 10.0, 10.0)
    cursor.answered(3, 10.0)
    cursor.outlived(10.0 + seconds, 30.0)
    assert cursor.mark == mark


def test_the_while_begins_when_the_answer_is_out() -> None:
    cursor = Cursor(0)
    cursor.asked(0, 10.0, 10.0)
    cursor.answered(3, 10.0)
    cursor.still_on_its_way(14.0)
    cursor.outlived(16.0, 16.0)
    assert cursor.mark == 0
    cursor.outlived(19.0, 19.0)
    assert cursor.mark == 3


def test_own_entries_in_turn_need_no_notification() -> None:
    cursor = Cursor(3)
    assert cursor.own(4)
    assert not cursor.own(6)
    assert (cursor.mark, cursor.covered) == (4, 4)
    assert cursor.tell(6, 0.0) == 5


def test_a_device_that_has_less_than_its_mark_is_told_of_all_that_follows_its_answer() -> None:
    """Such as a bot that was killed: it had fetched more than it had handled."""
    cursor = Cursor(1000)
    cursor.greeted(1.0)
    assert cursor.asked(100, 1.0, 1.0) == 100
    cursor.answered(160, 1.0)
    assert cursor.tell(2000, 1.0) == 161
    assert cursor.asked(160, 2.0, 2.0) == 160
    cursor.answered(220, 2.0)
    assert cursor.tell(2000, 2.0) == 221
    assert cursor.mark == 1000  # another word of the device is still checked against it


def test_nobody_has_less_than_nothing() -> None:
    cursor = Cursor(3)
    cursor.greeted(1.0)
    cursor.asked(-7, 1.0, 1.0)
    cursor.failed(5, 1.0)
    assert cursor.tell_again(2.0)
    assert cursor.tell(5, 2.0) == 1


late_steps = st.lists(
    st.one_of(
        st.tuples(st.just("stored"), st.integers(1, 40)),
        st.tuples(st.just("event"), st.integers(0, 5)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("answer"), st.integers(1, 9)),
        st.tuples(st.just("ask as told"), st.just(0)),
        st.tuples(st.just("ask"), st.integers(0, 40)),
        st.tuples(st.just("heard"), st.floats(0, 2 * OUTLIVED_SECONDS)),
    ),
    min_size=40,
    max_size=80,
)


@settings(max_examples=300)
@given(steps=late_steps)
def test_a_device_gets_what_became_visible_behind_later_entries(steps: list[tuple[str, float]]) -> None:
    """Seqs become visible in any order, their events in any order after that; answers may be read before them."""
    now = 0.0
    cursor = Cursor(0)
    stored: set[int] = set()
    events: list[int] = []
    has: set[int] = set()
    asked: list[int] = []
    read: list[tuple[int, list[int]]] = []
    told: int | None = None
    head = 0

    def tell() -> None:
        nonlocal told
        if (seq := cursor.tell(head, now)) is not None:
            told = seq

    def ask(after: int) -> None:
        nonlocal told
        asked.append(cursor.asked(after, now, now))
        told = None

    def look() -> None:
        after = asked.pop(0)
        read.append((after, sorted(seq for seq in stored if seq > after)))

    def answer(most: int) -> None:
        after, found = read.pop(0)
        has.update(found[:most])
        cursor.answered(found[:most][-1] if found else after, now)

    def event(n: int) -> None:
        nonlocal head
        seq = events.pop(n % len(events))
        head = max(head, seq)
        cursor.late(seq)

    for what, value in steps:
        now += 0.01
        if what == "stored" and int(value) not in stored:
            stored.add(int(value))
            events.append(int(value))
        elif what == "event" and events:
            event(int(value))
        elif what == "ask as told" and told is not None:
            ask(told - 1)
        elif what == "ask":
            ask(int(value))
        elif what == "read" and asked:
            look()
        elif what == "answer" and read:
            answer(int(value))
        elif what == "heard":
            now += value
            cursor.outlived(now, now)
        tell()
    while events:
        event(0)
    while asked:
        look()
    while read:
        answer(99)
    for _ in range(99):
        tell()
        if told is not None:
            ask(told - 1)
            look()
            answer(3)
        else:
            assert has == stored
            return
    raise AssertionError("it is told for ever")
