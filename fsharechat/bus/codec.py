"""Events as bytes: protobuf records of events.proto. Each has the version in which it is written.

A process reads every version from the oldest to its newest, and writes the highest version that all members of the
cluster read (Registry.watch_bus). So the contents of a record are changed in these steps:

1. The newest version goes up by one. The functions below write the new fields only if `version` is that high, and
   read records of the version before as well.
2. A release later the oldest goes up, too. Records of `fsharechat.presence` may be as old as a connection.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from fsharechat.bus import (
    Deliver,
    Edited,
    Event,
    Kick,
    Notify,
    Presence,
    Push,
    PushTo,
    Recalled,
    Reported,
    Resync,
)
from fsharechat.bus import events_pb2 as pb
from fsharechat.store.messages import Entry, make_entry
from fsharechat.versions import Range

SPOKEN = Range(1, 2)
"""The versions of events.proto, and of the presence records below. The newest changes whenever they change."""


ONE_DEVICE = 2
"""The version since which there is a push to one device. To the others it would be one to all devices of a user."""


class RecordError(ValueError):
    """The bytes are no record."""


class VersionError(RecordError):
    """The record comes from a process of another release."""


def encode_events(events: Sequence[Event], version: int = SPOKEN.newest) -> bytes:
    record = pb.Record(version=version)
    add = record.event.add
    for event in events:
        if isinstance(event, Deliver):
            message = add().deliver
            message.body = event.body
            message.sender = event.sender
            message.sender_client = event.sender_client
            message.message_id = event.message_id
            for uid, seq in event.entries:
                message.entries.add(uid=uid, seq=seq)
        elif isinstance(event, Push):
            add(push=pb.Push(body=event.body, uids=event.uids))
        elif isinstance(event, PushTo):
            if version >= ONE_DEVICE:
                add(push_to=pb.PushTo(**event._asdict()))
        elif isinstance(event, Notify):
            add(notify=pb.Notify(**event._asdict()))
        elif isinstance(event, Recalled | Edited):
            one = add()
            recalled = one.recalled if isinstance(event, Recalled) else one.edited
            recalled.message_id = event.message_id
            recalled.body = event.body
            recalled.operator = event.operator
            recalled.operator_client = event.operator_client
            for uid, seq in event.entries:
                recalled.entries.add(uid=uid, seq=seq)
        elif isinstance(event, Reported):
            reported = add().reported
            reported.kind = event.kind
            for uid, seq in event.entries:
                reported.entries.add(uid=uid, seq=seq)
        elif isinstance(event, Kick):
            add(kick=pb.Kick(**event._asdict()))
        else:
            add(resync=pb.Resync())
    return record.SerializeToString()


def decode_events(data: bytes) -> list[Event]:
    """Return the events of a record. Raises RecordError."""
    try:
        record = pb.Record.FromString(data)
    except DecodeError as error:
        raise RecordError(str(error)) from error
    _check(record.version)
    return [event for event in map(_event, record.event) if event is not None]


def _event(event: pb.Event) -> Event | None:
    """Return one event, None for a kind that a newer process has sent."""
    if event.HasField("deliver"):
        one = event.deliver
        entries = [make_entry((entry.uid, entry.seq)) for entry in one.entries]
        return Deliver(one.body, entries, one.sender, one.sender_client, one.message_id)
    if event.HasField("push"):
        return Push(event.push.body, list(event.push.uids))
    if event.HasField("push_to"):
        push = event.push_to
        return PushTo(push.body, push.sender, push.uid, push.client_id)
    if event.HasField("notify"):
        note = event.notify
        return Notify(note.sub_signal, note.body, note.uid, note.except_client)
    if event.HasField("recalled") or event.HasField("edited"):
        made, told = (Recalled, event.recalled) if event.HasField("recalled") else (Edited, event.edited)
        entries = [Entry(entry.uid, entry.seq) for entry in told.entries]
        return made(told.message_id, told.body, entries, told.operator, told.operator_client)
    if event.HasField("reported"):
        report = event.reported
        return Reported(report.kind, [Entry(entry.uid, entry.seq) for entry in report.entries])
    if event.HasField("kick"):
        return Kick(event.kick.uid, event.kick.client_id, event.kick.epoch)
    if event.HasField("resync"):
        return Resync()
    return None


def presence_key(presence: Presence) -> bytes:
    """Return the key that all records of one device on one node share.

    It has the node, so that a connector can take back only its own announcements.
    """
    return f"{presence.node}\0{presence.uid}\0{presence.client_id}".encode()


def encode_presence(presence: Presence, version: int = SPOKEN.newest) -> bytes | None:
    """Return the value of a presence record: None, a tombstone, if the device has gone."""
    if not presence.online:
        return None
    uid, client_id, node, epoch, _ = presence
    return pb.Presence(
        uid=uid, client_id=client_id, node=node, epoch=epoch, version=version
    ).SerializeToString()


def decode_presence(key: bytes, value: bytes | None) -> Presence:
    """Raises RecordError."""
    try:
        if value is not None:
            one = pb.Presence.FromString(value)
            _check(one.version)
            return Presence(one.uid, one.client_id, one.node, one.epoch)
        node, uid, client_id = key.decode().split("\0")
        return Presence(uid, client_id, int(node), 0, online=False)
    except VersionError:
        raise
    except (DecodeError, ValueError) as error:
        raise RecordError(str(error)) from error


def encode_keys(keys: Sequence[str], version: int = SPOKEN.newest) -> bytes:
    return pb.Changed(keys=keys, version=version).SerializeToString()


def decode_keys(data: bytes) -> list[str]:
    """Raises RecordError."""
    try:
        changed = pb.Changed.FromString(data)
    except DecodeError as error:
        raise RecordError(str(error)) from error
    _check(changed.version)
    return list(changed.keys)


def _check(version: int) -> None:
    if not SPOKEN.has(version):
        raise VersionError(f"it is of version {version} of the bus, we speak {SPOKEN}")
