"""Calls in groups: their signals, and what the media server tells (calls.md sections 9.3 to 9.7).

Who is in a call is in the store (docs/decisions/group-calls.md), so any group process takes the next signal. One of
them looks after each room: it ends the ringing, and sees connections that are gone. What a call is about to become is
decided in call_room.py.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson
import structlog

from fsharechat.bus import Bus
from fsharechat.errors import Refusal, StoreError
from fsharechat.mediaserver import BadOffer, Candidate, MediaEvents, MediaServer, MediaServerError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import sent_payload
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import CALL_TYPES, Code, ContentType, ConversationType, PersistFlag
from fsharechat.rpc import Call, Reply
from fsharechat.store import calls
from fsharechat.store.calls import MAX_CALL_ID, CallRoom, RoomMove
from fsharechat.store.store import Store
from fsharechat.tasks import TaskSet, repeat
from fsharechat.tracing import trace_of
from roles.group import call_room
from roles.group.cache import Cache
from roles.group.call_room import (
    Bye,
    CallOutcome,
    CloseMedia,
    Effect,
    MoveResult,
    Moving,
    StopRinging,
    Tell,
    Unplug,
)
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox
from roles.group.presence import Whereabouts
from roles.group.processes import GroupProcesses
from roles.group.standing import CACHE_SECONDS

log = structlog.get_logger(__name__)

MAX_INVITED = 200
"""Whom one call may ring. Media servers let far fewer in."""
MAX_OFFER = 65_536
"""Bytes of an offer."""
MAX_CANDIDATE = 4_096
"""Characters of an ICE candidate; what is longer is dropped."""
MAX_ROOMS = 10_000
"""Rooms that one look at the store finds; later ones are looked after when those are over."""
CACHED_ATTENDEES = 100_000
CALL_KEY = "call:"
"""The prefix of the keys of calls in the events that drop cached values."""

SWEEP_SECONDS = 2.0
GRACE_SECONDS = 6.0
"""A device whose connection is gone may connect again within that time, and is still in its call."""
MEDIA_SECONDS = 10.0
"""Between looks whether the media server still has a room."""
ANSWER_SECONDS = 5.0
"""The media server has so long for an answer."""


class Opening(NamedTuple):
    """A start (400) that may be sent, to these, and what is to be told when it is stored.

    `room` None: who started it has joined the call that goes on, and nobody is invited.
    """

    room: CallRoom | None
    receivers: Sequence[str]
    everybody: bool
    """Nobody of the group is left out."""
    effects: tuple[Effect, ...]


def is_group_call(message: pb.Message) -> bool:
    """Return whether a message is a signal of a call in a group, which the server takes part in."""
    return message.conversation.type == ConversationType.GROUP and message.content.type in CALL_TYPES


class GroupCalls(MediaEvents):
    """Takes the signals of calls in groups, and looks after the rooms that are this process's."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: ServerClock,
        outbox: EventOutbox,
        whereabouts: Whereabouts,
        processes: GroupProcesses,
    ) -> None:
        self.media: MediaServer | None = None
        """None: there is none, so nobody can be called."""
        self.looked_after = 0
        """Calls that this process looks after."""
        self._store = store
        self._bus = bus
        self._clock = clock
        self._outbox = outbox
        self._presence = whereabouts.table
        self._places_are_known = whereabouts.complete
        self._time = asyncio.get_running_loop().time
        self._rooms: Cache[CallRoom] = Cache(
            CACHED_ATTENDEES,
            lambda group_id: store.read(calls.room, group_id),
            lambda room: 1 + len(room.attendees),
        )
        self._aged = self._time()
        self._processes = processes
        self._absent: dict[tuple[str, str, str], float] = {}
        """Since when participants have no connection: media room, uid, client id."""
        self._seen: dict[str, float] = {}
        """When the media server was last asked for a room."""
        self._tasks = TaskSet()
        self._stopped = False

    async def start(self) -> None:
        await self._bus.watch_invalidations(self._on_changed)
        self._tasks.spawn("calls in groups", repeat(SWEEP_SECONDS, self.sweep))

    async def stop(self) -> None:
        """Look after nothing more. The media server may end later, and tell of it: another process hears of that."""
        self._stopped = True
        await self._tasks.cancel()

    def _on_changed(self, keys: Iterable[str]) -> None:
        self._rooms.drop(key.removeprefix(CALL_KEY) for key in keys if key.startswith(CALL_KEY))

    # The start

    async def open(self, call: Call, message: pb.Message, members: Collection[str]) -> Opening:
        """Open the room of a start (400), or join the call that goes on. Raises Refusal.

        `to` of the message becomes those whom it invites: web clients need the list (section 9.5).
        """
        named = dict.fromkeys(uid for uid in (message.to_user, *message.to) if uid)
        invited = [uid for uid in named or members if uid in members and uid != call.uid]
        if len(invited) > MAX_INVITED:
            raise Refusal(Code.INVALID_PARAMETER)
        message.ClearField("to_user")
        message.ClearField("to")
        message.to.extend(invited)
        group_id = message.conversation.target
        # Signals for one device would get lost at connectors of the version before.
        if self.media is None or not self.media.exists or not self._bus.reaches_one_device:
            self._hang_up(group_id, call)
            raise Refusal(Code.NOT_IMPLEMENTED)
        # Web clients fail on a call that comes while they are in one (section 9.5).
        busy = await self._store.read(calls.devices_in, invited)
        taken = {uid for (uid, _), group in busy.items() if group != group_id}
        attendees = {
            uid: calls.Attendee(calls.Attendance.SILENT if uid in taken else calls.Attendance.RINGING)
            for uid in invited
        }
        attendees[call.uid] = calls.Attendee(calls.Attendance.IN, call.client_id)
        new = CallRoom(
            group_id,
            call.message_id,
            message.content.content[:MAX_CALL_ID],
            call.uid,
            self._clock.now(),
            attendees,
        )
        moved = await self._open(call, new)
        receivers = [uid for uid in invited if uid not in taken]
        everybody = not named and not taken
        if moved.outcome is CallOutcome.JOINED:
            await self._carry_out(group_id, moved.effects)
            return Opening(None, (), everybody, ())
        return Opening(new, receivers, everybody, moved.effects)

    async def _open(self, call: Call, new: CallRoom) -> MoveResult:
        """Make the move, with the media server's leave before it counts. Raises Refusal."""
        await self._leave_elsewhere(call, new.group_id)
        before = await self._store.read(calls.room, new.group_id)
        _, wished = call_room.open_room(before, new, call.client_id)
        target = before if wished.outcome is CallOutcome.JOINED and before is not None else new
        if wished.outcome in (CallOutcome.OPENED, CallOutcome.JOINED):
            await self._plug_in(call, target)
        room, moved = await self._move(
            new.group_id, lambda room: call_room.open_room(room, new, call.client_id)
        )
        if moved.outcome is CallOutcome.REPEATED:
            return moved
        if moved.outcome is not wished.outcome or (room is not None and room.id != target.id):
            # Somebody was faster. The client may try again, and joins then.
            name = call_room.media_name(target)
            undo = CloseMedia(name) if target is new else Unplug(name, call.uid)
            await self._carry_out(new.group_id, (undo,))
        elif moved.outcome is not CallOutcome.REFUSED:
            return moved
        self._hang_up(new.group_id, call)
        raise Refusal(Code.NO_RIGHT)

    async def begun(self, opening: Opening) -> None:
        """Tell what is to be told now that the start is stored."""
        if opening.room is not None:
            await self._carry_out(opening.room.group_id, opening.effects)

    async def failed(self, opening: Opening) -> None:
        """Take the room back: its start was not stored."""
        if (room := opening.room) is not None:
            _, moved = await self._move(room.group_id, lambda now: call_room.close(now, room.id))
            unrung = (effect for effect in moved.effects if not isinstance(effect, StopRinging))
            await self._carry_out(room.group_id, (*opening.effects[:-1], *unrung))

    # The other signals

    async def signal(self, call: Call, message: pb.Message, release: Callable[[], None]) -> Reply:
        """Take a signal that the server keeps. `release`: what the sender sent after it need not wait any more.

        Raises Refusal.
        """
        group_id, kind = message.conversation.target, message.content.type
        if kind == ContentType.CALL_ANSWER:
            await self._answer(call, group_id)
        elif kind == ContentType.CALL_BYE:
            await self._go(call, group_id, call_room.say_bye)
        elif kind == ContentType.CALL_SIGNAL:
            said = _said(message.content.data)
            match said.get("type"):
                case "leaveRoom":
                    await self._go(call, group_id, call_room.leave)
                case "receiveVideoFrom":
                    release()
                    await self._offered(call, group_id, _text(said, "sender"), _text(said, "sdpOffer"))
                case "onIceCandidate":
                    release()
                    await self._candidate(call, group_id, said)
        return Reply(Code.SUCCESS, sent_payload(call.message_id, self._clock.now()))

    async def _answer(self, call: Call, group_id: str) -> None:
        room = await self._room_with(group_id, call.uid)
        if room is None:
            raise Refusal(Code.NO_RIGHT)
        if call.retried and call_room.has(room, call.uid, call.client_id):
            return
        await self._leave_elsewhere(call, group_id)
        mine = room.attendees[call.uid]
        gone = mine.client_id not in self._presence.devices(call.uid)

        def join(now: CallRoom | None) -> Moving:
            if now is None or now.id != room.id:
                return now, MoveResult(CallOutcome.REFUSED, (CloseMedia(call_room.media_name(room)),))
            return call_room.join(now, call.uid, call.client_id, replaces=gone)

        if join(room)[1].outcome is CallOutcome.JOINED:
            await self._plug_in(call, room)
        _, moved = await self._move(group_id, join)
        await self._carry_out(group_id, moved.effects)
        if moved.outcome is CallOutcome.REFUSED:
            raise Refusal(Code.NO_RIGHT)

    async def _go(
        self, call: Call, group_id: str, move: Callable[[CallRoom | None, str, str], Moving]
    ) -> None:
        """Make a move by which somebody may go; for who is in no call it is nothing."""
        if await self._room_with(group_id, call.uid) is not None:
            _, moved = await self._move(group_id, lambda room: move(room, call.uid, call.client_id))
            await self._carry_out(group_id, moved.effects)

    async def _offered(self, call: Call, group_id: str, sender: str, offer: str) -> None:
        room = await self._room_with(group_id, call.uid, sender, client_id=call.client_id)
        if room is None or self.media is None:
            raise Refusal(Code.NO_RIGHT)
        if len(offer) > MAX_OFFER:
            raise Refusal(Code.INVALID_PARAMETER)
        name = call_room.media_name(room)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if sender == call.uid:
                    answer = await self.media.publish(name, call.uid, offer)
                else:
                    answer = await self.media.receive(name, call.uid, sender, offer)
        except (MediaServerError, TimeoutError) as error:
            log.info(
                "an offer was not answered",
                uid=call.uid,
                sender=sender,
                reason=_reason(error),
                trace=trace_of(call),
            )
            raise Refusal(
                Code.INVALID_PARAMETER if isinstance(error, BadOffer) else Code.SERVER_ERROR
            ) from error
        said = {"type": "receiveVideoAnswer", "name": sender, "sdpAnswer": answer}
        self._tell(
            group_id, Tell(call.uid, call.client_id, call_room.sender_about(room, sender, call.uid), said)
        )

    async def _candidate(self, call: Call, group_id: str, said: dict[str, Any]) -> None:
        candidate, name = _read_candidate(said.get("candidate")), said.get("name")
        if candidate is None or self.media is None:
            return
        room = await self._room_with(group_id, call.uid, call.uid, client_id=call.client_id)
        if room is None:
            return
        peer = name if type(name) is str and name in room.attendees else ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.media.candidate(call_room.media_name(room), call.uid, peer, candidate)
        except (MediaServerError, TimeoutError) as error:
            log.debug("a candidate was not taken", uid=call.uid, reason=_reason(error), trace=trace_of(call))

    async def _room_with(
        self, group_id: str, uid: str, sender: str = "", *, client_id: str = ""
    ) -> CallRoom | None:
        """Return the call of a group that concerns a user; with a `sender`, one that both are in.

        What is cached may be old, so it refuses nobody.
        """

        def fits(room: CallRoom) -> bool:
            if not sender:
                return uid in room.attendees
            other = room.attendees.get(sender)
            return (
                call_room.has(room, uid, client_id) and other is not None and other.attendance == call_room.IN
            )

        room = await self._rooms.get(group_id)
        if room is None or not fits(room):
            self._rooms.drop([group_id])
            room = await self._rooms.get(group_id)
        return room if room is not None and fits(room) else None

    async def _leave_elsewhere(self, call: Call, group_id: str) -> None:
        """Let a device out of the call that it is in, in another group: it can be in one."""
        there = await self._store.read(calls.devices_in, [call.uid])
        if (other := there.get((call.uid, call.client_id), group_id)) != group_id:
            _, moved = await self._move(other, lambda room: call_room.leave(room, call.uid, call.client_id))
            await self._carry_out(other, moved.effects)

    async def _plug_in(self, call: Call, room: CallRoom) -> None:
        """Have the media server let somebody in; where it does not, their device is told so. Raises Refusal."""
        try:
            if self.media is None:
                raise MediaServerError("there is none")
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.media.join(call_room.media_name(room), call.uid)
        except (MediaServerError, TimeoutError) as error:
            log.warning(
                "a participant was not let in",
                group=room.group_id,
                uid=call.uid,
                reason=_reason(error),
                trace=trace_of(call),
            )
            self._hang_up(room.group_id, call)
            raise Refusal(Code.SERVER_ERROR) from error

    # What the media server tells

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        if self._stopped:
            return
        said = {
            "candidate": candidate.candidate,
            "sdpMid": candidate.mid,
            "sdpMLineIndex": candidate.line,
        }
        self._tasks.spawn("candidate of a call", self._on_candidate(room, participant, peer, said))

    async def _on_candidate(self, name: str, uid: str, peer: str, said: dict[str, Any]) -> None:
        group_id, id = call_room.group_of(name)
        try:
            room = await self._rooms.get(group_id)
        except StoreError as error:
            log.log(error.log_level, "store failed a call", group=group_id, error=str(error))
            return
        one = room.attendees.get(uid) if room is not None and room.id == id else None
        if room is not None and one is not None and one.attendance == call_room.IN:
            about = {"type": "iceCandidate", "name": peer, "candidate": said}
            self._tell(group_id, Tell(uid, one.client_id, call_room.sender_about(room, peer, uid), about))

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        """Let out whose own connection is lost. Of a connection that receives the client may offer another one."""
        if peer != participant or self._stopped:
            return

        def move(now: CallRoom | None) -> Moving:
            if now is None or call_room.media_name(now) != room:
                return now, MoveResult(CallOutcome.IGNORED)
            one = now.attendees.get(participant)
            return call_room.leave(now, participant, one.client_id if one is not None else "", told=True)

        log.info("the media of a participant are lost", group=call_room.group_of(room)[0], uid=participant)
        self._tasks.spawn("participant who is gone", self._by_itself(call_room.group_of(room)[0], move))

    def on_closed(self, room: str, reason: str) -> None:
        if self._stopped:
            return
        group_id, id = call_room.group_of(room)
        log.warning("a call has lost its media server", group=group_id, reason=reason)
        self._tasks.spawn(
            "call that is over", self._by_itself(group_id, lambda now: call_room.close(now, id))
        )

    # Looking after rooms

    async def sweep(self) -> None:
        """Look after the rooms that are this process's: who rings for too long, and whose connection is gone."""
        if not self._store.away:
            try:
                await self._sweep()
            except StoreError as error:
                log.log(error.log_level, "calls are not looked after", error=str(error))

    async def _sweep(self) -> None:
        if self._time() - self._aged >= CACHE_SECONDS:
            self._aged = self._time()
            self._rooms.age()
        groups = await self._store.read(calls.all_groups, MAX_ROOMS)
        ours = [group_id for group_id in groups if self._processes.is_ours(group_id)]
        rooms = await self._store.read(calls.rooms, ours) if ours else {}
        self.looked_after = len(rooms)
        names = {call_room.media_name(room) for room in rooms.values()}
        self._absent = {key: since for key, since in self._absent.items() if key[0] in names}
        self._seen = {name: at for name, at in self._seen.items() if name in names}
        for room in rooms.values():
            await self._look_at(room)

    async def _look_at(self, room: CallRoom) -> None:
        group_id = room.group_id
        for uid, client_id in self._gone_from(room):
            await self._by_itself(group_id, partial(call_room.leave, uid=uid, client_id=client_id))
        if call_room.expire(room, now := self._clock.now())[1].outcome is not CallOutcome.IGNORED:
            await self._by_itself(group_id, lambda there: call_room.expire(there, now))
        if not await self._has_media(room):
            log.warning(
                "a call has lost its media server", group=group_id, reason="it does not know the room"
            )
            await self._by_itself(group_id, lambda there: call_room.close(there, room.id))

    def _gone_from(self, room: CallRoom) -> list[tuple[str, str]]:
        """Return the participants whose device has had no connection for too long."""
        if not self._places_are_known():
            self._absent.clear()  # nobody knows who is away
            return []
        name, now = call_room.media_name(room), self._time()
        gone = []
        for uid, client_id in call_room.participants(room):
            key = (name, uid, client_id)
            if client_id in self._presence.devices(uid):
                self._absent.pop(key, None)
            elif now - self._absent.setdefault(key, now) >= GRACE_SECONDS:
                gone.append((uid, client_id))
        return gone

    async def _has_media(self, room: CallRoom) -> bool:
        """Return whether the media server has the room, if it is time to ask; True where it cannot say."""
        if self.media is None:
            return False
        name, now = call_room.media_name(room), self._time()
        if now - self._seen.get(name, -MEDIA_SECONDS) < MEDIA_SECONDS:
            return True
        self._seen[name] = now
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.media.has(name)
        except (MediaServerError, TimeoutError):
            return True

    # Moves and what they bring

    async def _move(self, group_id: str, move: RoomMove[MoveResult]) -> tuple[CallRoom | None, MoveResult]:
        room, moved = await self._store.write_group(group_id, (), calls.change, group_id, move)
        if moved.effects:
            self._rooms.drop([group_id])
            self._bus.invalidate([CALL_KEY + group_id])
        return room, moved

    async def _by_itself(self, group_id: str, move: RoomMove[MoveResult]) -> None:
        """Make a move that no client has asked for. So nobody is told if it fails."""
        try:
            _, moved = await self._move(group_id, move)
            await self._carry_out(group_id, moved.effects)
        except StoreError as error:
            log.log(error.log_level, "store failed a call", group=group_id, error=str(error))
        except LeaseError as error:
            log.error("no message id", error=str(error))

    async def _carry_out(self, group_id: str, effects: Iterable[Effect]) -> None:
        """Tell whom it concerns, and the media server."""
        stopped: list[StopRinging] = []
        media: list[Unplug | CloseMedia] = []
        for effect in effects:
            if isinstance(effect, Tell):
                self._tell(group_id, effect)
            elif isinstance(effect, Bye):
                self._outbox.push_to(
                    self._bye(group_id, effect.sender), effect.sender, effect.uid, effect.client_id
                )
            elif isinstance(effect, StopRinging):
                stopped.append(effect)
            else:
                media.append(effect)
        if stopped:
            # A 402 ends whatever call a web client is in: it is not for devices that are in one.
            busy = await self._store.read(calls.devices_in, [one.uid for one in stopped])
            for one in stopped:
                spared = {client_id for uid, client_id in busy if uid == one.uid}
                body = self._bye(group_id, one.sender)
                self._outbox.push_to_others(body, one.sender, one.uid, {one.except_client, *spared})
        for thing in media:
            await self._tell_media(thing)

    async def _tell_media(self, effect: Unplug | CloseMedia) -> None:
        if self.media is None:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if isinstance(effect, Unplug):
                    await self.media.leave(effect.room, effect.uid)
                else:
                    await self.media.close_room(effect.room)
        except (MediaServerError, TimeoutError) as error:
            log.info("the media server could not be told of an end", room=effect.room, reason=_reason(error))

    def _tell(self, group_id: str, tell: Tell) -> None:
        body = self._body(group_id, ContentType.CALL_SIGNAL, tell.sender, orjson.dumps(tell.said))
        self._outbox.push_to(body, tell.sender, tell.uid, tell.client_id)

    def _bye(self, group_id: str, sender: str) -> bytes:
        return self._body(group_id, ContentType.CALL_BYE, sender)

    def _hang_up(self, group_id: str, call: Call) -> None:
        """Tell a device that its call is over: it would wait for ever."""
        self._outbox.push_to(self._bye(group_id, group_id), group_id, call.uid, call.client_id)

    def _body(self, group_id: str, kind: int, sender: str, data: bytes = b"") -> bytes:
        return pb.Message(
            conversation=pb.Conversation(type=ConversationType.GROUP, target=group_id, line=0),
            from_user=sender,
            content=pb.MessageContent(type=kind, data=data or None, persist_flag=PersistFlag.TRANSPARENT),
            message_id=self._clock.next_id(),
            server_timestamp=self._clock.now(),
        ).SerializeToString()


def _said(data: bytes) -> dict[str, Any]:
    """Return the JSON of a 403. Raises Refusal."""
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Refusal(Code.INVALID_DATA) from None
    if type(said) is not dict:
        raise Refusal(Code.INVALID_DATA)
    return said


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    if type(value) is not str or not value:
        raise Refusal(Code.INVALID_DATA)
    return value


def _read_candidate(said: object) -> Candidate | None:
    """Return a browser's RTCIceCandidate; None for what is none. Browsers leave out what they do not know."""
    if type(said) is not dict:
        return None
    text, mid, ufrag = (said.get(key) or "" for key in ("candidate", "sdpMid", "usernameFragment"))
    line = said.get("sdpMLineIndex") or 0
    if not all(type(one) is str and len(one) <= MAX_CANDIDATE for one in (text, mid, ufrag)):
        return None
    return Candidate(text, mid, line, ufrag) if type(line) is int and 0 <= line < 1 << 16 else None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
