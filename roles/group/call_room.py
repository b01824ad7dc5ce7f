"""What happens to a call in a group, move by move, and what is to be told then (calls.md sections 9.4 to 9.6).

It does no I/O: a move takes the room that is there and returns the next one. A move may be made again, on another
state, before it counts (fsharechat/store/calls.py).
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any, NamedTuple

from fsharechat.store.calls import Attendance, Attendee, CallRoom

RING_MS = 60_000
"""Who has not answered by then rings no more; a call that nobody has answered is over."""

IN = Attendance.IN
RINGING = Attendance.RINGING


class Tell(NamedTuple):
    """A signal (403) to the device that is in the call. `sender` is whom it is from, never the receiver."""

    uid: str
    client_id: str
    sender: str
    said: dict[str, Any]


class Bye(NamedTuple):
    """The call is over (402) for a device that was in it."""

    uid: str
    client_id: str
    sender: str


class StopRinging(NamedTuple):
    """The call is over (402) for all devices of a user, but for one and those that are in a call."""

    uid: str
    sender: str
    except_client: str = ""


class Unplug(NamedTuple):
    """The media server lets go of a participant."""

    room: str
    uid: str


class CloseMedia(NamedTuple):
    """The media server lets go of the room."""

    room: str


Effect = Tell | Bye | StopRinging | Unplug | CloseMedia


class CallOutcome(Enum):
    """What became of who asked for the move."""

    OPENED = auto()
    JOINED = auto()
    REPEATED = auto()
    """It has happened already."""
    LEFT = auto()
    CLOSED = auto()
    IGNORED = auto()
    """It concerned nobody in this call."""
    REFUSED = auto()


class MoveResult(NamedTuple):
    outcome: CallOutcome
    effects: tuple[Effect, ...] = ()


Moving = tuple[CallRoom | None, MoveResult]

_IGNORED = MoveResult(CallOutcome.IGNORED)
_REFUSED = MoveResult(CallOutcome.REFUSED)


def media_name(room: CallRoom) -> str:
    """Return the name of the room at the media server: that of no other call."""
    return f"{room.group_id}.{room.id}"


def group_of(media_name: str) -> tuple[str, int]:
    """Return the group of a room at the media server, and the id of the call."""
    group_id, _, id = media_name.rpartition(".")
    return group_id, int(id)


def participants(room: CallRoom) -> Iterator[tuple[str, str]]:
    """Give who is in, and by which device."""
    return ((uid, one.client_id) for uid, one in room.attendees.items() if one.attendance == IN)


def has(room: CallRoom, uid: str, client_id: str) -> bool:
    """Return whether this device is in the call."""
    return room.attendees.get(uid) == Attendee(IN, client_id)


def sender_about(room: CallRoom, about: str, receiver: str) -> str:
    """Return whom a signal about a participant is from: clients take one from themselves as their own."""
    if about != receiver:
        return about
    return room.initiator if room.initiator != receiver else room.group_id


def open_room(room: CallRoom | None, new: CallRoom, client_id: str) -> Moving:
    """Start a call. In a group that has one: who starts it again begins anew, or joins who is in it already.

    Who was invited joins as well. Everybody else is refused: the others could not show them.
    """
    uid = new.initiator
    if room is None:
        return new, MoveResult(CallOutcome.OPENED, (_existing(new, uid, client_id, []),))
    if room.initiator == uid:
        if room.id == new.id:  # a call between processes that is made again: perhaps nothing was told
            others = [other for other, _ in participants(room) if other != uid]
            again = (_existing(room, uid, client_id, others),) if has(room, uid, client_id) else ()
            return room, MoveResult(CallOutcome.REPEATED, again)
        if new.call_id and room.call_id == new.call_id and has(room, uid, client_id):
            return room, MoveResult(CallOutcome.REPEATED)
        if all(other == uid for other, _ in participants(room)):
            over = tuple(_closing(room, (uid, client_id)))
            return new, MoveResult(CallOutcome.OPENED, (*over, _existing(new, uid, client_id, [])))
    return join(room, uid, client_id)


def join(room: CallRoom | None, uid: str, client_id: str, *, replaces: bool = False) -> Moving:
    """Let somebody who was invited in, by this device.

    Who is in by another device stays there, unless the new one `replaces` it: its connection is gone. Who is in by
    this one begins anew, and the others are told so.
    """
    if room is None or uid not in room.attendees:
        return room, _REFUSED
    before = room.attendees[uid]
    effects: list[Effect] = []
    if before.attendance == IN:
        if before.client_id != client_id:
            if not replaces:
                own = Bye(uid, client_id, sender_about(room, room.initiator, uid))
                return room, MoveResult(CallOutcome.REFUSED, (own,))
            effects.append(Bye(uid, before.client_id, sender_about(room, room.initiator, uid)))
        effects += _left(room, uid)
    elif before.attendance == RINGING:
        effects.append(StopRinging(uid, sender_about(room, room.initiator, uid), client_id))
    others = [other for other in participants(room) if other[0] != uid]
    arrived = {"type": "newParticipantArrived", "name": uid}
    effects += [Tell(other, client, uid, arrived) for other, client in others]
    effects.append(_existing(room, uid, client_id, [other for other, _ in others]))
    return _with(room, uid, Attendee(IN, client_id)), MoveResult(CallOutcome.JOINED, tuple(effects))


def leave(room: CallRoom | None, uid: str, client_id: str, *, told: bool = False) -> Moving:
    """Let the device out that is in, or decline for a user who rings. The last one closes the room.

    `told`: the device is told that the call is over for it, since it was not its own wish.
    """
    one = room.attendees.get(uid) if room is not None else None
    if room is None or one is None:
        return room, _IGNORED
    if one.attendance == RINGING and not told:
        stop = StopRinging(uid, sender_about(room, room.initiator, uid), client_id)
        return _with(room, uid, Attendee(Attendance.SILENT)), MoveResult(CallOutcome.LEFT, (stop,))
    if not has(room, uid, client_id):
        return room, _IGNORED
    after = _with(room, uid, Attendee(Attendance.LEFT))
    effects: list[Effect] = []
    if told:
        effects.append(Bye(uid, client_id, sender_about(room, room.initiator, uid)))
    if not any(participants(after)):
        return None, MoveResult(CallOutcome.CLOSED, (*effects, *_closing(after)))
    effects += [*_left(room, uid), Unplug(media_name(room), uid)]
    return after, MoveResult(CallOutcome.LEFT, tuple(effects))


def say_bye(room: CallRoom | None, uid: str, client_id: str) -> Moving:
    """Take a 402: from who started the call it is over, from anybody else it is their leave."""
    if room is None:
        return None, _IGNORED
    mine = room.attendees.get(uid)
    if room.initiator != uid or (mine is not None and mine.attendance == IN and mine.client_id != client_id):
        return leave(room, uid, client_id)
    return None, MoveResult(CallOutcome.CLOSED, tuple(_closing(room, (uid, client_id))))


def close(room: CallRoom | None, id: int) -> Moving:
    """End the call with this id for everybody."""
    if room is None or room.id != id:
        return room, _IGNORED
    return None, MoveResult(CallOutcome.CLOSED, tuple(_closing(room)))


def expire(room: CallRoom | None, now: int) -> Moving:
    """Let nobody ring for longer than RING_MS, and end a call that nobody has answered by then."""
    if room is None or now - room.opened_ms < RING_MS:
        return room, _IGNORED
    if not _was_answered(room):
        return None, MoveResult(CallOutcome.CLOSED, tuple(_closing(room)))
    ringing = [uid for uid, one in room.attendees.items() if one.attendance == RINGING]
    if not ringing:
        return room, _IGNORED
    silent = {**room.attendees, **dict.fromkeys(ringing, Attendee(Attendance.SILENT))}
    effects = [StopRinging(uid, sender_about(room, room.initiator, uid)) for uid in ringing]
    return room._replace(attendees=silent), MoveResult(CallOutcome.LEFT, tuple(effects))


def _was_answered(room: CallRoom) -> bool:
    there = (IN, Attendance.LEFT)
    return any(uid != room.initiator and one.attendance in there for uid, one in room.attendees.items())


def _existing(room: CallRoom, uid: str, client_id: str, others: Iterable[str]) -> Tell:
    """Return what makes a client open its camera and send its own offer."""
    said = {"type": "existingParticipants", "data": list(others)}
    return Tell(uid, client_id, sender_about(room, room.initiator, uid), said)


def _left(room: CallRoom, uid: str) -> Iterator[Effect]:
    said = {"type": "participantLeft", "name": uid}
    return (Tell(other, client, uid, said) for other, client in participants(room) if other != uid)


def _closing(room: CallRoom, by: tuple[str, str] | None = None) -> Iterator[Effect]:
    """`by`: the device, as (uid, client id), whose wish it is."""
    for uid, one in room.attendees.items():
        sender = sender_about(room, room.initiator, uid)
        if one.attendance == IN and (uid, one.client_id) != by:
            yield Bye(uid, one.client_id, sender)
        elif one.attendance == RINGING:
            yield StopRinging(uid, sender)
    yield CloseMedia(media_name(room))


def _with(room: CallRoom, uid: str, one: Attendee) -> CallRoom:
    return room._replace(attendees={**room.attendees, uid: one})
