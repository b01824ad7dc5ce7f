"""What the server starts itself, as web clients read it (contract.md section 7, "Server notifications")."""

from collections.abc import Callable
from struct import Struct

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.json.writing import escape, escaped_json, head
from fsharechat.protocol.signals import Signal, SubSignal

_unpack_int64 = Struct(">q").unpack


def encode_notification(sub_signal: int, body: bytes) -> str:
    """Return the PUBLISH text of MN, RMN, FRN, FN, MRN, UN or SAI; `body` is what a TCP client is sent."""
    start, encode = _NOTIFICATIONS[sub_signal]
    return f'{start}{encode(body)}"}}'


def _messages(body: bytes) -> str:
    notify = pb.NotifyMessage.FromString(body)
    return rf"{{\"messageHead\":\"{notify.head}\",\"type\":{notify.type}}}"


def _recall(body: bytes) -> str:
    notify = pb.NotifyRecallMessage.FromString(body)
    return escaped_json({"fromUser": notify.from_user, "messageUid": str(notify.id)}).decode()


def _reports(body: bytes) -> str:
    notify = pb.NotifyMessageReport.FromString(body)
    return rf"{{\"messageHead\":\"{notify.head}\",\"type\":{notify.type}}}"


def _version(body: bytes) -> str:
    return rf"{{\"version\":\"{_unpack_int64(body)[0]}\"}}"


def _friends(body: bytes) -> str:
    return rf"{{\"head\":\"{_unpack_int64(body)[0]}\"}}"


def _stream(body: bytes) -> str:
    return escape(body.decode()).decode()


_ENCODERS: dict[SubSignal, Callable[[bytes], str]] = {
    SubSignal.MN: _messages,
    SubSignal.RMN: _recall,
    SubSignal.FRN: _version,
    SubSignal.FN: _friends,
    SubSignal.MRN: _reports,
    SubSignal.UN: _version,
    SubSignal.SAI: _stream,
}

_NOTIFICATIONS: dict[int, tuple[str, Callable[[bytes], str]]] = {
    sub_signal: (f'{head(Signal.PUBLISH, sub_signal)}0,"content":"', encode)
    for sub_signal, encode in _ENCODERS.items()
}
