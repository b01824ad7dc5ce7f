"""Message ids (contract.md section 6): unique and rising whatever the clocks do, and above all that was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.clock import EARLIEST_MS, LATEST_MS, ClockWatch, now_ms
from fsharechat.protocol import ids
from fsharechat.protocol.ids import AFTER_MS, COUNTERS, EPOCH_MS, MAX_AHEAD_MS, NODES, IdGenerator

START = EPOCH_MS + 280_668_166_000
HOUR = 3_600_000
YEAR = 365 * 24 * HOUR


class SteppingClock:
    """A clock that can be set, and beside it one that only goes on. Both stand still until they are moved."""

    def __init__(self, ms: int = START) -> None:
        self.ms = ms
        self.gone = 0

    def __call__(self) -> int:
        return self.ms

    def monotonic(self) -> int:
        return self.gone

    def goes_on(self, ms: int) -> None:
        self.ms += ms
        self.gone += ms


class Heard(ClockWatch):
    """Keeps what would be said in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: list[tuple[int, int]] = []
        self.gone_back: list[int] = []

    def peer_ahead(self, node: int, by_ms: int) -> None:
        self.ahead.append((node, by_ms))

    def behind(self, by_ms: int) -> None:
        self.gone_back.append(by_ms)


def generator(
    clock: SteppingClock,
    node: int = 1,
    *,
    after: int = 0,
    last: int = COUNTERS // 2 - 1,
    watch: ClockWatch | None = None,
) -> IdGenerator:
    return IdGenerator(node, after=after, last=last, clock=clock, monotonic=clock.monotonic, watch=watch)


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


# The clock of one node


@given(st.lists(st.integers(-HOUR, HOUR) | st.integers(-3, 3), max_size=60), st.integers(0, NODES - 1))
def test_unique_and_rising_under_any_clock(moves: list[int], node: int) -> None:
    clock = SteppingClock()
    made = generator(clock, node, last=2)
    given_out: list[int] = []
    newest = clock.ms
    for move in moves:
        clock.ms += move
        newest = max(newest, clock.ms)
        given_out.append(made.next())
        assert clock.ms <= ids.time_of(given_out[-1]) <= newest + len(moves) // 3 + 1
    assert given_out == sorted(set(given_out))
    assert all(ids.node_of(message_id) == node for message_id in given_out)


def test_a_clock_that_went_back_an_hour_stops_nothing_and_is_reported() -> None:
    clock, watch = SteppingClock(), Heard()
    made = generator(clock, watch=watch)
    first = made.next()
    clock.ms -= MAX_AHEAD_MS
    second = made.next()
    assert watch.gone_back == []
    clock.ms -= HOUR - MAX_AHEAD_MS
    assert [second, made.next()] == [first + 1, first + 2]
    assert watch.gone_back == [HOUR]
    clock.ms += HOUR + 1
    assert made.next() == ids.compose(START + 1, 1, 0)


