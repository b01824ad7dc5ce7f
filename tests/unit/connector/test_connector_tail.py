import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsharechat.protocol import messages_pb2 as pb
from roles.connector.tail import Tail, TailMessage


def entry(size: int = 10) -> TailMessage:
    return TailMessage(b"x" * size, "ben")


def filled(*seqs: int, max_entries: int = 100, max_bytes: int = 10_000) -> Tail:
    tail = Tail(max_entries, max_bytes)
    for seq in seqs:
        tail.add(seq, entry())
    return tail


def test_it_answers_what_follows_a_seq() -> None:
    tail = Tail(10, 1000)
    messages = {seq: entry() for seq in (4, 5, 6)}
    for seq, message in messages.items():
        tail.add(seq, message)
    assert tail.after(3, 6) == [messages[4], messages[5], messages[6]]
    assert tail.after(5, 6) == [messages[6]]


@pytest.mark.parametrize(("after", "head"), [(6, 6), (7, 6), (2, 6), (3, 7), (-1, 2), (2**63 - 1, 6)])
def test_it_does_not_answer_what_it_has_not(after: int, head: int) -> None:
    assert filled(4, 5, 6).after(after, head) is None


def test_a_gap_is_not_answered_until_it_is_filled() -> None:
    tail = filled(4, 6)
    assert tail.after(3, 6) is None
    assert len(tail.after(5, 6) or []) == 1
    tail.add(5, entry())
    assert len(tail.after(3, 6) or []) == 3


def test_entries_out_of_order_are_answered_in_order() -> None:
    tail = Tail(10, 1000)
    messages = {seq: entry() for seq in (3, 1, 2)}
    for seq, message in messages.items():
        tail.add(seq, message)
    assert tail.after(0, 3) == [messages[1], messages[2], messages[3]]


def test_a_repeated_entry_changes_nothing() -> None:
    tail = filled(1, 2)
    first = tail.after(0, 2)
    tail.add(1, entry(500))
    assert tail.after(0, 2) == first
    assert (len(tail), tail.size) == (2, 20)


def test_it_is_bounded_in_number() -> None:
    tail = filled(*range(1, 8), max_entries=3)
    assert (len(tail), tail.size) == (3, 30)
    assert tail.after(3, 7) is None
    assert len(tail.after(4, 7) or []) == 3


def test_it_is_bounded_in_bytes() -> None:
    tail = filled(*range(1, 8), max_bytes=25)
    assert (len(tail), tail.size) == (2, 20)


def test_what_is_larger_than_the_tail_empties_it() -> None:
    tail = filled(1, 2, max_bytes=25)
    tail.add(3, entry(26))
    assert (len(tail), tail.size) == (0, 0)
    assert tail.after(2, 3) is None


def test_a_tail_without_room_keeps_nothing() -> None:
    assert len(filled(1, 2, max_entries=0)) == 0


def test_what_was_fetched_is_dropped() -> None:
    tail = filled(1, 2, 3)
    tail.drop_upto(2)
    assert (len(tail), tail.size) == (1, 10)
    tail.drop_upto(3)
    assert (len(tail), tail.size) == (0, 0)


def test_an_entry_that_came_late_is_dropped_later() -> None:
    tail = filled(3, 1)
    tail.drop_upto(1)
    assert len(tail) == 2
    tail.drop_upto(3)
    assert len(tail) == 0


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)) | st.integers(0, 12), max_size=40),
    st.integers(0, 6),
    st.integers(0, 30),
)
@settings(deadline=None)
def test_it_is_a_bounded_dict(steps: list[tuple[int, int] | int], max_entries: int, max_bytes: int) -> None:
    """The model: a dict in order of arrival, whose oldest entries go when it is too large."""
    tail, model = Tail(max_entries, max_bytes), dict[int, TailMessage]()
    for step in steps:
        if isinstance(step, tuple):
            seq, size = step
            message = entry(size)
            tail.add(seq, message)
            model.setdefault(seq, message)
            while len(model) > max_entries or sum(len(m.body) for m in model.values()) > max_bytes:
                del model[next(iter(model))]
        else:
            tail.drop_upto(step)
            while model and next(iter(model)) <= step:
                del model[next(iter(model))]
        assert len(tail) == len(model) <= max_entries
        assert tail.size == sum(len(message.body) for message in model.values()) <= max_bytes
        for after in range(-1, 14):
            for head in range(14):
                wanted = list(range(after + 1, head + 1))
                known = [model[seq] for seq in wanted] if wanted and all(s in model for s in wanted) else None
                assert tail.after(after, head) == known


def test_a_message_is_the_same_for_all_who_receive_it_and_another_for_the_sender() -> None:
    body = pb.Message(
        conversation=pb.Conversation(type=0, target="anna", line=0),
        from_user="ben",
        content=pb.MessageContent(type=1, searchable_content="hello"),
    ).SerializeToString()
    message = TailMessage(body, "ben")
    assert message.json("anna") is message.json("carl")
    assert rb"\"direction\":1" in message.json("anna")
    assert message.json("ben") is message.json("ben")
    assert rb"\"direction\":0" in message.json("ben")
    assert message.entry() is message.entry()
    assert (
        pb.PullMessageResult.FromString(message.entry() + b"\x10\x01\x18\x01").message[0].from_user == "ben"
    )
