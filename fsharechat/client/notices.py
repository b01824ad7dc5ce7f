"""The meaning of notifications for an application, for both transports."""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

import orjson

from fsharechat.client.errors import InvalidReply
from fsharechat.client.models import (
    FriendRequestsChanged,
    FriendsChanged,
    MessageEdited,
    MessageRecalled,
    MessagesWaiting,
    Notice,
    ReactionsChanged,
    ReportsChanged,
    SettingsChanged,
    StreamPart,
)
from fsharechat.protocol.shapes.payloads import Body
from fsharechat.protocol.signals import SubSignal

_INT64 = Struct(">q")


def notice(sub_signal: SubSignal, body: Body) -> Notice:
    """Return the notice in a notification of `KNOWN`. Raises InvalidReply."""
    return KNOWN[sub_signal](sub_signal, body)


def _version(kind: Callable[[int], Notice]) -> Callable[[SubSignal, Any], Notice]:
    def made(sub_signal: SubSignal, body: bytes) -> Notice:
        if len(body) != _INT64.size:
            raise InvalidReply(f"{sub_signal.name}: {len(body)} bytes, it has {_INT64.size}")
        return kind(_INT64.unpack(body)[0])

    return made


def _stream_part(sub_signal: SubSignal, body: bytes) -> StreamPart:
    try:
        part = orjson.loads(body)
        return StreamPart(stream_id=str(part["i"]), delta=part["d"], done=bool(part["f"]), robot=part["t"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidReply(f"SAI: {error}") from error


KNOWN: Mapping[SubSignal, Callable[[SubSignal, Any], Notice]] = {
    SubSignal.MN: lambda _, told: MessagesWaiting(told.head),
    SubSignal.MEN: lambda _, told: MessageEdited(told.id, told.from_user),
    SubSignal.REN: lambda _, told: ReactionsChanged(told.id, told.uid, tuple(told.emoji), told.update_dt),
    SubSignal.RMN: lambda _, told: MessageRecalled(told.id, told.from_user),
    SubSignal.FRN: _version(FriendRequestsChanged),
    SubSignal.FN: _version(FriendsChanged),
    SubSignal.UN: _version(SettingsChanged),
    SubSignal.MRN: lambda _, told: ReportsChanged(told.head, told.type),
    SubSignal.SAI: _stream_part,
}