def test_a_used_up_counter_moves_the_time_of_the_ids() -> None:
    clock = SteppingClock()
    made = generator(clock, 3)
    given_out = [made.next() for _ in range(COUNTERS // 2)]
    assert given_out == list(range(given_out[0], given_out[0] + COUNTERS // 2))
    assert made.next() == ids.compose(START + 1, 3, 0)
    assert made.time() == START + 1


@pytest.mark.parametrize("ms", [LATEST_MS, LATEST_MS + 1000 * YEAR, EARLIEST_MS - 1, -5])
def test_a_time_that_cannot_be_is_not_taken(ms: int) -> None:
    clock = SteppingClock()
    made = generator(clock)
    first = made.next()
    clock.ms = ms
    assert made.next() == first + 1
    made.observe(ids.compose(START + 1, 2, 0))
    assert ids.time_of(made.next()) == made.time() == START + 2
    fresh = generator(SteppingClock(ms))
    assert EARLIEST_MS <= ids.time_of(fresh.next()) < LATEST_MS


# After others


def test_an_id_is_above_what_was_seen() -> None:
    clock = SteppingClock()
    made = generator(clock, 5)
    own = made.next()
    made.observe(own - 1)
    made.observe(0)
    assert made.next() == own + 1
    made.observe(seen := ids.compose(START + 300, 60, 9))
    assert seen < made.next() == ids.compose(START + 301, 5, 0)
    made.observe(ids.compose(START + 400, 4, 9))
    assert made.next() == ids.compose(START + 400, 5, 0)


def test_the_halves_of_a_node_id_follow_each_other() -> None:
    clock = SteppingClock()
    connector = generator(clock, 7)
    group = IdGenerator.for_group(7, clock=clock, monotonic=clock.monotonic)
    group.observe(question := connector.next())
    answer = group.next()
    connector.observe(answer)
    assert question < answer < connector.next()


def test_a_peer_a_minute_ahead_is_followed_and_one_further_ahead_reported() -> None:
    clock, watch = SteppingClock(), Heard()
    made = generator(clock, watch=watch)
    made.observe(seen := ids.compose(START + MAX_AHEAD_MS, 9, 0))
    assert made.next() > seen
    assert watch.ahead == []
    made.observe(ids.compose(START + MAX_AHEAD_MS + 2, 9, 0))
    assert ids.time_of(made.next()) == START + MAX_AHEAD_MS + 1
    assert watch.ahead == [(9, MAX_AHEAD_MS + 2)]


def test_peers_cannot_draw_a_node_ahead_little_by_little() -> None:
    clock, watch = SteppingClock(), Heard()
    made = generator(clock, watch=watch)
    for ahead in range(0, HOUR, 1000):
        made.observe(ids.compose(START + ahead, 9, 0))
    assert ids.time_of(made.next()) <= START + MAX_AHEAD_MS + 1
    assert watch.ahead


def test_a_clock_that_went_back_makes_no_peer_a_liar() -> None:
    clock, watch = SteppingClock(), Heard()
    made = generator(clock, watch=watch)
    made.next()
    clock.ms -= HOUR
    for _ in range(60):
        clock.goes_on(60_000)
        made.observe(seen := ids.compose(START + clock.gone, 9, 0))
        assert made.next() > seen
    assert watch.ahead == []


# After a restart


@pytest.mark.parametrize("back", [0, HOUR, YEAR])
def test_a_restart_goes_on_behind_what_is_stored(back: int) -> None:
    stored = ids.compose(START, 3, 5)
    watch = Heard()
    clock = SteppingClock(START - back)
    made = generator(clock, 3, after=stored, watch=watch)
    assert made.newest >= stored
    assert ids.time_of(made.next()) == START + AFTER_MS
    assert watch.gone_back == ([] if not back else [back + AFTER_MS])
    made.observe(ids.compose(START + MAX_AHEAD_MS, 9, 0))
    assert watch.ahead == [], "the ids of all are as far ahead"


def test_a_restart_with_a_later_clock_begins_now() -> None:
    made = generator(SteppingClock(), after=ids.compose(START - HOUR, 3, 5))
    assert made.next() == ids.compose(START, 1, 0)


# All of them


class IdNode:
    """One that is killed and started again now and then, on a store that all share."""

    def __init__(self, number: int, ms: int) -> None:
        self.number = number
        self.clock = SteppingClock(ms)
        self.begin(0)

    def begin(self, after: int) -> None:
        self.watch = Heard()
        self.ids = generator(self.clock, self.number, after=after, last=3, watch=self.watch)


@given(
    st.lists(st.integers(-25_000, 25_000), min_size=2, max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from(["send", "send", "set back", "restart", "time"]),
            st.integers(0, 3),
            st.integers(0, HOUR) | st.integers(0, 5),
        ),
        max_size=80,
    ),
)
def test_an_answer_is_above_its_question_whatever_happens(
    clocks: list[int], steps: list[tuple[str, int, int]]
) -> None:
    """Clocks within a minute of each other at first; later they are set back, and nodes die and start again.

    Every message is heard by all. One that does not fit for who hears it is reported there.
    """
    nodes = [IdNode(number * 21, START + off) for number, off in enumerate(clocks)]
    stored: list[int] = []
    harmless = True
    for what, which, ms in steps:
        node = nodes[which % len(nodes)]
        if what == "set back":
            node.clock.ms -= ms
        elif what == "restart":
            node.begin(max(stored, default=0))
            harmless = False
        elif what == "time":
            for each in nodes:
                each.clock.goes_on(ms)
        else:
            made = node.ids.next()
            assert not stored or made > stored[-1] or node.watch.ahead
            stored.append(made)
            for each in nodes:
                each.ids.observe(made)
    assert len(set(stored)) == len(stored)
    if harmless:
        assert stored == sorted(stored)
        assert not any(node.watch.ahead for node in nodes)


def test_connector_and_group_process_never_meet() -> None:
    clock = SteppingClock()
    connector, group = IdGenerator(7, clock=clock), IdGenerator.for_group(7, clock=clock)
    lower = {connector.next() for _ in range(COUNTERS // 2)}
    upper = {group.next() for _ in range(COUNTERS // 2)}
    assert len(lower) == len(upper) == COUNTERS // 2
    assert lower.isdisjoint(upper)
    assert {ids.time_of(message_id) for message_id in lower | upper} == {START}
    assert {ids.node_of(message_id) for message_id in lower | upper} == {7}
    assert max(lower) < min(upper)


def test_sixty_four_nodes_never_meet() -> None:
    clock = SteppingClock()
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
    before = now_ms()
    made = ids.time_of(IdGenerator(1).next())
    assert before <= made <= now_ms()
