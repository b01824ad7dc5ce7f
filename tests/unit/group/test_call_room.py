"""A call in a group, move by move: who is told what, in whatever order things happen."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fsharechat.store.calls import Attendance, Attendee, CallRoom
from roles.group import call_room
from roles.group.call_room import (
    RING_MS,
    Bye,
    CallOutcome,
    CloseMedia,
    MoveResult,
    Moving,
    StopRinging,
    Tell,
    Unplug,
)

ANN, BEN, CAT, DAN = "ann", "ben", "cat", "dan"
PHONE, WEB = "phone", "web"
NEW = CallRoom(
    "G",
    7,
    "G123",
    ANN,
    1_000,
    {
        BEN: Attendee(Attendance.RINGING),
        CAT: Attendee(Attendance.RINGING),
        ANN: Attendee(Attendance.IN, WEB),
    },
)
Step = Callable[[CallRoom | None], Moving]


def after(*steps: Step, room: CallRoom | None = NEW) -> tuple[CallRoom | None, MoveResult]:
    """Return the room after these moves, and what the last of them said."""
    result = MoveResult(CallOutcome.IGNORED)
    for step in steps:
        room, result = step(room)
    return room, result


def opened(by: str = ANN, client: str = WEB, id: int = 8, call_id: str = "G124") -> Step:
    new = CallRoom("G", id, call_id, by, 2_000, {CAT: Attendee(0), by: Attendee(Attendance.IN, client)})
    return lambda room: call_room.open_room(room, new, client)


def joined(uid: str, client: str = WEB, *, replaces: bool = False) -> Step:
    return lambda room: call_room.join(room, uid, client, replaces=replaces)


def left(uid: str, client: str = WEB, *, told: bool = False) -> Step:
    return lambda room: call_room.leave(room, uid, client, told=told)


def bye(uid: str, client: str = WEB) -> Step:
    return lambda room: call_room.say_bye(room, uid, client)


def expired(now: int = 1_000 + RING_MS) -> Step:
    return lambda room: call_room.expire(room, now)


def closed(id: int = 7) -> Step:
    return lambda room: call_room.close(room, id)


def existing(uid: str, *others: str, client: str = WEB, sender: str = ANN) -> Tell:
    return Tell(uid, client, sender, {"type": "existingParticipants", "data": list(others)})


def arrived(to: str, who: str) -> Tell:
    return Tell(to, WEB, who, {"type": "newParticipantArrived", "name": who})


def gone(to: str, who: str) -> Tell:
    return Tell(to, WEB, who, {"type": "participantLeft", "name": who})


def where(room: CallRoom | None, uid: str) -> int:
    assert room is not None
    return room.attendees[uid].attendance


def test_who_starts_a_call_is_told_that_nobody_is_in() -> None:
    room, result = after(lambda room: call_room.open_room(room, NEW, WEB), room=None)
    assert room == NEW
    assert result == MoveResult(CallOutcome.OPENED, (existing(ANN, sender="G"),))


def test_who_answers_is_told_who_is_in_and_they_are_told_of_them() -> None:
    room, result = after(joined(BEN))
    assert result == (CallOutcome.JOINED, (StopRinging(BEN, ANN, WEB), arrived(ANN, BEN), existing(BEN, ANN)))
    _, result = after(joined(CAT), room=room)
    assert result.effects[1:] == (arrived(BEN, CAT), arrived(ANN, CAT), existing(CAT, BEN, ANN))


def test_nobody_joins_who_was_not_invited() -> None:
    assert after(joined(DAN)) == (NEW, (CallOutcome.REFUSED, ()))
    assert after(joined(BEN), room=None) == (None, (CallOutcome.REFUSED, ()))


def test_a_second_device_does_not_take_a_call_over() -> None:
    room, result = after(joined(BEN), joined(BEN, PHONE))
    assert result == (CallOutcome.REFUSED, (Bye(BEN, PHONE, ANN),))
    assert room is not None
    assert room.attendees[BEN] == Attendee(Attendance.IN, WEB)


def test_a_second_device_takes_it_over_from_one_that_is_not_connected() -> None:
    room, result = after(joined(BEN), joined(BEN, PHONE, replaces=True))
    assert result == (
        CallOutcome.JOINED,
        (Bye(BEN, WEB, ANN), gone(ANN, BEN), arrived(ANN, BEN), existing(BEN, ANN, client=PHONE)),
    )
    assert room is not None
    assert room.attendees[BEN] == Attendee(Attendance.IN, PHONE)


def test_who_joins_again_begins_anew() -> None:
    _, result = after(joined(BEN), joined(BEN))
    assert result == (CallOutcome.JOINED, (gone(ANN, BEN), arrived(ANN, BEN), existing(BEN, ANN)))


def test_who_leaves_may_come_back() -> None:
    room, result = after(joined(BEN), left(BEN))
    assert result == (CallOutcome.LEFT, (gone(ANN, BEN), Unplug("G.7", BEN)))
    _, result = after(joined(BEN), room=room)
    assert result == (CallOutcome.JOINED, (arrived(ANN, BEN), existing(BEN, ANN)))


def test_who_declines_rings_on_no_other_device() -> None:
    room, result = after(left(BEN))
    assert result == (CallOutcome.LEFT, (StopRinging(BEN, ANN, WEB),))
    assert where(room, BEN) == Attendance.SILENT
    assert after(left(BEN), room=room)[1].outcome is CallOutcome.IGNORED


def test_who_is_not_in_the_call_leaves_nothing() -> None:
    for step in (left(DAN), left(ANN, PHONE), left(BEN, told=True), bye(DAN)):
        assert after(step) == (NEW, (CallOutcome.IGNORED, ()))
        assert after(step, room=None) == (None, (CallOutcome.IGNORED, ()))


def test_the_call_is_over_when_the_last_one_leaves() -> None:
    room, result = after(joined(BEN), left(ANN), left(BEN))
    assert room is None
    assert result == (CallOutcome.CLOSED, (StopRinging(CAT, ANN), CloseMedia("G.7")))


def test_the_call_goes_on_without_who_started_it() -> None:
    room, _ = after(joined(BEN), left(ANN))
    assert where(room, BEN) == Attendance.IN


def test_who_started_it_ends_it_for_all() -> None:
    room, result = after(joined(BEN), bye(ANN))
    assert room is None
    assert result == (CallOutcome.CLOSED, (Bye(BEN, WEB, ANN), StopRinging(CAT, ANN), CloseMedia("G.7")))


def test_the_bye_of_anybody_else_is_their_leave() -> None:
    assert after(joined(BEN), bye(BEN)) == after(joined(BEN), left(BEN))
    assert after(bye(BEN)) == after(left(BEN))
    assert after(bye(ANN, PHONE)) == (NEW, (CallOutcome.IGNORED, ()))  # a device that is not in the call


def test_who_goes_without_wanting_to_is_told() -> None:
    _, result = after(joined(BEN), left(BEN, told=True))
    assert result.effects == (Bye(BEN, WEB, ANN), gone(ANN, BEN), Unplug("G.7", BEN))


def test_a_call_that_nobody_answers_is_over() -> None:
    assert after(expired(1_000 + RING_MS - 1))[0] == NEW
    room, result = after(left(BEN), expired())
    assert room is None
    assert result == (CallOutcome.CLOSED, (StopRinging(CAT, ANN), Bye(ANN, WEB, "G"), CloseMedia("G.7")))


def test_who_does_not_answer_rings_no_more_and_may_still_come() -> None:
    room, result = after(joined(BEN), left(BEN), expired())
    assert result == (CallOutcome.LEFT, (StopRinging(CAT, ANN),))
    assert after(expired(), room=room)[1].outcome is CallOutcome.IGNORED
    assert after(joined(CAT), room=room)[1].outcome is CallOutcome.JOINED


def test_a_media_server_that_is_gone_ends_the_call() -> None:
    room, result = after(joined(BEN), closed())
    assert room is None
    assert result.effects == (
        *(Bye(BEN, WEB, ANN), StopRinging(CAT, ANN), Bye(ANN, WEB, "G")),
        CloseMedia("G.7"),
    )
    assert after(closed(8)) == (NEW, (CallOutcome.IGNORED, ()))


def test_a_start_that_comes_again_does_nothing() -> None:
    assert after(opened(call_id="G123")) == (NEW, (CallOutcome.REPEATED, ()))
    # The same call between processes, made again: nobody may have been told.
    assert after(opened(id=7)) == (NEW, (CallOutcome.REPEATED, (existing(ANN, sender="G"),)))


def test_a_start_that_comes_again_tells_nothing_to_a_device_that_is_not_in() -> None:
    for step in (joined(ANN, PHONE, replaces=True), left(ANN)):
        room, result = after(joined(BEN), step, opened(id=7))
        assert result == (CallOutcome.REPEATED, ())
        assert room is not None
        assert room.attendees[ANN] != Attendee(Attendance.IN, WEB)


def test_who_starts_again_while_alone_begins_anew() -> None:
    room, result = after(opened())
    assert room is not None
    assert (room.id, result.outcome) == (8, CallOutcome.OPENED)
    assert result.effects == (
        *(StopRinging(BEN, ANN), StopRinging(CAT, ANN), CloseMedia("G.7")),
        existing(ANN, sender="G"),
    )


def test_who_starts_again_while_others_talk_joins_them() -> None:
    room, result = after(joined(BEN), left(ANN), opened())
    assert room is not None
    assert (room.id, result.outcome) == (7, CallOutcome.JOINED)
    assert result.effects == (arrived(BEN, ANN), existing(ANN, BEN, sender="G"))


def test_a_second_start_joins_who_is_invited_and_refuses_others() -> None:
    assert after(opened(by=BEN))[1] == after(joined(BEN))[1]
    assert after(opened(by=DAN)) == (NEW, (CallOutcome.REFUSED, ()))


UIDS = (ANN, BEN, CAT, DAN)
STEPS = st.one_of(
    st.builds(opened, st.sampled_from(UIDS), st.sampled_from([PHONE, WEB]), st.integers(8, 99)),
    st.builds(joined, st.sampled_from(UIDS), st.sampled_from([PHONE, WEB]), replaces=st.booleans()),
    st.builds(left, st.sampled_from(UIDS), st.sampled_from([PHONE, WEB]), told=st.booleans()),
    st.builds(bye, st.sampled_from(UIDS), st.sampled_from([PHONE, WEB])),
    st.builds(expired, st.sampled_from([0, 3_000 + RING_MS])),
    st.builds(closed, st.integers(7, 9)),
)


class Screens:
    """What clients show by what they are told: whom each device that is in the call believes to be in it."""

    def __init__(self) -> None:
        self.shown: dict[tuple[str, str], set[str]] = {}
        self.ringing: set[str] = set()

    def take(self, before: CallRoom | None, room: CallRoom | None, result: MoveResult) -> None:
        for effect in result.effects:
            if isinstance(effect, Tell):
                self._told(effect)
            elif isinstance(effect, Bye):
                self.shown.pop((effect.uid, effect.client_id), None)
            elif isinstance(effect, StopRinging):
                assert effect.uid in self.ringing, "nobody is told to stop who does not ring"
                self.ringing.discard(effect.uid)
        # Who goes by their own wish is told nothing.
        there = set(call_room.participants(room)) if room is not None else set()
        for device in self.shown.keys() - there:
            assert device[0] not in {uid for uid, _ in there}, "a device that was replaced is told"
            del self.shown[device]
        if room is not None and (before is None or before.id != room.id):
            self.ringing |= {
                uid for uid, one in room.attendees.items() if one.attendance == Attendance.RINGING
            }

    def _told(self, tell: Tell) -> None:
        assert tell.sender != tell.uid, "clients ignore what is from themselves"
        device = (tell.uid, tell.client_id)
        if tell.said["type"] == "existingParticipants":
            self.shown[device] = set(tell.said["data"])
        elif tell.said["type"] == "newParticipantArrived":
            assert tell.said["name"] not in self.shown[device]
            self.shown[device].add(tell.said["name"])
        else:
            assert tell.said["type"] == "participantLeft"
            self.shown[device].remove(tell.said["name"])


@settings(deadline=None)
@given(st.lists(STEPS, max_size=30))
@example([opened(client=PHONE, id=8), opened(id=8)])  # the same start again, by a device that is not in
def test_every_device_shows_who_is_in_whatever_happens(steps: Sequence[Step]) -> None:
    room: CallRoom | None = None
    screens = Screens()
    for step in (lambda room: call_room.open_room(room, NEW, WEB), *steps):
        before = room
        room, result = step(room)
        screens.take(before, room, result)
        if room is None:
            assert not screens.ringing
            assert not screens.shown
            continue
        there = dict(call_room.participants(room))
        assert there, "nobody is in, so the call is over"
        assert screens.shown == {(uid, client): there.keys() - {uid} for uid, client in there.items()}
        assert screens.ringing == {
            uid for uid, one in room.attendees.items() if one.attendance == Attendance.RINGING
        }
        if before is not None and before != room:
            assert any(isinstance(effect, (Tell, StopRinging)) for effect in result.effects), (
                "caches hear of it"
            )


@pytest.mark.parametrize("name", ["G.7", "a.b.7"])
def test_a_room_at_the_media_server_says_which_call_it_is(name: str) -> None:
    group_id, id = call_room.group_of(name)
    assert call_room.media_name(NEW._replace(group_id=group_id, id=id)) == name
