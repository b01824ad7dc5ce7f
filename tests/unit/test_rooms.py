"""Who may connect, and who goes for the next one."""

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fsharechat.rooms import AddressRoom, Crowd


def test_an_address_has_so_many_connections_at_a_time() -> None:
    room = AddressRoom(2, ["10.0.0.0/8"])
    for remote in ("192.0.2.1", "2001:db8::1"):
        other = "2001:db8::2" if ":" in remote else remote
        names = [room.enter(remote), room.enter(other)]
        assert room.enter(remote) is None
        left = names[0]
        assert left
        room.leave(left)
        assert room.enter(other) == left
    assert room.enter("::ffff:192.0.2.1") is None
    assert room.enter("2001:db8:0:1::1")
    for remote in ("127.0.0.1", "::1", "10.1.2.3", "", "nonsense"):
        assert [room.enter(remote) for _ in range(5)] == [""] * 5


def test_addresses_that_have_left_are_forgotten() -> None:
    room = AddressRoom(9, [])
    names = [room.enter(f"192.0.2.{n}") for n in (1, 1, 2)]
    for name in names:
        assert name
        room.leave(name)
    assert len(room) == 0


def test_without_a_limit_an_address_has_any_number() -> None:
    room = AddressRoom(0, [])
    names = [room.enter("192.0.2.1") for _ in range(5)]
    assert names == ["192.0.2.1"] * 5
    for name in names:
        assert name
        room.leave(name)
    assert len(room) == 0


def test_the_address_with_too_many_is_told_once() -> None:
    room = AddressRoom(1, [])
    with capture_logs() as logs:
        for _ in range(3):
            room.enter("2001:db8::7")
        room.tell_crowded()
        room.tell_crowded()
    assert [(line["address"], line["refused"]) for line in logs] == [("2001:db8::7", 2)]


def test_the_oldest_goes() -> None:
    crowd: Crowd[str] = Crowd()
    for member, name in (("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "")):
        crowd.add(member, name)
    assert crowd.next_out() == "a"
    crowd.discard("a")
    assert crowd.next_out() == "b"
    crowd.add("b", "192.0.2.2")  # the youngest now
    assert crowd.next_out() == "c"
    crowd.discard("c")
    crowd.discard("b")
    crowd.discard("nobody")
    assert (crowd.next_out(), len(crowd)) == (None, 0)


def test_who_opens_many_sends_away_his_own() -> None:
    crowd: Crowd[int] = Crowd()
    crowd.add(0, "192.0.2.1")
    crowd.add(1, "")
    for n in range(2, 100):
        crowd.add(n, "192.0.2.66")
    for n in range(2, 99):
        assert crowd.next_out() == n
        crowd.discard(n)
    assert crowd.next_out() == 0


names = st.sampled_from(["", "a", "b", "c"])


@given(st.lists(st.one_of(st.tuples(st.integers(0, 9), names), st.integers(0, 9))))
def test_a_crowd_is_what_a_list_would_be(steps: list[tuple[int, str] | int]) -> None:
    crowd: Crowd[int] = Crowd()
    model: list[tuple[int, object]] = []
    for step in steps:
        member = step if isinstance(step, int) else step[0]
        model = [one for one in model if one[0] != member]
        if isinstance(step, int):
            crowd.discard(member)
        else:
            crowd.add(member, step[1])
            model.append((member, step[1] or -member))
        assert len(crowd) == len(model)
        sizes = {group: sum(one[1] == group for one in model) for _, group in model}
        firsts = {group: next(one[0] for one in model if one[1] == group) for group in sizes}
        largest = {firsts[group] for group, size in sizes.items() if size == max(sizes.values())}
        assert crowd.next_out() in largest or not model
