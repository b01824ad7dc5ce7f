"""Calls in groups: what the moves of several processes leave in the store."""

import asyncio

from fsharechat.store import calls
from fsharechat.store.calls import Attendance, Attendee, CallRoom, RoomMove
from fsharechat.store.store import Store
from tests.unit.store.groups_store_kit import group
from tests.unit.store.store_kit import Engine

RINGING = Attendee(Attendance.RINGING)
WEB = Attendee(Attendance.IN, "web")
ROOM = CallRoom("G", 1 << 62, "G飞享", "ann", 1_700_000_000_000, {"ann": WEB, "ben": RINGING})


def to(room: CallRoom | None) -> RoomMove[str]:
    return lambda _: (room, "told")


async def change(store: Store, move: RoomMove[str], group_id: str = "G") -> CallRoom | None:
    room, told = await store.write_group(group_id, (), calls.change, group_id, move)
    assert told == "told"
    return room


async def test_a_room_is_what_the_last_move_has_left(store: Store) -> None:
    with_ben = ROOM._replace(attendees={**ROOM.attendees, "ben": WEB})
    next_one = ROOM._replace(id=5, attendees={"ann": WEB, "cat": RINGING})
    for room in (None, ROOM, ROOM, with_ben, next_one, None, None):
        assert await change(store, to(room)) == room
        assert await store.read(calls.room, "G") == room
    assert await store.read(calls.all_groups, 9) == []


async def test_rooms_are_found_by_group_and_by_device(store: Store) -> None:
    other = ROOM._replace(group_id="H", id=2, attendees={"cat": WEB, "ben": Attendee(Attendance.LEFT)})
    for room in (ROOM, other):
        await change(store, to(room), room.group_id)
    assert await store.read(calls.rooms, ["G", "H", "none", "G "]) == {"G": ROOM, "H": other}
    assert await store.read(calls.all_groups, 9) == ["H", "G"]
    assert await store.read(calls.all_groups, 1) == ["H"]
    found = await store.read(calls.devices_in, ["ann", "ben", "cat", "nobody"])
    assert found == {("ann", "web"): "G", ("cat", "web"): "H"}
    assert await store.read(calls.devices_in, []) == {}


async def test_moves_of_two_processes_follow_each_other(engine: Engine, store: Store) -> None:
    """Each adds itself to what is there: none is lost."""
    await group(store, "G")  # whose row is the lock
    await change(store, to(ROOM))

    def add(uid: str) -> RoomMove[str]:
        def move(room: CallRoom | None) -> tuple[CallRoom | None, str]:
            assert room is not None
            return room._replace(attendees={**room.attendees, uid: WEB}), "told"

        return move

    other = engine.store()
    await other.open()
    try:
        uids = [f"user{number}" for number in range(20)]
        await asyncio.gather(
            *[change(one, add(uid)) for one, uid in zip([store, other] * 10, uids, strict=True)]
        )
    finally:
        await other.close()
    room = await store.read(calls.room, "G")
    assert room is not None
    assert room.attendees.keys() == {"ann", "ben", *uids}


async def test_two_starts_at_once_are_one_room(engine: Engine, store: Store) -> None:
    def start(id: int) -> RoomMove[str]:
        return lambda room: (room or ROOM._replace(id=id), "told")

    await group(store, "G")
    other = engine.store()
    await other.open()
    try:
        rooms = await asyncio.gather(
            *[change(one, start(id)) for id, one in enumerate([store, other] * 5, 1)]
        )
    finally:
        await other.close()
    assert len({room.id for room in rooms if room}) == 1
