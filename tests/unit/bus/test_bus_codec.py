"""Every kind of event comes out of its record as it went in."""

import typing

from fsharechat.bus import Deliver, Edited, Event, Kick, Notify, Push, PushTo, Recalled, Reported, Resync
from fsharechat.bus.codec import decode_events, encode_events
from fsharechat.store.messages import Entry

EVENTS: list[Event] = [
    Deliver(b"\x00body", [Entry("ann", 1 << 40)], "ben", "phone"),
    Push(b"\xff", ["ann", "飞享"]),
    PushTo(b"\xff", "ann", "飞享", "phone"),
    Notify(20, b"\x80", "ann", "phone"),
    Recalled(1 << 62, b"new", [Entry("ann", 3)], "ben", "pc"),
    Edited(1 << 62, b"new", [Entry("ann", 3)], "ben", "pc"),
    Reported(1, [Entry("ann", 4)]),
    Kick("ann", "phone", 1 << 41),
    Resync(),
]


def test_events_are_what_they_were() -> None:
    assert {type(event) for event in EVENTS} == set(typing.get_args(Event))
    decoded = decode_events(encode_events(EVENTS))
    assert decoded == EVENTS
    assert [type(event) for event in decoded] == [type(event) for event in EVENTS]


def test_who_knows_no_push_to_one_device_gets_none() -> None:
    """An older connector would read it as nothing, or push it to all devices of the user."""
    assert decode_events(encode_events([PushTo(b"body", "ben", "ann", "phone"), Resync()], 1)) == [Resync()]
